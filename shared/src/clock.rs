//! Wall-clock time, passed in, so that tests can set it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Whole seconds since 1970-01-01T00:00:00Z, as in a token's claims (RFC 7519 `NumericDate`) and in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixTime(pub i64);

impl UnixTime {
    /// This many seconds later (earlier, if negative), without overflow.
    #[must_use]
    pub const fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// As people and JSON read it: `2026-11-20T10:00:00Z`.
    pub fn to_rfc3339(self) -> String {
        OffsetDateTime::from_unix_timestamp(self.0)
            .ok()
            .and_then(|when| when.format(&Rfc3339).ok())
            .unwrap_or_else(|| format!("@{}", self.0))
    }
}

/// A text that is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a moment in RFC 3339, such as 2026-11-20T10:00:00Z")]
pub struct InvalidTime;

impl FromStr for UnixTime {
    type Err = InvalidTime;
    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        OffsetDateTime::parse(text, &Rfc3339).map(|when| Self(when.unix_timestamp())).map_err(|_| InvalidTime)
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// Tells the time.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// Now.
    fn now(&self) -> UnixTime;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        UnixTime(i64::try_from(since_epoch().as_secs()).unwrap_or(i64::MAX))
    }
}

/// The time since 1970 by the system's clock, for what needs more than seconds. Nothing if the clock is before that.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the system's clock")]
pub fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A clock that stands still until it is set: for unit tests.
#[derive(Debug, Clone, Default)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Stands at `now`.
    pub fn at(now: UnixTime) -> Self {
        Self(Arc::new(AtomicI64::new(now.0)))
    }

    /// Moves it on.
    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixTime {
        UnixTime(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_rfc_3339() {
        assert_eq!(UnixTime(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(UnixTime(i64::MAX).to_string(), format!("@{}", i64::MAX));
    }

    #[test]
    fn reads_what_it_prints_and_other_zones() {
        for second in [0, -1, 1_795_168_800, 253_402_300_799] {
            assert_eq!(UnixTime(second).to_string().parse(), Ok(UnixTime(second)));
        }
        assert_eq!("2026-11-20T11:00:00.9+01:00".parse::<UnixTime>(), "2026-11-20T10:00:00Z".parse());
        for text in ["", "now", "2026-11-20", "2026-11-20T10:00:00", "1795168800"] {
            assert_eq!(text.parse::<UnixTime>(), Err(InvalidTime), "{text}");
        }
    }

    #[test]
    fn the_system_clock_is_past_2026() {
        assert!(SystemClock.now() > UnixTime(1_767_225_600));
    }
}
