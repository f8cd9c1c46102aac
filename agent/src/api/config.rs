//! `[api]` of the agent's configuration.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use porthole_shared::config::Duration;
use porthole_shared::names::ClientName;
use serde::Deserialize;

use crate::callers::Role;
use crate::tunnel;

/// The most connections over the network that a configuration may allow: each costs a descriptor.
const MOST_CONNECTIONS: usize = 10_000;

/// Where the agent's API is reached, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The unix socket.
    pub socket: PathBuf,
    /// The group that may use it, beside root and the agent's own user.
    pub group: Option<String>,
    /// What that group may do. Root and the agent's own user may do everything.
    pub group_role: Role,
    /// The addresses on which it is served over TLS; none by default.
    pub listen: Vec<SocketAddr>,
    /// The certificate for that (PEM), followed by intermediates; the tunnel's, if not given.
    pub certificate: Option<PathBuf>,
    /// Its private key (PEM).
    pub key: Option<PathBuf>,
    /// The certificates that a client's must chain to (PEM); the tunnel's `ca`, if not given.
    pub client_ca: Option<PathBuf>,
    /// Clients that are known by their certificates.
    pub client: Vec<Client>,
    /// The most connections over the network at once.
    pub max_connections: usize,
    /// The most of them from one address (IPv6: one /64): whoever has not said who it is yet has an address only.
    pub max_connections_per_address: usize,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
}

/// A client that is known by its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// A DNS name in its certificate.
    pub name: ClientName,
    /// What it may do.
    pub role: Role,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/run/porthole/agent.sock"),
            group: None,
            group_role: Role::Admin,
            listen: Vec::new(),
            certificate: None,
            key: None,
            client_ca: None,
            client: Vec::new(),
            max_connections: 256,
            max_connections_per_address: 64,
            handshake_timeout: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// What is wrong between these settings, and between them and the tunnel's, if anything.
    pub fn problem(&self, tunnel: &tunnel::Config) -> Option<String> {
        let tcp_only = [
            ("certificate", self.certificate.is_some()),
            ("key", self.key.is_some()),
            ("client_ca", self.client_ca.is_some()),
            ("client", !self.client.is_empty()),
        ];
        if let (true, Some((name, _))) = (self.listen.is_empty(), tcp_only.iter().find(|(_, set)| *set)) {
            return Some(format!(
                "[api] {name} is for TLS, and [api] listen is empty; give an address such as \"192.0.2.1:6092\", or \
                 leave {name} out"
            ));
        }
        if self.certificate.is_some() != self.key.is_some() {
            return Some("[api] certificate and key go together: give both or neither".to_owned());
        }
        if self.client_ca.is_some() && self.client.is_empty() {
            return Some("[api] client_ca is set, and no [[api.client]] that it could be for".to_owned());
        }
        if let Some(address) = self.listen.iter().find(|address| address.port() != 0 && tunnel.listen.contains(address))
        {
            return Some(format!("[api] listen has {address}, which [tunnel] listen has too: use another port"));
        }
        let mut names = HashSet::new();
        if let Some(twice) = self.client.iter().find(|client| !names.insert(&client.name)) {
            return Some(format!("[[api.client]] {} is there twice", twice.name));
        }
        let is_edge =
            |name: &ClientName| tunnel.edges.iter().chain(&tunnel.denied).any(|edge| edge.as_str() == name.as_str());
        if let Some(edge) = self.client.iter().find(|client| is_edge(&client.name)) {
            return Some(format!(
                "[[api.client]] {} is an edge by [tunnel] edges or denied: an edge never calls the API; give the client \
                 a certificate of its own",
                edge.name
            ));
        }
        if self.max_connections == 0 || self.max_connections > MOST_CONNECTIONS {
            return Some(format!("[api] max_connections is {}; use 1 to {MOST_CONNECTIONS}", self.max_connections));
        }
        if self.max_connections_per_address == 0 {
            return Some("[api] max_connections_per_address is 0: nobody could call; use 1 or more".to_owned());
        }
        let hurried = self.handshake_timeout.get().is_zero();
        hurried.then(|| "[api] handshake_timeout is 0; give a length of time such as \"5s\"".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn tunnel() -> tunnel::Config {
        let files = json!({"certificate": "/a.pem", "key": "/a.key", "ca": "/ca.pem", "edges": ["edge1.example.org"],
                           "denied": ["edge2.example.org"]});
        serde_json::from_value(files).unwrap()
    }

    fn problem(changes: Value) -> Option<String> {
        serde_json::from_value::<Config>(changes).unwrap().problem(&tunnel())
    }

    #[test]
    fn nothing_listens_on_a_network_by_default() {
        let config: Config = serde_json::from_value(json!({})).unwrap();
        assert_eq!(config, Config::default());
        assert!(config.listen.is_empty());
        assert_eq!(config.problem(&tunnel()), None);
    }

    #[test]
    fn problems_say_what_to_write() {
        let client = |name: &str| json!({"name": name, "role": "operator"});
        let with = |clients: Vec<Value>| json!({"listen": ["[::]:6092"], "client": clients});
        for (changes, expected) in [
            (json!({"client": [client("a.example.org")]}), "listen is empty"),
            (json!({"certificate": "/c"}), "certificate is for TLS"),
            (json!({"listen": ["[::]:6092"], "certificate": "/c"}), "both or neither"),
            (json!({"listen": ["[::]:6092"], "client_ca": "/c"}), "no [[api.client]]"),
            (json!({"listen": ["[::]:6090"]}), "another port"),
            (with(vec![client("a.example.org"), client("a.example.org")]), "there twice"),
            (with(vec![client("edge1.example.org")]), "is an edge"),
            (with(vec![client("edge2.example.org")]), "is an edge"),
            (json!({"max_connections": 0}), "use 1 to 10000"),
            (json!({"max_connections_per_address": 0}), "use 1 or more"),
            (json!({"handshake_timeout": "0s"}), "handshake_timeout is 0"),
        ] {
            let problem = problem(changes).unwrap();
            assert!(problem.contains(expected), "{problem}");
        }
        assert_eq!(problem(with(vec![client("a.example.org")])), None);
    }

    #[test]
    fn a_role_is_one_of_three() {
        let error = serde_json::from_value::<Config>(json!({"group_role": "root"})).unwrap_err().to_string();
        assert!(error.contains("admin") && error.contains("minter"), "{error}");
    }
}
