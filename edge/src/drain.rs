//! Going away without cutting anybody off: the agents are asked to end this edge's sessions themselves.
//!
//! ```text
//!  no new consoles ─► each agent that has some is told once ─► it closes them with 1012 ─► the relay copies until they end
//! ```
//!
//! An edge cannot send a close frame, because it does not know where one frame ends and the next begins. When to start,
//! how long to wait and what to do about those that do not end is the process's life, not this module's.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use porthole_shared::lifecycle::chain;
use porthole_shared::names::EdgeInstance;
use tokio::time::timeout;

use crate::dial::Dialer;
use crate::directory::Node;

/// How many agents are told at once.
const AT_ONCE: usize = 64;

/// How long one agent may take. A small part of a drain's deadline, so that some hundred dead agents do not use it up
/// before the others' turn.
const EACH: Duration = Duration::from_secs(3);

/// How it went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Agents that were told.
    pub agents: usize,
    /// Agents that could not be told. Their sessions run until they end or are cut off.
    pub unreached: usize,
    /// Connections that the agents said they close.
    pub closing: u64,
}

/// Tells the agents of these nodes, each once. The caller takes no new consoles any more, and names every node that has
/// one.
pub async fn drain(dialer: &Dialer, nodes: Vec<Node>, instance: EdgeInstance) -> Told {
    let told = stream::iter(nodes)
        .map(|node| async move { tell(dialer, &node, instance).await })
        .buffer_unordered(AT_ONCE)
        .fold(Told::default(), |told, closing| async move {
            match closing {
                Some(closing) => {
                    Told { agents: told.agents + 1, closing: told.closing.saturating_add(closing), ..told }
                }
                None => Told { unreached: told.unreached + 1, ..told },
            }
        })
        .await;
    tracing::info!(
        agents = told.agents,
        unreached = told.unreached,
        closing = told.closing,
        "agents told of the drain"
    );
    told
}

async fn tell(dialer: &Dialer, node: &Node, instance: EdgeInstance) -> Option<u64> {
    match timeout(EACH, dialer.drain(node, instance)).await {
        Ok(Ok(drained)) => return Some(drained.closed),
        Ok(Err(error)) => {
            tracing::warn!(node = %node.name, error = chain(&error), "the agent could not be told of the drain");
        }
        Err(_elapsed) => tracing::warn!(node = %node.name, "the agent could not be told of the drain in time"),
    }
    None
}

#[cfg(test)]
mod tests;
