//! Which agents have consoles open through this edge, or being opened: what a drain must tell.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use porthole_shared::names::{ConsoleKind, NodeId};

use crate::directory::Node;

/// The live sessions, counted by node and by kind. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Live(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    nodes: HashMap<NodeId, (Node, usize)>,
    kinds: HashMap<ConsoleKind, usize>,
}

/// One live session. Dropping it ends the count.
#[derive(Debug)]
#[must_use = "the session counts only while this lives"]
pub struct Counted {
    live: Live,
    node: NodeId,
    kind: ConsoleKind,
}

impl Live {
    /// Counts a session. The node is kept as it was last dialled: it may leave the directory before the session ends,
    /// or get another address there.
    pub fn count(&self, node: &Node, kind: ConsoleKind) -> Counted {
        let mut counts = self.lock();
        let counted = counts.nodes.get(&node.id).map_or(0, |(_node, count)| *count);
        counts.nodes.insert(node.id.clone(), (node.clone(), counted + 1));
        *counts.kinds.entry(kind).or_default() += 1;
        drop(counts);
        Counted { live: self.clone(), node: node.id.clone(), kind }
    }

    /// The nodes that have sessions.
    pub fn nodes(&self) -> Vec<Node> {
        self.lock().nodes.values().map(|(node, _count)| node.clone()).collect()
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.lock().nodes.values().map(|(_node, count)| count).sum()
    }

    /// How many there are of each kind.
    pub fn kinds(&self) -> [(ConsoleKind, usize); ConsoleKind::ALL.len()] {
        let counts = self.lock();
        ConsoleKind::ALL.map(|kind| (kind, counts.kinds.get(&kind).copied().unwrap_or_default()))
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.live.lock();
        if let Some(count) = counts.kinds.get_mut(&self.kind) {
            *count -= 1;
        }
        if let Some((_node, count)) = counts.nodes.get_mut(&self.node) {
            *count -= 1;
            if *count == 0 {
                counts.nodes.remove(&self.node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use porthole_shared::tls::AgentIdentity;

    use super::*;

    #[test]
    fn a_node_is_named_while_it_has_sessions() {
        let name: porthole_shared::names::NodeName = "compute-1".parse().unwrap();
        let node = Node {
            id: NodeId::derived_from(&name),
            name: name.clone(),
            identity: AgentIdentity::Role(name),
            address: "127.0.0.1:1".parse().unwrap(),
        };
        let live = Live::default();
        let (one, two) = (live.count(&node, ConsoleKind::Vnc), live.count(&node, ConsoleKind::Tcp));
        assert_eq!(live.kinds().map(|(_kind, count)| count), [1, 0, 0, 1]);
        assert_eq!((live.sessions(), live.nodes()), (2, vec![node.clone()]));
        drop(one);
        assert_eq!((live.sessions(), live.nodes()), (1, vec![node]));
        drop(two);
        assert_eq!((live.sessions(), live.nodes()), (0, vec![]));
    }

    #[test]
    fn a_node_is_told_where_it_was_dialled_last() {
        let name: porthole_shared::names::NodeName = "compute-1".parse().unwrap();
        let before = Node {
            id: NodeId::derived_from(&name),
            name: name.clone(),
            identity: AgentIdentity::Role(name),
            address: "127.0.0.1:1".parse().unwrap(),
        };
        let after = Node { address: "127.0.0.1:2".parse().unwrap(), ..before.clone() };
        let live = Live::default();
        let _sessions = (live.count(&before, ConsoleKind::Vnc), live.count(&after, ConsoleKind::Vnc));
        assert_eq!((live.sessions(), live.nodes()), (2, vec![after]));
    }
}
