//! The file `nodes.toml`: one `[[node]]` entry a node.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::ops::Range;
use std::path::Path;

use porthole_shared::config::{HostPort, LoadError, read};
use porthole_shared::names::{NodeId, NodeName};
use porthole_shared::tls::AgentIdentity;
use serde::Deserialize;
use toml::Spanned;

use super::Node;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    node: Vec<Spanned<Entry>>,
}

/// One node, as the operator writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Its name, as in its agent's certificate.
    name: NodeName,
    /// Where its agent listens.
    address: HostPort,
    /// Its id, where the agent's configuration sets one; else derived from the name, as the agent does.
    id: Option<NodeId>,
    /// With an operator's own PKI: the DNS name in its agent's certificate.
    dns_name: Option<NodeName>,
}

/// Reads and checks it.
pub(super) fn load(path: &Path) -> Result<HashMap<NodeId, Node>, LoadError> {
    let text = read(path)?;
    parse(&text).map_err(|message| LoadError::Parse { path: path.to_owned(), message })
}

fn parse(text: &str) -> Result<HashMap<NodeId, Node>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    let mut nodes = HashMap::with_capacity(file.node.len());
    let mut names: HashMap<NodeName, Range<usize>> = HashMap::with_capacity(file.node.len());
    for entry in file.node {
        let span = entry.span();
        let node = entry.into_inner().into_node();
        if let Some(earlier) = names.insert(node.name.clone(), span.clone()) {
            return Err(twice(text, "name", node.name.as_str(), &earlier, &span));
        }
        match nodes.entry(node.id.clone()) {
            Slot::Vacant(slot) => drop(slot.insert((node, span))),
            Slot::Occupied(slot) => return Err(twice(text, "id", node.id.as_str(), &slot.get().1, &span)),
        }
    }
    Ok(nodes.into_iter().map(|(id, (node, _span))| (id, node)).collect())
}

impl Entry {
    fn into_node(self) -> Node {
        Node {
            id: self.id.unwrap_or_else(|| NodeId::derived_from(&self.name)),
            identity: self.dns_name.map_or_else(|| AgentIdentity::Role(self.name.clone()), AgentIdentity::Dns),
            name: self.name,
            address: self.address,
        }
    }
}

fn twice(text: &str, what: &str, value: &str, earlier: &Range<usize>, later: &Range<usize>) -> String {
    let line = |at: &Range<usize>| text.bytes().take(at.start).filter(|byte| *byte == b'\n').count() + 1;
    format!(
        "line {}: the node {what} {value:?} is already taken by the [[node]] in line {}",
        line(later),
        line(earlier)
    )
}
