//! `[admin]` of the agent's configuration.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

/// Where health and metrics are served.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The address to listen on. There is no authentication: keep it to this host, or to a network of operators.
    pub listen: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 6091)) }
    }
}
