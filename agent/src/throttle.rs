//! A log line that a stranger can cause, at most so often.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines of one sort.
const PERIOD: Duration = Duration::from_secs(10);

/// Lets one line through in each period, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    suppressed: u64,
}

impl Throttle {
    /// May a line be written now? Then with the number of those that were not, since the last one.
    pub(crate) fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| now < last + PERIOD) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_passes_and_tells_of_the_others() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        assert_eq!(throttle.pass_at(start), Some(0));
        assert_eq!(throttle.pass_at(start), None);
        assert_eq!(throttle.pass_at(start + PERIOD / 2), None);
        assert_eq!(throttle.pass_at(start + PERIOD), Some(2));
        assert_eq!(throttle.pass_at(start + 2 * PERIOD), Some(0));
    }
}
