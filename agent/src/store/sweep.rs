//! Removing what nobody will ask for again, a little at a time.

use std::sync::Arc;
use std::time::Duration;

use porthole_shared::clock::{Clock, UnixTime};
use porthole_shared::lifecycle::{Shutdown, chain};
use tokio::time::{MissedTickBehavior, interval};

use super::{Error, Store, failed};

/// For so long an expired token is refused as `expired`; after that as `unknown_token`.
const KEEP_TOKENS_SECONDS: i64 = 24 * 60 * 60;

/// For so long it is known who was on which console.
const KEEP_SESSIONS_SECONDS: i64 = 90 * 24 * 60 * 60;

/// Rows per transaction, so that a redeem never waits long behind it.
const BATCH: i64 = 500;

const PERIOD: Duration = Duration::from_mins(10);

/// How many rows were removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Of tokens.
    pub tokens: u64,
    /// Of sessions.
    pub sessions: u64,
}

/// Sweeps every ten minutes until the agent stops.
pub async fn sweep_now_and_then(store: Store, clock: Arc<dyn Clock>, shutdown: Shutdown) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.soft.run_until_cancelled(ticks.tick()).await.is_some() {
        match store.sweep(clock.now()).await {
            Ok(Swept { tokens: 0, sessions: 0 }) => {}
            Ok(Swept { tokens, sessions }) => tracing::debug!(tokens, sessions, "removed old rows"),
            Err(error) => tracing::warn!(error = chain(&error), "old rows were not removed"),
        }
    }
}

impl Store {
    /// Removes old sessions, then old tokens that no session names any more.
    pub async fn sweep(&self, now: UnixTime) -> Result<Swept, Error> {
        let sessions = self
            .remove(
                "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE ended < ?1 LIMIT ?2)",
                now.plus(-KEEP_SESSIONS_SECONDS),
            )
            .await?;
        let tokens = self
            .remove(
                "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE expires < ?1 AND NOT EXISTS \
                 (SELECT 1 FROM sessions WHERE token_id = tokens.id) LIMIT ?2)",
                now.plus(-KEEP_TOKENS_SECONDS),
            )
            .await?;
        Ok(Swept { tokens, sessions })
    }

    async fn remove(&self, statement: &'static str, before: UnixTime) -> Result<u64, Error> {
        let operation = "removing old rows";
        let mut removed = 0;
        loop {
            let mut write = self.write(operation).await?;
            let done = sqlx::query(statement).bind(before.0).bind(BATCH).execute(&mut *write).await;
            let batch = done.map_err(failed(operation))?.rows_affected();
            write.commit().await.map_err(failed(operation))?;
            removed += batch;
            if batch < BATCH.unsigned_abs() {
                return Ok(removed);
            }
        }
    }
}
