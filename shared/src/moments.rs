//! Moments at which agents ping their clients: the same for all sessions, on all hosts.
//!
//! A session needs its pings now and then, not at a moment of its own. Together they cost an agent, and above all an edge
//! with the sessions of many agents, one wake-up for many instead of one for each. So they share moments by the wall
//! clock; sessions are still spread over all of them, so that none of these moments is a crowd's.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock;

/// How far moments are apart at most. Hosts' clocks differ by less where they are kept, and a wait is not much longer.
const APART: Duration = Duration::from_millis(250);

/// Of a session's interval between pings, so much are moments apart at most: short intervals stay what they are.
const OF_AN_INTERVAL: u32 = 100;

/// The first such moment that is not before `at`, for a session with this interval between two pings.
pub fn at_or_after(at: Instant, interval: Duration) -> Instant {
    let wall = clock::since_epoch() + at.saturating_duration_since(Instant::now());
    at + until(wall, APART.min(interval / OF_AN_INTERVAL))
}

/// How long from `wall`, time since 1970, to the next multiple of `apart`.
fn until(wall: Duration, apart: Duration) -> Duration {
    let past = wall.as_nanos().checked_rem(apart.as_nanos()).unwrap_or_default();
    if past == 0 { Duration::ZERO } else { apart.saturating_sub(Duration::from_nanos_u128(past)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_next_multiple() {
        let ms = Duration::from_millis;
        for (wall, wait) in [(1_000, 0), (1_001, 249), (1_249, 1), (1_250, 0), (1_499, 1)] {
            assert_eq!(until(ms(wall), ms(250)), ms(wait), "{wall}");
        }
        let late = Duration::from_secs(20_000_000_000) + Duration::from_nanos(1);
        assert_eq!(until(late, ms(250)), Duration::from_nanos(249_999_999));
        assert_eq!(until(ms(1_001), Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn sessions_wake_together_and_hardly_later_than_they_would() {
        let (interval, now) = (Duration::from_secs(30), Instant::now());
        let mut moments: Vec<Instant> =
            (0..1000).map(|each| at_or_after(now + Duration::from_millis(each), interval)).collect();
        for (each, moment) in (0..1000).zip(&moments) {
            let waited = moment.duration_since(now + Duration::from_millis(each));
            assert!(waited <= APART + Duration::from_millis(50), "{waited:?}");
        }
        // The two clocks are read one after the other.
        moments.dedup_by(|next, moment| next.duration_since(*moment) < Duration::from_millis(50));
        assert!(moments.len() <= 6, "{moments:?}");
        let short = at_or_after(now, Duration::from_millis(100)).duration_since(now);
        assert!(short <= Duration::from_millis(1) + Duration::from_millis(50), "{short:?}");
    }
}
