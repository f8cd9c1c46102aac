//! `[sessions]` of the agent's configuration.

use porthole_shared::config::Duration;
use serde::Deserialize;

/// How long sessions may last, how many there may be, and how a vanished client is noticed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// After this long a session ends, however busy it is.
    pub longest: Duration,
    /// After this long without input a session ends; never, if it is not set. A link may ask for less.
    pub idle: Option<Duration>,
    /// The most connections in all.
    pub max: usize,
    /// The most connections of one console. QEMU takes 32 VNC clients.
    pub max_per_console: usize,
    /// Between two WebSocket pings. Load balancers cut connections that are silent for about a minute.
    pub ping_interval: Duration,
    /// A client that has sent nothing for this long after a ping counts as gone.
    pub ping_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            longest: Duration::from_secs(12 * 60 * 60),
            idle: None,
            max: 1000,
            max_per_console: 32,
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(30),
        }
    }
}

/// The most connections that a configuration may allow: each costs a few descriptors.
pub const MOST_CONNECTIONS: usize = 100_000;

impl Config {
    /// What is wrong between these settings, if anything.
    pub fn problem(&self) -> Option<String> {
        let zero = |name: &str, length: Duration| {
            length.get().is_zero().then(|| format!("[sessions] {name} is 0; give a length of time such as \"30s\""))
        };
        if self.max == 0 || self.max > MOST_CONNECTIONS {
            return Some(format!("[sessions] max is {}; use 1 to {MOST_CONNECTIONS}", self.max));
        }
        if self.max_per_console == 0 || self.max_per_console > self.max {
            return Some(format!(
                "[sessions] max_per_console is {}; use 1 to max, which is {}",
                self.max_per_console, self.max
            ));
        }
        if self.longest.as_seconds() < 1 {
            // Rows and claims count whole seconds.
            return Some("[sessions] longest is less than a second: every session would end as it begins".to_owned());
        }
        if self.idle.is_some_and(|idle| idle.as_seconds() < 1) {
            return Some("[sessions] idle is less than a second; leave it out for no limit".to_owned());
        }
        zero("ping_interval", self.ping_interval).or_else(|| zero("ping_timeout", self.ping_timeout))
    }
}
