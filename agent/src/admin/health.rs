//! Can this agent do its work, and what is wrong?
//!
//! | what | without it |
//! |---|---|
//! | the tunnel's certificate, valid now | no edge gets in: not ready |
//! | a database that can be written | no link is made or used: not ready |
//! | libvirt, where there shall be one | no guest's console: not ready; degraded where there are external consoles |
//! | a configuration file that can be used | degraded: what was read before is in force |
//!
//! The listeners need no look: an agent that loses one stops. Sessions that run are not touched by any of it.

use std::time::Duration;

use porthole_shared::health::Readiness;
use porthole_shared::lifecycle::chain;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::Parts;
use crate::hypervisor::LinkState;

/// How long the database may take to write.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);

/// For how long what was found of it holds: so often somebody who asks without end makes it write.
const WRITE_HOLDS: Duration = Duration::from_secs(5);

/// Looks when it is asked.
#[derive(Debug)]
pub(super) struct Health {
    parts: Parts,
    written: Mutex<Option<(Instant, Option<String>)>>,
}

impl Health {
    /// Of these.
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts, written: Mutex::default() }
    }

    /// How it is now.
    pub(super) async fn readiness(&self) -> Readiness {
        let Parts { shutdown, consoles, trust, sessions, reloads, clock, .. } = &self.parts;
        let mut problems: Vec<String> = self.database().await.into_iter().collect();
        let validity = trust.validity().problem(clock.now());
        problems.extend(validity.map(|problem| format!("the tunnel's certificate {problem}")));
        let mut warnings = reloads.warnings();
        if let Some(missing) = libvirt(&consoles.hypervisor().status().borrow()) {
            let others = if consoles.has_external() { &mut warnings } else { &mut problems };
            others.push(missing);
        }
        Readiness::of(shutdown.soft.is_cancelled(), problems, warnings, sessions.len())
    }

    /// What is wrong with the database. Those who ask at once wait for one answer.
    async fn database(&self) -> Option<String> {
        let mut written = self.written.lock().await;
        if let Some((when, found)) = &*written
            && when.elapsed() < WRITE_HOLDS
        {
            return found.clone();
        }
        let found = match timeout(WRITE_PATIENCE, self.parts.store.try_writing()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(match error.ailment() {
                Some(ailment) => format!("the database cannot be written: {}", ailment.remedy()),
                None => format!("the database cannot be written: {}", chain(&error)),
            }),
            Err(_elapsed) => Some(format!("the database was not written within {WRITE_PATIENCE:?}")),
        };
        *written = Some((Instant::now(), found.clone()));
        found
    }
}

fn libvirt(state: &LinkState) -> Option<String> {
    match state {
        LinkState::Disabled | LinkState::Connected { .. } => None,
        LinkState::Connecting { since, last_error } => {
            let seconds = since.elapsed().as_secs();
            let why = last_error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
            Some(format!("libvirt has not been connected for {seconds} s{why}"))
        }
    }
}
