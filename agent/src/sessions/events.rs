//! Ends sessions and voids tokens when libvirt tells that their guest has stopped, and ends all sessions when the agent
//! stops.
//!
//! ```text
//!  Stopped(cause) ──► sessions end, tokens are void, both with the cause
//!  Undefined ──► does it still run? no: the same, as `no_such_console`
//!  Resync, or somebody doubts ──► which domains with tokens do not run, or were started anew since? those of them are
//!                                 void, as `shut_off` or `no_such_console`
//! ```
//!
//! A guest's reboot is no stop. Where its control plane starts a stopped guest again, new links are asked for.

use porthole_shared::lifecycle::{Shutdown, chain};
use porthole_shared::names::ConsoleUuid;
use porthole_shared::reason::Reason;

use super::Sessions;
use crate::hypervisor::{DomainDescription, DomainEventKind, Event, Events, FindError, Hypervisor, NameOrUuid};
use crate::tokens::Tokens;

/// Follows the hypervisor's events until the agent stops or there are no more.
///
/// The stream of a guest that stopped while libvirt was away has ended by itself: of it only tokens are left.
pub async fn follow(
    sessions: Sessions,
    tokens: Tokens,
    hypervisor: Hypervisor,
    mut events: Events,
    shutdown: Shutdown,
) {
    loop {
        let event = tokio::select! {
            () = shutdown.hard.cancelled() => return,
            () = tokens.doubted() => Event::Resync,
            event = events.next() => match event {
                Some(event) => event,
                None => return,
            },
        };
        let Event::Domain(event) = event else {
            drop(tokio::spawn(void_of_stopped(tokens.clone(), hypervisor.clone())));
            continue;
        };
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
                if stopped(&hypervisor, uuid).await.is_some() {
                    sessions.end_domain(uuid, Reason::NoSuchConsole);
                    tokens.void_domain(uuid, Reason::NoSuchConsole);
                }
            }));
        }
    }
}

/// What must not be used any more, since steps in domains' lives may have been missed. Tokens are made for guests that
/// run: of one that does not run, it has stopped since.
async fn void_of_stopped(tokens: Tokens, hypervisor: Hypervisor) {
    let until = tokens.mark();
    let domains = match tokens.domains().await {
        Ok(domains) => domains,
        Err(error) => return tracing::warn!(error = chain(&error), "cannot tell which tokens are of stopped guests"),
    };
    for uuid in domains {
        if let Some(reason) = stopped(&hypervisor, uuid).await {
            tokens.void_domain_until(uuid, reason, until);
        } else if let Ok(DomainDescription { life: Some(life), .. }) = hypervisor.describe(uuid).await
            && let Err(error) = tokens.void_earlier_lives(uuid, life, Reason::ShutOff, until).await
        {
            tracing::warn!(%uuid, error = chain(&error), "links of an earlier life of a guest may still be good");
        }
    }
}

/// In which way a domain does not run, if libvirt says that it does not. (A running one whose definition was taken away
/// runs on, until it stops.)
async fn stopped(hypervisor: &Hypervisor, uuid: ConsoleUuid) -> Option<Reason> {
    match hypervisor.find(&NameOrUuid::Uuid(uuid)).await {
        Ok(domain) => (!domain.state.is_active()).then_some(Reason::ShutOff),
        Err(FindError::NoSuchDomain) => Some(Reason::NoSuchConsole),
        Err(FindError::Call(_)) => None,
    }
}

/// Ends every session as soon as the agent is told to stop.
pub async fn end_when_stopping(sessions: Sessions, shutdown: Shutdown) {
    shutdown.soft.cancelled().await;
    let connections = sessions.stop_all(Reason::AgentStopping);
    tracing::info!(connections, "stopping: sessions are told to end");
}
