//! Log lines that anybody can cause as often as they like.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often such a line is written.
const PERIOD: Duration = Duration::from_secs(10);

/// Says something at most once in a while, and how often it would have been said.
#[derive(Debug, Default)]
pub struct Occasionally(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    times: u64,
}

impl Occasionally {
    /// Says it now, or counts it for the next time.
    pub fn tell(&self, say: impl FnOnce(u64)) {
        self.tell_at(Instant::now(), say);
    }

    fn tell_at(&self, now: Instant, say: impl FnOnce(u64)) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.times += 1;
        if state.last.is_none_or(|last| now.duration_since(last) >= PERIOD) {
            say(state.times);
            state.last = Some(now);
            state.times = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_counted() {
        let (line, mut said, start) = (Occasionally::default(), Vec::new(), Instant::now());
        for seconds in [0, 0, 3, 9, 10, 11, 20] {
            line.tell_at(start + Duration::from_secs(seconds), |times| said.push((seconds, times)));
        }
        assert_eq!(said, [(0, 1), (10, 4), (20, 2)]);
    }
}
