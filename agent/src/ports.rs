//! The table of this host's ports: which console of which domain listens where, so that no two ever meet.
//!
//! ```text
//!             allocate                 libvirt has the domain
//!     free ───────────────► pending ──────────────────────────► leased ◄────────────── free
//!      ▲ ▲                     │ 1 h, and libvirt does not        │  ▲   its XML has it
//!      │ └─────────────────────┘ have the domain                  │  │   (adopted)
//!      │                                        libvirt has it no │  │ libvirt has it
//!      │     grace, and libvirt still does not    more; `release` ▼  │ after all
//!      └──────────────────────────────────────────────────── releasing
//!
//!     free ──something else listens there──► foreign ──cooldown──► free
//! ```
//!
//! A port belongs to a domain's *definition*: it is kept while the domain is off, saved or paused. `plan` chooses, `probe`
//! tries, the store writes; `compare` says what the table has to learn from libvirt, which
//! [`reconcile`](crate::reconcile) asks.
//!
//! **Invariants**: a port number has at most one owner, whatever the address; of several ports that are asked for
//! together a domain gets all or none; a device that has a port gets the same one again; nothing here calls libvirt, and
//! nothing here waits for anyone who does.

mod compare;
mod config;
mod device;
mod error;
mod plan;
mod probe;
mod row;
mod taken;
mod uses;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as Locked, PoisonError};

use porthole_shared::clock::{Clock, UnixTime};
use porthole_shared::names::{ConsoleName, ConsoleUuid};
use tokio::sync::{Mutex, Notify};

pub(crate) use self::compare::Change;
use self::compare::compare;
pub use self::compare::{Absent, Contradiction, Picture};
pub use self::config::{Config, InvalidRange, PortRange};
pub use self::device::{Device, DeviceKind, Purpose, UnknownDevice};
pub use self::error::AllocateError;
pub(crate) use self::plan::Choice;
pub use self::plan::Exhausted;
use self::plan::{Cursor, plan};
pub use self::row::{Owner, PortRow, PortState, UnknownState};
pub(crate) use self::taken::Taken;
pub use self::uses::{Listener, Use, listeners, uses};
use crate::store::{self, Store};

/// The most devices that may ask together.
pub const MOST_DEVICES: usize = 64;

/// How often a choice is made anew, because something else has a port.
const TRIES: usize = 32;

/// The table. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Ports(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    store: Store,
    clock: Arc<dyn Clock>,
    /// Whose turn it is to choose; two that chose at once would choose the same. Held for milliseconds, never while
    /// libvirt is asked.
    turn: Mutex<Cursor>,
    known: Locked<Known>,
    /// Domains that libvirt should be asked about.
    touched: Locked<HashSet<ConsoleUuid>>,
    /// … or about all.
    all: AtomicBool,
    touch: Notify,
}

/// What the last comparisons have shown. Nothing that the next one would not show again.
#[derive(Debug, Default)]
struct Known {
    names: HashMap<ConsoleUuid, ConsoleName>,
    contradictions: BTreeSet<Contradiction>,
}

/// A port that something listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub port: u16,
    /// The device that was to have it.
    pub device: Device,
    /// Whose it is, and what that domain is called; `None` if it is no domain's.
    pub owner: Option<(Owner, Option<ConsoleName>)>,
}

/// It cannot be told who holds a port.
#[derive(Debug, thiserror::Error)]
pub enum HeldError {
    /// The port cannot be tried.
    #[error("cannot try whether something listens on a port")]
    Probe(#[source] std::io::Error),
    /// The table cannot be read.
    #[error("cannot read whose a port is")]
    Store(#[from] store::Error),
}

/// A port as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPort {
    /// Its row.
    pub row: PortRow,
    /// What its domain is called, if libvirt has said so.
    pub name: Option<ConsoleName>,
    /// Who claims it as well.
    pub claimed_by: Vec<(Owner, Option<ConsoleName>)>,
}

impl Ports {
    /// Those of this host, as the database has them.
    pub fn new(config: Config, store: Store, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared {
            config,
            store,
            clock,
            turn: Mutex::default(),
            known: Locked::default(),
            touched: Locked::default(),
            all: AtomicBool::new(false),
            touch: Notify::new(),
        }))
    }

    /// As it is configured.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// A port for each of these devices of a domain, in their order; none if one of them cannot have any.
    pub async fn allocate(&self, domain: ConsoleUuid, devices: &[Device]) -> Result<Vec<u16>, AllocateError> {
        self.allocate_others(domain, devices, &[]).await
    }

    /// Not these, although they are the domain's.
    async fn allocate_others(
        &self,
        domain: ConsoleUuid,
        devices: &[Device],
        lost: &[u16],
    ) -> Result<Vec<u16>, AllocateError> {
        if !(1..=MOST_DEVICES).contains(&devices.len()) {
            return Err(AllocateError::Devices);
        }
        let mut once = HashSet::new();
        if let Some(twice) = devices.iter().find(|device| !once.insert(**device)) {
            return Err(AllocateError::Twice(*twice));
        }
        let Shared { config, store, clock, .. } = &*self.0;
        let mut cursor = self.0.turn.lock().await;
        let mut held = 0;
        for _ in 0..TRIES {
            let now = clock.now();
            let mut own = own_ports(&store.ports_of(domain).await?);
            own.retain(|_, port| !lost.contains(port));
            let taken = store.taken_ports(now).await?;
            let choices = plan(config, devices, &own, &taken, &mut cursor)?;
            let new = choices.iter().filter(|choice| choice.is_new).map(|choice| choice.port).collect();
            let found = probe::held(new).await.map_err(AllocateError::Probe)?;
            if !found.is_empty() {
                tracing::info!(ports = ?found, "something else listens on free ports of the table");
                held += found.len();
                store.note_foreign_ports(&found, now, now.plus(config.cooldown.as_seconds())).await?;
                continue;
            }
            // It may be that a comparison has given one of them to somebody meanwhile: then nothing is written.
            if store.lease_ports(domain, &choices, now, now.plus(config.pending.as_seconds())).await? {
                drop(cursor);
                self.touch([domain]);
                return Ok(choices.into_iter().map(|choice| choice.port).collect());
            }
        }
        Err(if held > 0 { AllocateError::Held(held) } else { AllocateError::Contended })
    }

    /// As [`Self::allocate`], for a domain that is about to run here: for ports of its own on which something listens it
    /// gets others. What listens there may be the domain itself, which libvirt starts only if it does not run, and after
    /// it has asked: so they stay its own for as long as it is found to use them. [`Self::runs_on`] settles that.
    pub async fn allocate_arriving(&self, domain: ConsoleUuid, devices: &[Device]) -> Result<Vec<u16>, AllocateError> {
        let Shared { config, store, clock, .. } = &*self.0;
        let own = own_ports(&store.ports_of(domain).await?);
        let wanted = devices.iter().filter_map(|device| Some((own.get(device).copied()?, vec![config.listen])));
        let lost = probe::held_on(wanted.collect()).await.map_err(AllocateError::Probe)?;
        if !lost.is_empty() {
            tracing::warn!(%domain, ports = ?lost, "something listens on ports of an incoming domain: it gets others");
            let now = clock.now();
            store.doubt_ports(domain, &lost, now, now.plus(config.cooldown.as_seconds())).await?;
        }
        self.allocate_others(domain, devices, &lost).await
    }

    /// A domain runs, and listens on these: of what it was given since for the same devices it needs nothing.
    pub async fn runs_on(&self, domain: ConsoleUuid, uses: &[Use]) -> Result<(), store::Error> {
        if self.0.store.return_to_ports(domain, uses, self.0.clock.now()).await? > 0 {
            tracing::info!(%domain, "a domain that was to come runs here already: it keeps its ports");
            self.touch([domain]);
        }
        Ok(())
    }

    /// A domain needs its ports no more, it seems. They are only marked: whoever does so may be libvirt's hook, which
    /// waits for nobody. They are free after the grace, unless libvirt has the domain after all. How many there are.
    pub async fn release(&self, domain: ConsoleUuid) -> Result<u64, store::Error> {
        let now = self.0.clock.now();
        let released = self.0.store.release_ports(domain, now, now.plus(self.0.config.grace.as_seconds())).await?;
        self.touch([domain]);
        Ok(released)
    }

    /// From now on a domain's definition has these devices on ports, and no others: what it was given for others is its
    /// own only for as long as it is found to use it.
    pub async fn keep_only(&self, domain: ConsoleUuid, devices: &[Device]) -> Result<(), store::Error> {
        if self.0.store.keep_ports_only(domain, devices, self.0.clock.now()).await? > 0 {
            self.touch([domain]);
        }
        Ok(())
    }

    /// All that are not free, in their order.
    pub async fn list(&self) -> Result<Vec<ListedPort>, store::Error> {
        let rows = self.0.store.ports(self.0.clock.now()).await?;
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let name = |owner: Owner| known.names.get(&owner.domain).cloned();
        let listed = |row: PortRow| {
            let claims =
                known.contradictions.iter().filter(|claim| claim.port == row.port && Some(claim.owner) == row.owner);
            let claimed_by = claims.map(|claim| (claim.user, name(claim.user))).collect();
            ListedPort { row, name: row.owner.and_then(name), claimed_by }
        };
        Ok(rows.into_iter().map(listed).collect())
    }

    /// Brings the table in line with what libvirt answered; how many rows changed.
    pub async fn learn(
        &self,
        picture: &Picture,
        names: HashMap<ConsoleUuid, ConsoleName>,
    ) -> Result<u64, store::Error> {
        let Shared { config, store, clock, .. } = &*self.0;
        let now = clock.now();
        let rows = store.ports(now).await?;
        let comparison = compare(&rows, picture, |port| config.purpose(port).is_some());
        let grace = now.plus(config.grace.as_seconds());
        let changed = store.change_ports(&comparison.changes, picture.began, now, grace).await?;
        self.remember(picture, names, comparison.contradictions);
        Ok(changed)
    }

    /// Says each contradiction once.
    fn remember(
        &self,
        picture: &Picture,
        names: HashMap<ConsoleUuid, ConsoleName>,
        contradictions: BTreeSet<Contradiction>,
    ) {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        for Contradiction { port, owner, user } in contradictions.difference(&known.contradictions) {
            let (owner_name, user_name) = (names.get(&owner.domain), names.get(&user.domain));
            tracing::warn!(port, %owner, %user, ?owner_name, ?user_name,
                "two domains have the same port: give one of them another");
        }
        known.contradictions.retain(|old| !picture.tells_of(old.user.domain));
        known.contradictions.extend(contradictions);
        known.names.retain(|domain, _| !picture.tells_of(*domain));
        known.names.extend(names);
    }

    /// Asks for a comparison of these domains with what libvirt says, soon.
    pub fn touch(&self, domains: impl IntoIterator<Item = ConsoleUuid>) {
        self.0.touched.lock().unwrap_or_else(PoisonError::into_inner).extend(domains);
        self.0.touch.notify_one();
    }

    /// Asks for that of all domains with a port whose time is over.
    pub async fn touch_expired(&self) -> Result<(), store::Error> {
        let now = self.0.clock.now();
        let over = |row: &PortRow| row.expires.is_some_and(|expires| expires <= now);
        let rows = self.0.store.ports(now).await?;
        let domains: HashSet<_> = rows.iter().filter(|row| over(row)).filter_map(|row| row.owner).collect();
        if !domains.is_empty() {
            self.touch(domains.into_iter().map(|owner| owner.domain));
        }
        Ok(())
    }

    /// Asks for a comparison of all domains, soon.
    pub fn touch_all(&self) {
        self.0.all.store(true, Ordering::Relaxed);
        self.0.touch.notify_one();
    }

    /// The first of these ports that somebody else listens on, and who that is if it is a domain. For a domain that is to
    /// start: nothing of it listens yet.
    pub async fn held_by_others(&self, domain: ConsoleUuid, listeners: &[Listener]) -> Result<Option<Held>, HeldError> {
        let each = listeners.iter().map(|listener| (listener.used.port, listener.address.into_iter().collect()));
        let held = probe::held_on(each.collect()).await.map_err(HeldError::Probe)?;
        let Some(Use { device, port }) =
            listeners.iter().map(|listener| listener.used).find(|used| held.contains(&used.port))
        else {
            return Ok(None);
        };
        let rows = self.0.store.ports(self.0.clock.now()).await?;
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Who owns a port has it, unless it is this domain itself, which does not run, or one that is gone: then who claims
        // it as well has.
        let row = rows.iter().find(|row| row.port == port);
        let is_leaving = row.is_some_and(|row| row.state == PortState::Releasing);
        let claims = known.contradictions.iter().filter(|claim| claim.port == port).map(|claim| claim.user);
        let mut candidates: Vec<Owner> = claims.collect();
        let last = candidates.len();
        candidates.extend(row.and_then(|row| row.owner));
        if !is_leaving {
            candidates.rotate_left(last);
        }
        let other = candidates.into_iter().find(|owner| owner.domain != domain);
        let owner = other.map(|owner| (owner, known.names.get(&owner.domain).cloned()));
        Ok(Some(Held { port, device, owner }))
    }

    /// Waits until there are domains to be asked about.
    pub async fn touched(&self) {
        self.0.touch.notified().await;
    }

    /// Whether that is about all, from then on no more.
    pub fn take_all(&self) -> bool {
        self.0.all.swap(false, Ordering::Relaxed)
    }

    /// Those, from then on no more.
    pub fn take_touched(&self) -> HashSet<ConsoleUuid> {
        std::mem::take(&mut *self.0.touched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What time it is here.
    pub fn now(&self) -> UnixTime {
        self.0.clock.now()
    }
}

/// The port of each device of a domain: the one that it asked for, before the one that it was found to use.
fn own_ports(rows: &[PortRow]) -> HashMap<Device, u16> {
    let mut own = HashMap::new();
    for asked_for in [false, true] {
        let rows = rows.iter().filter(|row| row.adopted != asked_for);
        own.extend(rows.filter_map(|row| Some((row.owner?.device, row.port))));
    }
    own
}

#[cfg(test)]
mod tests;
