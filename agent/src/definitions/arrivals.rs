//! Settles domains that have come from elsewhere, off the path of libvirt's hook.
//!
//! ```text
//!  the hook's `migrate`, `restore` ──┐
//!  Started(migrated) ────────────────┼──► arrivals, with a row each ──► settle, now and then, until a while has passed
//!  Defined, Resumed ── of one of them┘                                  since the last sign
//!  Resync, the agent's start ──► all that have a row
//! ```
//!
//! When libvirt writes a domain's definition is the migration's affair: at its end, or never. So an arrival is looked at
//! at each sign, and between them ever less often; one that still moves, or has no definition yet, is one more sign.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use porthole_shared::clock::Clock;
use porthole_shared::lifecycle::{Shutdown, chain};
use porthole_shared::names::ConsoleUuid;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::{Definitions, Settled};
use crate::hypervisor::{DomainEventKind, Event, Events, Hypervisor, StartCause};
use crate::store::{self, Store};

/// How long after its last sign an arrival is looked at.
const REMEMBERED: Duration = Duration::from_mins(10);

/// How soon after a sign, and at least how far apart.
const SOON: Duration = Duration::from_millis(500);

/// Domains that come, or have come, lately. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Arrivals(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
    new: Notify,
}

#[derive(Debug, Default)]
struct Known(HashMap<ConsoleUuid, Arrival>);

#[derive(Debug, Clone, Copy)]
struct Arrival {
    sign: Instant,
    next: Instant,
}

impl Known {
    fn note(&mut self, domain: ConsoleUuid, now: Instant) {
        self.0.insert(domain, Arrival { sign: now, next: now + SOON });
    }

    /// There is one more sign, which does not hurry the next look.
    fn renew(&mut self, domain: ConsoleUuid, now: Instant) {
        if let Some(arrival) = self.0.get_mut(&domain) {
            arrival.sign = arrival.sign.max(now.checked_sub(REMEMBERED / 2).unwrap_or(now));
        }
    }

    fn next(&self) -> Option<Instant> {
        self.0.values().map(|arrival| arrival.next).min()
    }

    /// Those whose time it is; of the others, those that had no sign for long are gone from here.
    fn due(&mut self, now: Instant) -> (Vec<ConsoleUuid>, Vec<ConsoleUuid>) {
        let (mut due, mut over) = (Vec::new(), Vec::new());
        self.0.retain(|domain, arrival| {
            let remembered = now < arrival.sign + REMEMBERED;
            if !remembered {
                over.push(*domain);
            } else if arrival.next <= now {
                arrival.next = now + SOON + ((now - arrival.sign) / 2).min(REMEMBERED / 4);
                due.push(*domain);
            }
            remembered
        });
        (due, over)
    }
}

impl Arrivals {
    /// With a row for each.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared { store, clock, known: Mutex::default(), new: Notify::new() }))
    }

    /// There is a sign of one.
    pub async fn note(&self, domain: ConsoleUuid) -> Result<(), store::Error> {
        self.0.store.note_arrival(domain, self.0.clock.now()).await?;
        self.lock().note(domain, Instant::now());
        self.0.new.notify_one();
        Ok(())
    }

    /// There is a sign of a domain, which may be one.
    fn sign(&self, domain: ConsoleUuid) {
        let mut known = self.lock();
        if known.0.contains_key(&domain) {
            known.note(domain, Instant::now());
        }
    }

    /// Takes up those of before.
    async fn take_up(&self) {
        match self.0.store.arrivals().await {
            Ok(domains) => domains.into_iter().for_each(|domain| self.lock().note(domain, Instant::now())),
            Err(error) => tracing::warn!(error = chain(&error), "cannot tell which domains came before"),
        }
    }

    async fn forget(&self, domain: ConsoleUuid) {
        if let Err(error) = self.0.store.forget_arrival(domain).await {
            tracing::warn!(%domain, error = chain(&error), "a domain that came is looked at once more");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
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
    arrivals.take_up().await;
    loop {
        let next = arrivals.lock().next();
        tokio::select! {
            () = shutdown.soft.cancelled() => return,
            event = events.next() => match event {
                None => return,
                Some(Event::Resync) => arrivals.take_up().await,
                Some(Event::Domain(event)) => match event.kind {
                    DomainEventKind::Started(StartCause::Migrated) => {
                        if let Err(error) = arrivals.note(event.uuid).await {
                            tracing::warn!(domain = %event.name, error = chain(&error), "a domain came that is not settled");
                        }
                    }
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
                let (due, over) = arrivals.lock().due(Instant::now());
                for domain in over {
                    arrivals.forget(domain).await;
                }
                for domain in due {
                    look(&arrivals, &definitions, &hypervisor, domain).await;
                }
            }
        }
    }
}

async fn look(arrivals: &Arrivals, definitions: &Definitions, hypervisor: &Hypervisor, domain: ConsoleUuid) {
    match definitions.settle(domain).await {
        Ok(Settled::NotYet) => arrivals.lock().renew(domain, Instant::now()),
        // libvirt may write its definition anew at the end.
        Ok(Settled::Yes) if hypervisor.is_migrating(domain).await => arrivals.lock().renew(domain, Instant::now()),
        Ok(Settled::Yes | Settled::Gone) => {}
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
        let (mut known, domain, began) = (Known::default(), ConsoleUuid::random(), Instant::now());
        known.note(domain, began);
        let (mut looks, mut last) = (0, began);
        while let Some(next) = known.next() {
            let (due, over) = known.due(next);
            if due.is_empty() {
                assert_eq!(over, [domain]);
                break;
            }
            assert!(due == [domain] && next - last >= SOON);
            (looks, last) = (looks + 1, next);
        }
        assert!((10..40).contains(&looks), "{looks}");
        assert!(last - began < REMEMBERED && known.next().is_none());
    }

    #[test]
    fn one_that_still_moves_is_not_forgotten() {
        let (mut known, domain, began) = (Known::default(), ConsoleUuid::random(), Instant::now());
        known.note(domain, began);
        let mut looks = 0;
        while let Some(next) = known.next().filter(|next| *next < began + 100 * REMEMBERED) {
            assert_eq!(known.due(next), (vec![domain], vec![]));
            known.renew(domain, next);
            looks += 1;
        }
        assert!((100..1000).contains(&looks), "{looks}");
    }
}
