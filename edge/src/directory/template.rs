//! Addresses by rule: where every node's address follows from its name, no list is needed.
//!
//! The name comes out of a token before anything about that is proved, so a template must not be able to name a host
//! that is not the operator's: what follows the name is a fixed domain.

use porthole_shared::config::{HostPort, InvalidHostPort};
use porthole_shared::names::{NodeId, NodeName};
use porthole_shared::tls::AgentIdentity;
use serde::Deserialize;

use super::Node;

/// What stands for the node's name.
const PLACE: &str = "{node}";

/// A host and port under a fixed domain, with the node's name in it, such as `{node}.internal.example:6090`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AddressTemplate(String);

/// A text that makes no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// All nodes would have one address.
    #[error("the address template has no {{node}} in its host: write it as in \"{{node}}.internal.example:6090\"")]
    NoPlace,
    /// Whoever makes up a token could have any host dialled.
    #[error(
        "the address template has no fixed domain behind {{node}}: any host could be dialled; write it as in \
         \"{{node}}.internal.example:6090\""
    )]
    NoDomain,
    /// It gives no address.
    #[error("the address template gives no address")]
    NoAddress(#[from] InvalidHostPort),
}

impl TryFrom<String> for AddressTemplate {
    type Error = InvalidTemplate;
    fn try_from(text: String) -> Result<Self, InvalidTemplate> {
        if !text.contains(PLACE) {
            return Err(InvalidTemplate::NoPlace);
        }
        // A digit for the name would let `6{node}` through as a port.
        text.replace(PLACE, "n").parse::<HostPort>()?;
        let (_, behind) = text.rsplit_once(PLACE).ok_or(InvalidTemplate::NoPlace)?;
        let domain = behind.rsplit_once(':').and_then(|(host, _port)| host.strip_prefix('.'));
        if domain.is_some_and(is_domain) { Ok(Self(text)) } else { Err(InvalidTemplate::NoDomain) }
    }
}

/// Labels with a dot between them. The last begins with a letter, or a name of numbers would make an IPv4 address.
fn is_domain(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    text.split('.').all(|label| !label.is_empty()) && last.starts_with(|first: char| first.is_ascii_alphabetic())
}

impl AddressTemplate {
    /// The node of this id, which must be a node's name here. The name's grammar keeps the id from changing anything
    /// else of the address.
    pub(super) fn node(&self, id: &NodeId) -> Option<Node> {
        let name: NodeName = id.as_str().parse().ok()?;
        let address = self.0.replace(PLACE, name.as_str()).parse().ok()?;
        Some(Node { id: id.clone(), identity: AgentIdentity::Role(name.clone()), name, address })
    }
}
