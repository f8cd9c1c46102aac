//! When a session last had input, for its idle limit. All its connections share one, because a SPICE viewer's keys come
//! by another connection than its pixels.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// When there was input. Beginning counts as input.
#[derive(Debug)]
pub struct Activity {
    began: Instant,
    /// Milliseconds from the beginning to the latest input.
    latest: AtomicU64,
}

impl Default for Activity {
    fn default() -> Self {
        Self { began: Instant::now(), latest: AtomicU64::new(0) }
    }
}

impl Activity {
    /// There is input now.
    pub fn note(&self, now: Instant) {
        let since = now.saturating_duration_since(self.began).as_millis();
        self.latest.fetch_max(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When there was the latest.
    pub fn latest(&self) -> Instant {
        self.began + Duration::from_millis(self.latest.load(Ordering::Relaxed))
    }

    /// Waits until there was none for so long.
    pub(super) async fn idle_for(&self, limit: Duration) {
        loop {
            let due = self.latest() + limit;
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_input_puts_the_end_off() {
        let limit = Duration::from_millis(20);
        let (start, activity) = (Instant::now(), Activity::default());
        let input = start + Duration::from_millis(100);
        activity.note(input);
        activity.note(start);
        activity.idle_for(limit).await;
        assert!(Instant::now() >= activity.latest() + limit);
        assert!(activity.latest() > start + Duration::from_millis(90), "{:?}", activity.latest() - start);
    }
}
