//! Which nodes there are: the only source of addresses that an edge dials.
//!
//! A token names a node by an opaque id. This module turns that id into a name to verify and an address to connect to,
//! from a file of the operator's or from a name template; never from anything that a client or an agent said. A file is
//! read again when it changes, and a bad one leaves the last good one in force. Whether a node is alive is not known
//! here.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use porthole_shared::config::{Duration, HostPort, LoadError};
use porthole_shared::lifecycle::{Shutdown, chain};
use porthole_shared::names::{NodeId, NodeName};
use porthole_shared::tls::{AgentIdentity, IdentityFiles};
use porthole_shared::watch::FileWatch;
use serde::Deserialize;

mod file;
mod template;

pub use template::{AddressTemplate, InvalidTemplate};

/// The `[agents]` table: who this edge is towards agents, and where they are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Table")]
pub struct Config {
    /// The edge's internal client certificate, its key, and the CA of the agents.
    pub identity: IdentityFiles,
    /// Where the nodes are listed.
    pub nodes: Source,
    /// How long a connection to an agent may take to be there: name, TCP and TLS together.
    pub connect_timeout: Duration,
}

/// Where nodes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A TOML file of `[[node]]` entries.
    File(PathBuf),
    /// Every node id is a node's name, and its address follows from that.
    Template(AddressTemplate),
}

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    certificate: PathBuf,
    key: PathBuf,
    ca: PathBuf,
    nodes: Option<PathBuf>,
    template: Option<AddressTemplate>,
    connect_timeout: Option<Duration>,
}

/// The table says nothing, or two things, about where nodes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "[agents] needs exactly one of `nodes` (a file, such as \"/etc/porthole/nodes.toml\") and `template` (such as \
     \"{{node}}.internal.example:6090\")"
)]
pub struct OneSource;

impl TryFrom<Table> for Config {
    type Error = OneSource;
    fn try_from(table: Table) -> Result<Self, OneSource> {
        let nodes = match (table.nodes, table.template) {
            (Some(path), None) => Source::File(path),
            (None, Some(template)) => Source::Template(template),
            (Some(_), Some(_)) | (None, None) => return Err(OneSource),
        };
        Ok(Self {
            identity: IdentityFiles { certificate: table.certificate, key: table.key, ca: table.ca },
            nodes,
            connect_timeout: table.connect_timeout.unwrap_or(Duration::from_secs(5)),
        })
    }
}

/// A node that may be dialled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    /// What tokens call it.
    pub id: NodeId,
    /// What operators call it: for logs.
    pub name: NodeName,
    /// Whom its certificate must name.
    pub identity: AgentIdentity,
    /// Where it listens.
    pub address: HostPort,
}

/// All nodes. Clones share one state.
#[derive(Debug, Clone)]
pub struct Directory(Arc<Inner>);

#[derive(Debug)]
enum Inner {
    File { path: PathBuf, state: ArcSwap<Listed> },
    Template(AddressTemplate),
}

/// What a file said, and the how-manieth reading of it that was.
#[derive(Debug)]
struct Listed {
    nodes: HashMap<NodeId, Node>,
    generation: u64,
}

impl Directory {
    /// Reads the file, if there is one.
    pub fn open(source: &Source) -> Result<Self, LoadError> {
        let inner = match source {
            Source::Template(template) => Inner::Template(template.clone()),
            Source::File(path) => {
                let state = ArcSwap::from_pointee(Listed { nodes: file::load(path)?, generation: 0 });
                Inner::File { path: path.clone(), state }
            }
        };
        Ok(Self(Arc::new(inner)))
    }

    /// The node that tokens call so.
    pub fn find(&self, id: &NodeId) -> Option<Node> {
        match &*self.0 {
            Inner::File { state, .. } => state.load().nodes.get(id).cloned(),
            Inner::Template(template) => template.node(id),
        }
    }

    /// All listed nodes, in no order; none where a template makes them up.
    pub fn nodes(&self) -> Vec<Node> {
        match &*self.0 {
            Inner::File { state, .. } => state.load().nodes.values().cloned().collect(),
            Inner::Template(_) => Vec::new(),
        }
    }

    /// Whether any name has a node here: then what a token names may be made up.
    pub(crate) fn is_template(&self) -> bool {
        matches!(&*self.0, Inner::Template(_))
    }

    /// Changes with every reading of the file, so that others can tell when to look again.
    pub(crate) fn generation(&self) -> u64 {
        match &*self.0 {
            Inner::File { state, .. } => state.load().generation,
            Inner::Template(_) => 0,
        }
    }

    /// Reads the file again whenever it changes, until the process stops.
    pub async fn watch(self, shutdown: Shutdown) {
        let Inner::File { path, .. } = &*self.0 else { return };
        let mut changes = FileWatch::new([path.clone()]);
        // It may have changed since it was opened.
        self.reload();
        loop {
            tokio::select! {
                () = shutdown.hard.cancelled() => return,
                () = changes.changed() => self.reload(),
            }
        }
    }

    pub(crate) fn reload(&self) {
        let Inner::File { path, state } = &*self.0 else { return };
        match file::load(path) {
            Err(error) => tracing::error!(
                error = chain(&error),
                "the node directory cannot be used: the nodes known before stay in force"
            ),
            Ok(nodes) => {
                let old = state.load();
                if old.nodes == nodes {
                    return;
                }
                tracing::info!(path = %path.display(), before = old.nodes.len(), now = nodes.len(), "node directory read");
                state.store(Arc::new(Listed { nodes, generation: old.generation + 1 }));
            }
        }
    }
}

#[cfg(test)]
mod tests;
