//! `[sessions]` of the agent's configuration.

use porthole_shared::config::Duration;
use serde::Deserialize;

/// How long sessions may last, how many there may be, and how a vanished client is noticed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// After this long a session ends, however busy it is.
    pub longest: Duration,
    /// Without a person's input for so long a session ends, where whoever asks for its link does not say. None by default.
    pub idle: Option<Duration>,
    /// The longest idle limit that somebody may ask for; `longest`, if absent.
    pub longest_idle: Option<Duration>,
    /// Whether a session ends when the time for its link's first use is over, as with Nova's
    /// `enforce_session_timeout`.
    pub end_at_expiry: bool,
    /// The most connections in all.
    pub max: usize,
    /// The most connections of one console. QEMU takes 32 VNC clients.
    pub max_per_console: usize,
    /// The most connections with links that one requestor asked for. No limit by default.
    pub max_per_requestor: Option<usize>,
    /// The most connections from one client address, as the edge sees it. No limit by default: many people may be behind
    /// one address, and behind a load balancer all are.
    pub max_per_client: Option<usize>,
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
            longest_idle: None,
            end_at_expiry: false,
            max: 1000,
            max_per_console: 32,
            max_per_requestor: None,
            max_per_client: None,
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(30),
        }
    }
}

/// The most connections that a configuration may allow: each costs a few descriptors.
pub const MOST_CONNECTIONS: usize = 100_000;

/// How long sessions may last: what tokens are made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// In all.
    pub longest: Duration,
    /// Without input, where nobody asks for more or less.
    pub idle: Option<Duration>,
    /// Without input, at most.
    pub longest_idle: Option<Duration>,
    /// No longer than its link's first use is possible.
    pub end_at_expiry: bool,
}

impl Lengths {
    /// The longest idle limit that somebody may ask for.
    pub fn longest_idle(&self) -> Duration {
        self.longest_idle.unwrap_or(self.longest)
    }
}

impl From<&Config> for Lengths {
    fn from(config: &Config) -> Self {
        let &Config { longest, idle, longest_idle, end_at_expiry, .. } = config;
        Self { longest, idle, longest_idle, end_at_expiry }
    }
}

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
        for (name, most) in [("max_per_requestor", self.max_per_requestor), ("max_per_client", self.max_per_client)] {
            if let Some(most) = most.filter(|most| *most == 0 || *most > self.max) {
                return Some(format!(
                    "[sessions] {name} is {most}; use 1 to max, which is {}, or leave it out for no limit",
                    self.max
                ));
            }
        }
        if self.longest.as_seconds() < 1 {
            // Rows and claims count whole seconds.
            return Some("[sessions] longest is less than a second: every session would end as it begins".to_owned());
        }
        let idle = self.idle.filter(|idle| idle.as_seconds() < 1 || *idle > Lengths::from(self).longest_idle());
        if let Some(idle) = idle {
            return Some(format!(
                "[sessions] idle is {idle}; use 1s to longest_idle (or, without that, longest), which is {}",
                Lengths::from(self).longest_idle()
            ));
        }
        if let Some(longest_idle) = self.longest_idle {
            if longest_idle > self.longest {
                return Some(format!(
                    "[sessions] longest_idle ({longest_idle}) is longer than longest ({}), when every session ends anyway",
                    self.longest
                ));
            }
            if self.idle.is_none() {
                return Some(format!(
                    "[sessions] longest_idle is {longest_idle}, but without `idle` a link that asks for no limit has none: \
                     set idle too"
                ));
            }
        }
        zero("ping_interval", self.ping_interval).or_else(|| zero("ping_timeout", self.ping_timeout))
    }
}
