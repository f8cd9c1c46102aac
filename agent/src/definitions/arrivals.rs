//! Settles domains that have come from elsewhere, off the path of libvirt's hook.
//!
//! ```text
//!  the hook's `migrate` ──┐
//!  Started(migrated) ─────┼──► arrivals ──► settle, now and then, until a while has passed
//!  Defined ── of one of them: at once ─┘
//!  Resync ──► all that run
//! ```
//!
//! When libvirt writes a domain's definition is the migration's affair: at its end, or never. So an arrival is looked at
//! at each sign, and between them ever less often.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use porthole_shared::lifecycle::{Shutdown, chain};
use porthole_shared::names::ConsoleUuid;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::{ApplyError, Definitions, Settled};
use crate::hypervisor::{DefinitionError, DomainEventKind, Event, Events, Hypervisor, StartCause};

/// How long after its last sign an arrival is looked at.
const REMEMBERED: Duration = Duration::from_mins(10);

/// How soon after a sign, and at least how far apart.
const SOON: Duration = Duration::from_millis(500);

/// Domains that come, or have come, lately. Clones are handles to the same.
#[derive(Debug, Clone, Default)]
pub struct Arrivals(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<HashMap<ConsoleUuid, Arrival>>,
    new: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Arrival {
    sign: Instant,
    next: Instant,
}

impl Arrivals {
    /// There is a sign of one.
    pub fn note(&self, domain: ConsoleUuid) {
        self.note_at(domain, Instant::now());
        self.0.new.notify_one();
    }

    fn note_at(&self, domain: ConsoleUuid, now: Instant) {
        self.lock().insert(domain, Arrival { sign: now, next: now + SOON });
    }

    /// There is a sign of a domain, which may be one.
    fn sign(&self, domain: ConsoleUuid) {
        if self.lock().contains_key(&domain) {
            self.note(domain);
        }
    }

    /// When to look next.
    fn next(&self) -> Option<Instant> {
        self.lock().values().map(|arrival| arrival.next).min()
    }

    /// Those whose time it is, and will be again, unless there was no sign of them for long.
    fn due(&self, now: Instant) -> Vec<ConsoleUuid> {
        let mut known = self.lock();
        known.retain(|_, arrival| now < arrival.sign + REMEMBERED);
        let due = known.iter_mut().filter(|(_, arrival)| arrival.next <= now);
        due.map(|(domain, arrival)| {
            arrival.next = now + SOON + (now - arrival.sign) / 2;
            *domain
        })
        .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ConsoleUuid, Arrival>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does so until the agent stops.
pub async fn follow(
    arrivals: Arrivals,
    definitions: Definitions,
    hypervisor: Hypervisor,
    mut events: Events,
    shutdown: Shutdown,
) {
    loop {
        let next = arrivals.next();
        tokio::select! {
            () = shutdown.soft.cancelled() => return,
            event = events.next() => match event {
                None => return,
                Some(Event::Resync) => {
                    for domain in hypervisor.domains().await.into_iter().flatten() {
                        if domain.state.is_active() {
                            settle(&definitions, domain.uuid).await;
                        }
                    }
                }
                Some(Event::Domain(event)) => match event.kind {
                    DomainEventKind::Started(StartCause::Migrated) => arrivals.note(event.uuid),
                    DomainEventKind::Defined | DomainEventKind::Resumed => arrivals.sign(event.uuid),
                    DomainEventKind::Started(_)
                    | DomainEventKind::Undefined
                    | DomainEventKind::Suspended
                    | DomainEventKind::ShuttingDown
                    | DomainEventKind::Panicked
                    | DomainEventKind::Stopped(_)
                    | DomainEventKind::Other => {}
                },
            },
            () = arrivals.0.new.notified() => {}
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                for domain in arrivals.due(Instant::now()) {
                    settle(&definitions, domain).await;
                }
            }
        }
    }
}

async fn settle(definitions: &Definitions, domain: ConsoleUuid) {
    match definitions.settle(domain).await {
        // Of those without a definition it may get one, or has failed to come.
        Ok(Settled::Already | Settled::Now)
        | Err(ApplyError::Read(DefinitionError::Transient | DefinitionError::NoSuchDomain) | ApplyError::Find(_)) => {}
        Err(error) => {
            tracing::warn!(%domain, error = chain(&error), "a domain's definition may not have this host's ports yet");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrival_is_looked_at_ever_less_often_and_then_no_more() {
        let (arrivals, domain) = (Arrivals::default(), ConsoleUuid::random());
        assert_eq!(arrivals.next(), None);
        arrivals.sign(domain);
        assert_eq!(arrivals.next(), None, "it is no arrival");
        let began = Instant::now();
        arrivals.note_at(domain, began);
        let (mut looks, mut last) = (0, began);
        while let Some(next) = arrivals.next() {
            let due = arrivals.due(next);
            if due.is_empty() {
                break;
            }
            assert!(due == [domain] && next - last >= SOON);
            (looks, last) = (looks + 1, next);
        }
        assert!((10..40).contains(&looks), "{looks}");
        assert!(last - began < REMEMBERED && arrivals.next().is_none());

        arrivals.note_at(domain, began);
        arrivals.due(began + REMEMBERED / 2);
        assert!(arrivals.next().unwrap() > began + REMEMBERED / 2 + SOON);
        let before = Instant::now();
        arrivals.sign(domain);
        assert!(arrivals.next().unwrap() <= before + SOON * 2, "each sign is a reason to look soon");
    }
}
