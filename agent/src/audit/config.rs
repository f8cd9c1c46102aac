//! `[audit]` of the agent's configuration.

use porthole_shared::config::Duration;
use serde::Deserialize;

/// How much is remembered of who did what, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether there is an audit at all.
    pub enabled: bool,
    /// How long an entry is kept.
    pub retention: Duration,
    /// The largest that the file may become; before that, the oldest entries go.
    pub max_mib: u32,
    /// Whether entries are lines of the log, too (target `audit`), whatever its level.
    pub log: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, retention: Duration::from_secs(90 * 24 * 60 * 60), max_mib: 256, log: true }
    }
}

/// The smallest file that may be configured: a tenth of it must hold the largest entries that come between two looks at
/// its size.
const LEAST_MIB: u32 = 16;

/// The largest: a tebibyte.
const MOST_MIB: u32 = 1 << 20;

impl Config {
    /// What is wrong with these settings, if anything.
    pub fn problem(&self) -> Option<String> {
        if self.retention.as_seconds() < 1 {
            return Some("[audit] retention is less than a second; to have no audit, set enabled = false".to_owned());
        }
        if !(LEAST_MIB..=MOST_MIB).contains(&self.max_mib) {
            return Some(format!("[audit] max_mib is {}; use {LEAST_MIB} to {MOST_MIB}", self.max_mib));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_say_what_to_write() {
        assert_eq!(Config::default().problem(), None);
        let problem = |text: &str| serde_json::from_str::<Config>(text).unwrap().problem().unwrap();
        assert!(problem(r#"{"max_mib": 15}"#).contains("use 16 to"));
        assert!(problem(r#"{"max_mib": 2000000}"#).contains("max_mib is 2000000"));
        assert!(problem(r#"{"retention": "10ms"}"#).contains("enabled = false"));
        assert!(serde_json::from_str::<Config>(r#"{"max_size": 1}"#).is_err());
    }
}
