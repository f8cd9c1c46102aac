//! Agents' public keys, learned from the agents themselves over mutual TLS and kept for a while.
//!
//! ```text
//!                fetched                       FRESH_FOR over (used meanwhile), or a key that is not in the set
//!  nothing ───────────────────► key set ◄──────────────────────────────────────────┐
//!     │ fetch failed               └──────────────► fetch (one a node at a time) ────┘ failed: kept until KEPT_FOR is over
//!     └──► refuse, RETRY_AFTER
//! ```
//!
//! A token names a node and a key before anything about it is proved, so anybody can ask for any key of any node. What
//! that costs is bounded: one fetch a node at a time, a pause between fetches, a number of fetches over all, and a
//! number of nodes that are remembered; name lookups are apart from those of consoles, and log lines are few. Whether a
//! token is good is [`porthole_shared::token::verify`]'s to say.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use porthole_shared::lifecycle::chain;
use porthole_shared::names::NodeId;
use porthole_shared::reason::Reason;
use porthole_shared::token::{KeyId, KeySet};
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::dial::{ConnectError, DialError, Dialer};
use crate::directory::{Directory, Node};
use crate::occasionally::Occasionally;

mod known;

use known::{Known, Verdict};

/// How many agents are asked at once.
const FETCHES: usize = 64;

/// How long a fetch may wait for its turn among these.
const TURN_DEADLINE: Duration = Duration::from_secs(5);

/// How many nodes' keys are remembered. Beyond, those that were not asked for longest are forgotten.
const MAX_NODES: usize = 16 * 1024;

/// The keys of all nodes. Clones share one state.
#[derive(Debug, Clone)]
pub struct Keys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dialer: Dialer,
    directory: Directory,
    /// The reading of the directory that `nodes` was last compared with.
    generation: AtomicU64,
    nodes: Mutex<HashMap<NodeId, Arc<Entry>>>,
    fetches: Semaphore,
    /// Lines about fetches that did not get their turn.
    crowded: Occasionally,
    /// Lines about fetches that failed.
    failed: Occasionally,
}

/// What is known of one node.
#[derive(Debug)]
struct Entry {
    node: Node,
    known: Mutex<Known>,
    /// Held by whoever fetches.
    flight: Arc<tokio::sync::Mutex<()>>,
}

impl Keys {
    /// Knows nothing yet.
    pub fn new(dialer: &Dialer, directory: Directory) -> Self {
        let generation = AtomicU64::new(directory.generation());
        Self(Arc::new(Inner {
            dialer: dialer.with_lookups_apart(),
            directory,
            generation,
            nodes: Mutex::default(),
            fetches: Semaphore::new(FETCHES),
            crowded: Occasionally::default(),
            failed: Occasionally::default(),
        }))
    }

    /// The node's keys, this one among them.
    pub async fn for_token(&self, node: &Node, kid: &KeyId) -> Result<Arc<KeySet>, Reason> {
        let entry = self.entry(node);
        let verdict = entry.known().look(kid, Instant::now());
        if matches!(verdict, Verdict::Refresh(_)) {
            // Else somebody is at it already.
            if let Ok(turn) = Arc::clone(&entry.flight).try_lock_owned() {
                drop(self.fetch(&entry, turn));
            }
        }
        if let Some(answer) = verdict.answer() {
            return answer;
        }
        let turn = Arc::clone(&entry.flight).lock_owned().await;
        // Somebody else may have fetched meanwhile.
        if let Some(answer) = entry.known().look(kid, Instant::now()).answer() {
            return answer;
        }
        if self.fetch(&entry, turn).await.is_err() {
            return Err(Reason::Internal);
        }
        // No answer only after a pause longer than that between two fetches.
        entry.known().look(kid, Instant::now()).answer().unwrap_or(Err(Reason::AgentUnreachable))
    }

    /// A task of its own: a client that goes away must not make an agent's answer worthless, or it could make an edge
    /// ask as often as it likes.
    fn fetch(&self, entry: &Arc<Entry>, turn: OwnedMutexGuard<()>) -> JoinHandle<()> {
        let (inner, entry) = (Arc::clone(&self.0), Arc::clone(entry));
        tokio::spawn(async move {
            let _turn = turn;
            let result = inner.fetch(&entry.node).await;
            entry.known().note(result, Instant::now());
        })
    }

    fn entry(&self, node: &Node) -> Arc<Entry> {
        let mut nodes = self.0.nodes();
        self.0.forget_strangers(&mut nodes);
        if let Some(entry) = nodes.get(&node.id)
            && entry.node.identity == node.identity
            && entry.node.address == node.address
        {
            return Arc::clone(entry);
        }
        if nodes.len() >= MAX_NODES {
            forget_oldest(&mut nodes);
        }
        let entry = Arc::new(Entry { node: node.clone(), known: Mutex::default(), flight: Arc::default() });
        nodes.insert(node.id.clone(), Arc::clone(&entry));
        entry
    }
}

impl Inner {
    async fn fetch(&self, node: &Node) -> Result<KeySet, Reason> {
        let Ok(Ok(_permit)) = timeout(TURN_DEADLINE, self.fetches.acquire()).await else {
            self.crowded.tell(|times| {
                tracing::warn!(times, node = %node.name, "too many agents are being asked for their keys");
            });
            return Err(Reason::AgentUnreachable);
        };
        self.dialer.jwks(node).await.map_err(|error| {
            if self.directory.is_template() && matches!(error, DialError::Connect(ConnectError::Lookup(_))) {
                tracing::debug!(node = %node.name, address = %node.address, error = chain(&error), "no such node");
                return Reason::UnknownNode;
            }
            self.failed.tell(|times| {
                let error = chain(&error);
                tracing::warn!(times, node = %node.name, address = %node.address, error, "no keys of this node");
            });
            // A refusal of its keys is no answer for whoever holds a token.
            if matches!(error, DialError::Refused(_)) { Reason::AgentUnreachable } else { error.reason() }
        })
    }

    /// Forgets nodes that the directory no longer has, or has with another identity.
    fn forget_strangers(&self, nodes: &mut HashMap<NodeId, Arc<Entry>>) {
        let now = self.directory.generation();
        if self.generation.swap(now, Ordering::Relaxed) != now {
            nodes.retain(|id, entry| self.directory.find(id).as_ref() == Some(&entry.node));
        }
    }

    fn nodes(&self) -> MutexGuard<'_, HashMap<NodeId, Arc<Entry>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room: first of nodes that gave no keys, then of the eighth that was asked for longest ago.
fn forget_oldest(nodes: &mut HashMap<NodeId, Arc<Entry>>) {
    nodes.retain(|_id, entry| entry.known().has_keys());
    if nodes.len() < MAX_NODES {
        return;
    }
    let mut asked: Vec<Instant> = nodes.values().filter_map(|entry| entry.known().last_asked()).collect();
    asked.sort_unstable();
    let oldest_kept = asked.get(MAX_NODES / 8).copied();
    nodes.retain(|_id, entry| entry.known().last_asked() >= oldest_kept);
}

#[cfg(test)]
mod tests;
