//! Addresses by rule: where every node's address follows from its name, no list is needed.

use porthole_shared::config::{HostPort, InvalidHostPort};
use porthole_shared::names::{NodeId, NodeName};
use porthole_shared::tls::AgentIdentity;
use serde::Deserialize;

use super::Node;

/// What stands for the node's name.
const PLACE: &str = "{node}";

/// A host and port with the node's name in it, such as `{node}.internal.example:6090`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AddressTemplate(String);

/// A text that makes no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// All nodes would have one address.
    #[error("the address template has no {{node}} in its host: write it as in \"{{node}}.internal.example:6090\"")]
    NoPlace,
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
        Ok(Self(text))
    }
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
