//! `[tokens]` of the agent's configuration.

use porthole_shared::config::Duration;
use serde::Deserialize;

use super::Policy;

/// How long tokens live, and how their signing keys change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long a link waits for its first use, where whoever asks for it does not say.
    pub redeem_within: Duration,
    /// The longest that somebody may ask for.
    pub longest_ttl: Duration,
    /// Of whom a link is, where whoever asks for it does not say.
    pub policy: Policy,
    /// How long after the longest session a token is still known.
    pub grace: Duration,
    /// How long a signing key signs.
    pub key_rotation: Duration,
    /// How long before it signs a key is published.
    pub key_lead: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            redeem_within: Duration::from_secs(10 * 60),
            longest_ttl: Duration::from_secs(60 * 60),
            policy: Policy::Bound,
            grace: Duration::from_secs(60),
            key_rotation: Duration::from_secs(30 * 24 * 60 * 60),
            key_lead: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl Config {
    /// What is wrong between these settings, if anything.
    pub fn problem(&self) -> Option<String> {
        if self.redeem_within.as_seconds() < 1 {
            return Some("[tokens] redeem_within is less than a second: no link could be opened in time".to_owned());
        }
        if self.longest_ttl < self.redeem_within {
            return Some(format!(
                "[tokens] longest_ttl ({}) is shorter than redeem_within ({})",
                self.longest_ttl, self.redeem_within
            ));
        }
        if self.key_rotation <= self.key_lead {
            return Some(format!(
                "[tokens] key_rotation ({}) must be longer than key_lead ({}): a key is published that long before it \
                 signs",
                self.key_rotation, self.key_lead
            ));
        }
        None
    }
}
