//! `[api]` of the agent's configuration.

use std::path::PathBuf;

use serde::Deserialize;

/// Where the agent's own host reaches it, and who may.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The unix socket.
    pub socket: PathBuf,
    /// The group that may use it, beside root and the agent's own user.
    pub group: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { socket: PathBuf::from("/run/porthole/agent.sock"), group: None }
    }
}
