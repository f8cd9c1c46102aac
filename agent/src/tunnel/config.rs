//! `[tunnel]` of the agent's configuration.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use porthole_shared::config::Duration;
use porthole_shared::names::EdgeName;
use porthole_shared::tls::{EdgePolicy, IdentityFiles};
use serde::Deserialize;

/// The port that agents listen on for edges.
pub const DEFAULT_PORT: u16 = 6090;

/// The most connections that a configuration may allow: each costs a descriptor.
pub const MOST_CONNECTIONS: usize = 100_000;

/// Where edges reach this agent, and who is one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The addresses. `[::]` stands for IPv4, too, unless an IPv4 address with the same port is listed.
    #[serde(default = "everywhere")]
    pub listen: Vec<SocketAddr>,
    /// This agent's certificate (PEM), followed by intermediates.
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// The certificates that an edge's must chain to (PEM).
    pub ca: PathBuf,
    /// DNS names that are edges although their certificates do not say so: for an operator's own PKI.
    #[serde(default)]
    pub edges: Vec<EdgeName>,
    /// Edges that are refused whatever their certificate says.
    #[serde(default)]
    pub denied: Vec<EdgeName>,
    /// The most connections at once, those of sessions included.
    #[serde(default = "many")]
    pub max_connections: usize,
    /// How long a TLS handshake may take.
    #[serde(default = "five_seconds")]
    pub handshake_timeout: Duration,
}

impl Config {
    /// The files that say who this agent is, and whom it believes.
    pub fn identity(&self) -> IdentityFiles {
        IdentityFiles { certificate: self.certificate.clone(), key: self.key.clone(), ca: self.ca.clone() }
    }

    /// Who is an edge.
    pub fn policy(&self) -> EdgePolicy {
        EdgePolicy { dns_names: self.edges.clone(), denied: self.denied.clone() }
    }

    /// What is wrong between these settings, if anything.
    pub fn problem(&self) -> Option<String> {
        if self.listen.is_empty() {
            return Some(format!("[tunnel] listen is empty; give an address such as \"192.0.2.1:{DEFAULT_PORT}\""));
        }
        if self.max_connections == 0 || self.max_connections > MOST_CONNECTIONS {
            return Some(format!("[tunnel] max_connections is {}; use 1 to {MOST_CONNECTIONS}", self.max_connections));
        }
        let unhurried = !self.handshake_timeout.get().is_zero();
        (!unhurried).then(|| "[tunnel] handshake_timeout is 0; give a length of time such as \"5s\"".to_owned())
    }
}

fn everywhere() -> Vec<SocketAddr> {
    vec![(Ipv6Addr::UNSPECIFIED, DEFAULT_PORT).into()]
}

const fn many() -> usize {
    4096
}

const fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(changes: &Value) -> Result<Config, serde_json::Error> {
        let mut table = json!({"certificate": "/a.pem", "key": "/a.key", "ca": "/ca.pem"});
        table.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(table)
    }

    #[test]
    fn only_the_files_must_be_given() {
        let config = read(&json!({})).unwrap();
        assert_eq!(config.listen, ["[::]:6090".parse().unwrap()]);
        assert_eq!(config.problem(), None);
        assert!(serde_json::from_str::<Config>("{}").unwrap_err().to_string().contains("certificate"));
        assert!(read(&json!({"port": 1})).unwrap_err().to_string().contains("unknown field"));
        assert!(read(&json!({"listen": ["localhost"]})).is_err());
        assert!(read(&json!({"edges": ["Not A Name"]})).unwrap_err().to_string().contains("lower-case DNS name"));
    }

    #[test]
    fn the_lists_become_the_policy() {
        let config = read(&json!({"edges": ["edge1.example.org"], "denied": ["edge-2"]})).unwrap();
        assert_eq!(config.policy().dns_names, ["edge1.example.org".parse().unwrap()]);
        assert_eq!(config.policy().denied, ["edge-2".parse().unwrap()]);
    }

    #[test]
    fn problems_say_what_to_write() {
        for (changes, expected) in [
            (json!({"listen": []}), "listen is empty"),
            (json!({"max_connections": 0}), "max_connections is 0"),
            (json!({"max_connections": 1_000_000}), "use 1 to 100000"),
            (json!({"handshake_timeout": "0s"}), "handshake_timeout is 0"),
        ] {
            let problem = read(&changes).unwrap().problem().unwrap();
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
