//! Ends sessions when libvirt tells that their guest has stopped, and all of them when the agent stops.
//!
//! Tokens stay as they are: until its `redeem_by` a token opens the guest's console again once it runs.

use porthole_shared::lifecycle::Shutdown;
use porthole_shared::reason::Reason;

use super::Sessions;
use crate::hypervisor::{DomainEventKind, Event, Events};

/// Follows the hypervisor's events until the agent stops or there are no more.
///
/// [`Event::Resync`] needs nothing: the stream of a guest that stopped while libvirt was away has ended by itself.
pub async fn follow(sessions: Sessions, mut events: Events, shutdown: Shutdown) {
    while let Some(Some(event)) = shutdown.hard.run_until_cancelled(events.next()).await {
        let Event::Domain(event) = event else { continue };
        if let DomainEventKind::Stopped(cause) = event.kind {
            let told = sessions.end_domain(event.uuid, cause.reason());
            tracing::debug!(domain = %event.name, uuid = %event.uuid, ?cause, connections = told, "guest stopped");
        }
    }
}

/// Ends every session as soon as the agent is told to stop.
pub async fn end_when_stopping(sessions: Sessions, shutdown: Shutdown) {
    shutdown.soft.cancelled().await;
    let connections = sessions.stop_all(Reason::AgentStopping);
    tracing::info!(connections, "stopping: sessions are told to end");
}
