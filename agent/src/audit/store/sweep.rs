//! Removing what is too old, or has no room any more, a little at a time.

use porthole_shared::clock::UnixTime;
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;

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
// Of a link's entries those of its connections: who made it stays on record.
const REMOVE_OLDEST_OF_TOKEN: &str = "DELETE FROM entries WHERE id IN \
     (SELECT id FROM entries WHERE token = ?1 AND event NOT IN ('minted', 'refused') ORDER BY id LIMIT ?2)";
const BUSIEST_TOKEN: &str = "SELECT token, count(*) FROM entries \
     WHERE token IS NOT NULL AND event NOT IN ('minted', 'refused') GROUP BY token ORDER BY count(*) DESC LIMIT 1";

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
        let (busiest, mut of_busiest) = self.busiest_token().await?;
        let mut removed = 0;
        for _ in 0..MOST_BATCHES {
            if self.pages_in_use().await? <= self.bounds.low() {
                break;
            }
            let left = all.saturating_sub(removed);
            let batch = if goes_first(refusals, left) {
                let batch = self.remove(REMOVE_OLDEST_REFUSALS, oldest).await?;
                refusals = refusals.saturating_sub(batch);
                batch
            } else if goes_first(of_busiest, left) {
                let batch = self.remove_of(&busiest).await?;
                of_busiest = of_busiest.saturating_sub(batch);
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
        self.run(sqlx::query(statement).bind(before.0).bind(BATCH)).await
    }

    async fn remove_of(&self, token: &str) -> Result<u64, Error> {
        self.run(sqlx::query(REMOVE_OLDEST_OF_TOKEN).bind(token.to_owned()).bind(BATCH)).await
    }

    async fn run(&self, statement: Query<'static, Sqlite, SqliteArguments>) -> Result<u64, Error> {
        let operation = "removing old entries of the audit";
        let mut write = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed(operation))?;
        let removed = statement.execute(&mut *write).await.map_err(failed(operation))?.rows_affected();
        write.commit().await.map_err(failed(operation))?;
        Ok(removed)
    }

    /// The token with the most entries of connections, and how many those are.
    async fn busiest_token(&self) -> Result<(String, u64), Error> {
        let row: Option<(String, i64)> = sqlx::query_as(BUSIEST_TOKEN)
            .fetch_optional(&self.writer)
            .await
            .map_err(failed("counting the audit's entries"))?;
        Ok(row.map_or_else(Default::default, |(token, count)| (token, count.unsigned_abs())))
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

/// What one party can cause without end: refusals, which strangers draw out, and the entries of one link, whose holder
/// can come and go. Each may take a quarter of the room from the others, not more.
const fn goes_first(count: u64, all: u64) -> bool {
    count > all / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_more_than_a_quarter_of_the_room() {
        assert!(goes_first(26, 100) && !goes_first(25, 100));
        assert!(!goes_first(0, 0) && goes_first(1, 1));
    }
}
