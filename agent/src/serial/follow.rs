//! Which ports are held: those of domains with Porthole's metadata, from their guest's start on.
//!
//! libvirt's events tell of starts; whenever some may have been missed, all domains are looked through. What a guest said
//! last is kept after its stop, as long as its domain is there.

use futures_util::stream::{self, StreamExt as _};
use porthole_shared::lifecycle::{Shutdown, chain};
use porthole_shared::names::ConsoleUuid;

use super::Serial;
use super::port::{Key, Link};
use super::record::NAMES;
use crate::consoles::ResolveError;
use crate::hypervisor::{DomainEventKind, Event, Events, FindError, NameOrUuid, StartCause};

/// How many domains are looked into at once.
const WIDTH: usize = 4;

/// Holds ports as domains come, until the agent stops or there are no more events.
pub async fn follow(serial: Serial, mut events: Events, shutdown: Shutdown) {
    serial.hold_all().await;
    while let Some(Some(event)) = shutdown.hard.run_until_cancelled(events.next()).await {
        let Event::Domain(event) = event else {
            // A libvirt that has many domains takes its time.
            let serial = serial.clone();
            drop(tokio::spawn(async move { serial.hold_all().await }));
            continue;
        };
        let (serial, uuid) = (serial.clone(), event.uuid);
        match event.kind {
            DomainEventKind::Started(cause) => {
                let fresh = cause == StartCause::Booted;
                drop(tokio::spawn(async move { serial.hold(uuid, fresh).await }));
            }
            DomainEventKind::Defined => drop(tokio::spawn(async move { serial.hold(uuid, false).await })),
            DomainEventKind::Undefined | DomainEventKind::Stopped(_) => {
                drop(tokio::spawn(async move { serial.forget_if_gone(uuid).await }));
            }
            DomainEventKind::Suspended
            | DomainEventKind::Resumed
            | DomainEventKind::ShuttingDown
            | DomainEventKind::Panicked
            | DomainEventKind::Other => {}
        }
    }
}

impl Serial {
    async fn hold_all(&self) {
        let domains = match self.0.consoles.hypervisor().domains().await {
            Ok(domains) => domains,
            // Once libvirt is there, it says so.
            Err(error) => return tracing::debug!(error = chain(&error), "cannot look for serial ports to hold"),
        };
        let active = domains.into_iter().filter(|domain| domain.state.is_active());
        let holding = stream::iter(active).map(|domain| self.hold(domain.uuid, false)).buffer_unordered(WIDTH);
        let told = holding.fold(true, async |all, told| all && told).await;
        if !told {
            return;
        }
        // What still waits is of a guest that does not run any more, or of one that is not ours any more.
        for name in self.0.descriptors.left(NAMES) {
            self.0.descriptors.give_up(&name);
        }
    }

    /// Holds the ports of a domain, if it is one of ours and runs. False if that cannot be told.
    async fn hold(&self, uuid: ConsoleUuid, fresh: bool) -> bool {
        let ports = match self.0.consoles.serial_ports(uuid).await {
            Ok((_, ports)) => ports,
            Err(ResolveError::NotRunning { .. } | ResolveError::NoSuchOwner) => return true,
            Err(error) => {
                tracing::warn!(%uuid, error = chain(&error), "cannot tell which serial ports to hold");
                return false;
            }
        };
        if !ports.managed {
            return true;
        }
        for (index, device) in (0..).zip(&ports.ports).filter(|(_, device)| device.backend.is_console()) {
            // It is held by itself from now on.
            drop(self.port(Key { uuid, index }, &ports, device.clone(), false, fresh));
        }
        true
    }

    /// Where a domain is gone, so is what its guest said.
    async fn forget_if_gone(&self, uuid: ConsoleUuid) {
        let by = NameOrUuid::Uuid(uuid);
        if !matches!(self.0.consoles.hypervisor().find(&by).await, Err(FindError::NoSuchDomain)) {
            return;
        }
        self.0.ports().retain(|key, port| {
            // One that is open still ends by itself, and is forgotten then.
            key.uuid != uuid
                || !matches!(port.link(), Link::Over(_)) && {
                    port.keep.store(false, std::sync::atomic::Ordering::Relaxed);
                    true
                }
        });
    }
}
