//! Which agents have consoles open through this edge, or being opened: what a drain must tell.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use porthole_shared::names::NodeId;

use crate::directory::Node;

/// The live sessions, counted by node. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Live(Arc<Mutex<HashMap<NodeId, (Node, usize)>>>);

/// One live session. Dropping it ends the count.
#[derive(Debug)]
#[must_use = "the session counts only while this lives"]
pub struct Counted {
    live: Live,
    node: NodeId,
}

impl Live {
    /// Counts a session. The node is kept as it was last dialled: it may leave the directory before the session ends,
    /// or get another address there.
    pub fn count(&self, node: &Node) -> Counted {
        let mut nodes = self.lock();
        let counted = nodes.get(&node.id).map_or(0, |(_node, count)| *count);
        nodes.insert(node.id.clone(), (node.clone(), counted + 1));
        drop(nodes);
        Counted { live: self.clone(), node: node.id.clone() }
    }

    /// The nodes that have sessions.
    pub fn nodes(&self) -> Vec<Node> {
        self.lock().values().map(|(node, _count)| node.clone()).collect()
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.lock().values().map(|(_node, count)| count).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, (Node, usize)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut nodes = self.live.lock();
        if let Some((_node, count)) = nodes.get_mut(&self.node) {
            *count -= 1;
            if *count == 0 {
                nodes.remove(&self.node);
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
        let (one, two) = (live.count(&node), live.count(&node));
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
        let _sessions = (live.count(&before), live.count(&after));
        assert_eq!((live.sessions(), live.nodes()), (2, vec![after]));
    }
}
