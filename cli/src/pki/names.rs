//! What a certificate is for, and the names it carries.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use porthole_shared::names::{ClientName, EdgeName, NodeName};
use porthole_shared::tls::Role;
use rustls::pki_types::ServerName;

/// What a certificate is for. Decides where it lies, what it may do and how long it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The CA that agents and edges trust.
    Authority,
    /// The server side of a node's tunnel.
    Agent(NodeName),
    /// The client side of an edge's tunnels.
    Edge(EdgeName),
    /// A client of agents' APIs.
    Client(ClientName),
    /// What browsers see of an edge on trial: signed by itself, apart from the CA.
    Public,
}

impl Purpose {
    /// The word for it in JSON and on the command line.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Authority => "ca",
            Self::Agent(_) => "agent",
            Self::Edge(_) => "edge",
            Self::Client(_) => "client",
            Self::Public => "public",
        }
    }

    /// Whose it is, where there can be several.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Agent(node) => Some(node.as_str()),
            Self::Edge(edge) => Some(edge.as_str()),
            Self::Client(client) => Some(client.as_str()),
            Self::Authority | Self::Public => None,
        }
    }

    /// As `porthole pki renew` takes it.
    pub(crate) fn argument(&self) -> String {
        self.name().map_or_else(|| self.word().to_owned(), |name| format!("{} {name}", self.word()))
    }

    /// What stands in the certificate's URI SAN.
    pub(crate) fn role(&self) -> Option<Role> {
        match self {
            Self::Agent(node) => Some(Role::Agent(node.clone())),
            Self::Edge(edge) => Some(Role::Edge(edge.clone())),
            Self::Authority | Self::Client(_) | Self::Public => None,
        }
    }

    /// How many days it lasts unless told otherwise. Browsers take no public certificate of more than 397 days.
    pub(crate) const fn default_days(&self) -> u32 {
        match self {
            Self::Authority => 3650,
            Self::Agent(_) | Self::Edge(_) | Self::Client(_) => 365,
            Self::Public => 397,
        }
    }

    /// The folder of a leaf's files, below the folder of everything.
    pub(crate) fn folder(&self) -> PathBuf {
        match self {
            Self::Authority => PathBuf::new(),
            Self::Agent(node) => PathBuf::from("agents").join(node.as_str()),
            Self::Edge(edge) => PathBuf::from("edges").join(edge.as_str()),
            Self::Client(client) => PathBuf::from("clients").join(client.as_str()),
            Self::Public => PathBuf::from("public"),
        }
    }
}

/// As a sentence has it.
impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority => f.write_str("the CA"),
            Self::Agent(node) => write!(f, "the agent of {node}"),
            Self::Edge(edge) => write!(f, "the edge {edge}"),
            Self::Client(client) => write!(f, "the client {client}"),
            Self::Public => f.write_str("an edge's public side"),
        }
    }
}

/// A DNS name (in lower case; its first label may be `*`) or an address, as it stands in a subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubjectName {
    /// A DNS name.
    Dns(String),
    /// An address.
    Address(IpAddr),
}

/// A text that is no such name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a DNS name (such as host.example.org) nor an address (such as 192.0.2.1 or 2001:db8::1)")]
pub(crate) struct InvalidSubjectName(String);

impl FromStr for SubjectName {
    type Err = InvalidSubjectName;
    fn from_str(text: &str) -> Result<Self, InvalidSubjectName> {
        let invalid = || InvalidSubjectName(text.chars().take(80).collect());
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let plain = text.strip_prefix("*.").unwrap_or(text);
        match ServerName::try_from(plain) {
            Ok(ServerName::DnsName(name)) if !name.as_ref().ends_with('.') => Ok(Self::Dns(text.to_ascii_lowercase())),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for SubjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_apart() {
        for (text, expected) in [
            ("Host.Example.org", SubjectName::Dns("host.example.org".to_owned())),
            ("*.example.org", SubjectName::Dns("*.example.org".to_owned())),
            ("localhost", SubjectName::Dns("localhost".to_owned())),
            ("192.0.2.1", SubjectName::Address("192.0.2.1".parse().unwrap())),
            ("2001:DB8::1", SubjectName::Address("2001:db8::1".parse().unwrap())),
        ] {
            assert_eq!(text.parse(), Ok(expected));
        }
        for bad in
            ["", "*", "*.192.0.2.1", "a..b", "a.", "a b", "256.0.0.1", "[::1]", "https://a", "a:443", "10.0.0.0/8"]
        {
            assert!(bad.parse::<SubjectName>().is_err(), "{bad}");
        }
    }
}
