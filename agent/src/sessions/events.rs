//! Ends sessions and voids tokens when libvirt tells that their guest has stopped, and ends all sessions when the agent
//! stops.
//!
//! ```text
//!  Stopped(cause) ──► sessions end, tokens are void, both with the cause
//!  Undefined ──► does it still run? no: the same, as `no_such_console`
//! ```
//!
//! A guest's reboot is no stop. Where its control plane starts a stopped guest again, new links are asked for.

use porthole_shared::lifecycle::Shutdown;
use porthole_shared::names::ConsoleUuid;
use porthole_shared::reason::Reason;

use super::Sessions;
use crate::hypervisor::{DomainEventKind, Event, Events, FindError, Hypervisor, NameOrUuid};
use crate::tokens::Tokens;

/// Follows the hypervisor's events until the agent stops or there are no more.
///
/// [`Event::Resync`] needs nothing: the stream of a guest that stopped while libvirt was away has ended by itself, and a
/// token of it opens nothing while it is off.
pub async fn follow(
    sessions: Sessions,
    tokens: Tokens,
    hypervisor: Hypervisor,
    mut events: Events,
    shutdown: Shutdown,
) {
    while let Some(Some(event)) = shutdown.hard.run_until_cancelled(events.next()).await {
        let Event::Domain(event) = event else { continue };
        let uuid = event.uuid;
        if let DomainEventKind::Stopped(cause) = event.kind {
            // Whoever comes later finds the guest off, and so does not get as far as using the token.
            let told = sessions.end_domain(uuid, cause.reason());
            tracing::debug!(domain = %event.name, %uuid, ?cause, connections = told, "guest stopped");
            tokens.void_domain(uuid, cause.reason());
        } else if event.kind == DomainEventKind::Undefined {
            // By a task of its own: libvirt may take its time.
            let (sessions, tokens, hypervisor) = (sessions.clone(), tokens.clone(), hypervisor.clone());
            drop(tokio::spawn(async move {
                if is_gone(&hypervisor, uuid).await {
                    sessions.end_domain(uuid, Reason::NoSuchConsole);
                    tokens.void_domain(uuid, Reason::NoSuchConsole);
                }
            }));
        }
    }
}

/// A running domain whose definition was taken away runs on, until it stops.
async fn is_gone(hypervisor: &Hypervisor, uuid: ConsoleUuid) -> bool {
    match hypervisor.find(&NameOrUuid::Uuid(uuid)).await {
        Ok(domain) => !domain.state.is_active(),
        Err(FindError::NoSuchDomain) => true,
        Err(FindError::Call(_)) => false,
    }
}

/// Ends every session as soon as the agent is told to stop.
pub async fn end_when_stopping(sessions: Sessions, shutdown: Shutdown) {
    shutdown.soft.cancelled().await;
    let connections = sessions.stop_all(Reason::AgentStopping);
    tracing::info!(connections, "stopping: sessions are told to end");
}
