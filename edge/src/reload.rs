//! Which settings of `edge.toml` hold without a restart, and how they are put in force: for what comes, so that no
//! session ends by it. Certificates and the node directory are followed by whoever uses them.

use std::path::Path;
use std::sync::Arc;

use porthole_shared::config::{self, LoadError};
use porthole_shared::reload::Followed;
use porthole_shared::telemetry::Logs;

use crate::config::Config;
use crate::serve::site::Site;

/// All others need a restart.
pub const LIVE: &[&str] = &[
    "agents.connect_timeout",
    "log.level",
    "public.allowed_origins",
    "public.head_timeout",
    "public.max_connections",
    "public.max_connections_per_address",
];

/// Reads the file for the first time.
pub fn open(path: &Path) -> Result<(Config, Followed<Config>), LoadError> {
    Followed::open(path, LIVE, config::parse)
}

/// What can be changed.
#[derive(Debug)]
pub struct Running {
    /// Which serves otherwise.
    pub site: Arc<Site>,
    /// Which say more or less.
    pub logs: Logs,
}

impl Running {
    /// Puts the settings in force.
    pub fn apply(&self, config: &Config) {
        self.logs.set_level(config.log.level);
        self.site.set(config);
    }
}
