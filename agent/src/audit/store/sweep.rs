//! Removing what is too old, or has no room any more, a little at a time.

use porthole_shared::clock::UnixTime;

use super::{AuditStore, Bounds};
use crate::store::{Error, failed};

/// Rows that are removed in one transaction.
const BATCH: u32 = 500;

/// Transactions of one sweep, so that entries do not queue up for long behind it.
const MOST_BATCHES: u32 = 20;

/// Free pages that one sweep gives back to the disk where the file is larger than it may be.
const PAGES_GIVEN_BACK: &str = "PRAGMA incremental_vacuum(10000)";

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::audit) struct Swept {
    /// Entries older than the retention.
    pub(in crate::audit) expired: u64,
    /// Entries that had to make room.
    pub(in crate::audit) for_room: u64,
}

const REMOVE_EXPIRED: &str =
    "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE at < ?1 ORDER BY at LIMIT ?2)";
const REMOVE_OLDEST: &str = "DELETE FROM entries WHERE id IN (SELECT id FROM entries ORDER BY id LIMIT ?2)";
const REMOVE_OLDEST_REFUSALS: &str =
    "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE event = 'refused' ORDER BY id LIMIT ?2)";

impl AuditStore {
    /// Removes what is older than it shall become, and the oldest while the file is nearly as large as it may be. What
    /// is left over, the next sweep removes.
    pub(in crate::audit) async fn sweep(&self, now: UnixTime) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        let oldest = now.plus(-self.bounds.retention_seconds);
        for _ in 0..MOST_BATCHES {
            let removed = self.remove(REMOVE_EXPIRED, oldest).await?;
            swept.expired += removed;
            if removed < BATCH.into() {
                break;
            }
        }
        if self.pages_in_use().await? > self.bounds.high() {
            swept.for_room = self.make_room(oldest).await?;
        }
        if self.pages().await? > i64::from(self.bounds.pages) {
            sqlx::query(PAGES_GIVEN_BACK).fetch_all(&self.writer).await.map_err(failed("shrinking the audit"))?;
        }
        Ok(swept)
    }

    async fn make_room(&self, oldest: UnixTime) -> Result<u64, Error> {
        let (mut refusals, all) = self.counts().await?;
        let mut removed = 0;
        for _ in 0..MOST_BATCHES {
            if self.pages_in_use().await? <= self.bounds.low() {
                break;
            }
            let batch = if refusals_go_first(refusals, all.saturating_sub(removed)) {
                let batch = self.remove(REMOVE_OLDEST_REFUSALS, oldest).await?;
                refusals = refusals.saturating_sub(batch);
                batch
            } else {
                self.remove(REMOVE_OLDEST, oldest).await?
            };
            removed += batch;
            if batch == 0 {
                break;
            }
        }
        Ok(removed)
    }

    async fn remove(&self, statement: &'static str, before: UnixTime) -> Result<u64, Error> {
        let operation = "removing old entries of the audit";
        let mut write = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed(operation))?;
        let done = sqlx::query(statement).bind(before.0).bind(BATCH).execute(&mut *write).await;
        let removed = done.map_err(failed(operation))?.rows_affected();
        write.commit().await.map_err(failed(operation))?;
        Ok(removed)
    }

    /// Refusals, and all.
    async fn counts(&self) -> Result<(u64, u64), Error> {
        let (refusals, all): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM entries WHERE event = 'refused'), (SELECT count(*) FROM entries)",
        )
        .fetch_one(&self.writer)
        .await
        .map_err(failed("counting the audit's entries"))?;
        Ok((refusals.unsigned_abs(), all.unsigned_abs()))
    }

    pub(super) async fn pages_in_use(&self) -> Result<i64, Error> {
        self.measure("SELECT page_count - freelist_count FROM pragma_page_count(), pragma_freelist_count()").await
    }

    pub(super) async fn pages(&self) -> Result<i64, Error> {
        self.measure("SELECT page_count FROM pragma_page_count()").await
    }

    async fn measure(&self, statement: &'static str) -> Result<i64, Error> {
        sqlx::query_scalar(statement).fetch_one(&self.writer).await.map_err(failed("measuring the audit"))
    }
}

impl Bounds {
    /// From here on the oldest make room …
    pub(super) fn high(self) -> i64 {
        i64::from(self.pages) * 9 / 10
    }

    /// … down to here.
    fn low(self) -> i64 {
        i64::from(self.pages) * 8 / 10
    }
}

/// Refusals are the entries that a stranger can cause: they may take a quarter of the room from the others, not more.
const fn refusals_go_first(refusals: u64, all: u64) -> bool {
    refusals > all / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_a_quarter_of_the_room() {
        assert!(refusals_go_first(26, 100) && !refusals_go_first(25, 100));
        assert!(!refusals_go_first(0, 0) && refusals_go_first(1, 1));
    }
}
