//! Ends sessions when libvirt tells that their guest has stopped.
//!
//! Tokens stay as they are: until its `redeem_by` a token opens the guest's console again once it runs.

use porthole_shared::lifecycle::Shutdown;

use super::Sessions;
use crate::hypervisor::{DomainEventKind, Event, Events};

/// Follows the hypervisor's events until the agent stops or there are no more.
///
/// [`Event::Resync`] needs nothing: the stream of a guest that stopped while libvirt was away has ended by itself.
pub async fn follow(sessions: Sessions, mut events: Events, shutdown: Shutdown) {
    while let Some(Some(event)) = shutdown.hard.run_until_cancelled(events.next()).await {
        let Event::Domain(event) = event else { continue };
        if let DomainEventKind::Stopped(cause) = event.kind {
            let told = sessions.end_console(event.uuid, cause.reason());
            tracing::debug!(domain = %event.name, uuid = %event.uuid, ?cause, connections = told, "guest stopped");
        }
    }
}
