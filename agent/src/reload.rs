//! Which settings of `agent.toml` hold without a restart, and how they are put in force.
//!
//! They hold for what comes: a limit for the next connection, a base URL for the next link. No session ends by it, but
//! one whose edge is `denied` cannot begin a new one. Certificates are followed by whoever uses them.

use std::path::Path;

use porthole_shared::config::LoadError;
use porthole_shared::reload::Followed;
use porthole_shared::telemetry::Logs;

use crate::config::Config;
use crate::consoles::Consoles;
use crate::sessions::Sessions;
use crate::tokens::Tokens;
use crate::tunnel::Trust;

/// All others need a restart.
pub const LIVE: &[&str] = &[
    "external",
    "log.level",
    "sessions.end_at_expiry",
    "sessions.idle",
    "sessions.longest",
    "sessions.longest_idle",
    "sessions.max",
    "sessions.max_per_client",
    "sessions.max_per_console",
    "sessions.max_per_requestor",
    "tokens.grace",
    "tokens.longest_ttl",
    "tokens.policy",
    "tokens.redeem_within",
    "tunnel.denied",
    "tunnel.edges",
    "urls",
];

/// Reads the file for the first time.
pub fn open(path: &Path) -> Result<(Config, Followed<Config>), LoadError> {
    Followed::open(path, LIVE, Config::parse)
}

/// What can be changed.
#[derive(Debug)]
pub struct Running {
    /// Whose links are made otherwise.
    pub tokens: Tokens,
    /// Whose limits change.
    pub sessions: Sessions,
    /// Where external ones come and go.
    pub consoles: Consoles,
    /// Whose idea of an edge changes.
    pub trust: Trust,
    /// Which say more or less.
    pub logs: Logs,
}

impl Running {
    /// Puts the settings in force.
    pub fn apply(&self, config: Config) {
        self.logs.set_level(config.log.level);
        self.trust.set_policy(config.tunnel.policy());
        self.sessions.set_limits(&config.sessions);
        self.tokens.set(config.tokens, config.urls, (&config.sessions).into());
        self.consoles.set_external(config.external);
    }
}
