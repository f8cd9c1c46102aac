//! What the consoles of libvirt's domains are defined to be: shown, applied, removed; or written for whoever defines a
//! domain by other means.
//!
//! ```text
//!  a specification ──► ports (transport tcp) ──► porthole_domain: the XML ──► libvirt: the definition
//!                        all or none                unchanged? nothing          only if it is still what was read
//!                                                   is written
//! ```
//!
//! Only definitions change: what a running guest has stays until its next start, and the answer says so. Ports are asked
//! for before the definition has them, and given up after it has them no more; an agent that dies in between leaves some
//! that are the domain's without use, until the next change of its consoles or its end.
//!
//! What XML looks like is [`porthole_domain`]'s business; which port is free, [`crate::ports`]'.
//!
//! **Invariants**: nothing here touches a running guest; secrets in a definition are written back as they were, and
//! never logged or answered; a log that a specification names is in this host's folder for that, because libvirt writes
//! it as root.

mod arrival;
mod arrivals;
mod error;

use std::num::NonZeroU16;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use porthole_domain::spec::Transport;
use porthole_domain::{
    Allocation, ConsoleSpec, Difference, Fragments, Fresh, Host, Passwords, VncPassword, check, merge, read, remove,
    render, until_restart,
};
use porthole_shared::names::{ConsoleName, ConsoleUuid};
use porthole_shared::secret::Secret;
use uuid::Uuid;

pub use self::arrival::Settled;
pub use self::arrivals::{Arrivals, follow};
pub use self::error::{ApplyError, RenderError};
use crate::hypervisor::{Definition, DomainState, Hypervisor, NameOrUuid, RedefineError};
use crate::ports::{AllocateError, Device, DeviceKind, Ports};

/// How often a change is made up anew because somebody else has changed the definition meanwhile.
const TRIES: usize = 3;

/// Definitions on this host. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Definitions(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    hypervisor: Hypervisor,
    ports: Ports,
    host: Host,
    /// One change of a definition at a time: two of the same domain would take each other's ports away. Held while libvirt
    /// is called; nothing on the hook's path takes it.
    turn: tokio::sync::Mutex<()>,
}

/// A device and the port that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DevicePort {
    /// The device.
    pub device: Device,
    /// Its port.
    pub port: u16,
}

/// What a domain's consoles are defined to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its UUID.
    pub uuid: ConsoleUuid,
    /// Its name.
    pub name: ConsoleName,
    /// What it is doing.
    pub state: DomainState,
    /// What it is to have from its next start on; `None` if its consoles are not Porthole's.
    pub spec: Option<ConsoleSpec>,
    /// The ports of that.
    pub ports: Vec<DevicePort>,
    /// Which consoles it has otherwise until its next start.
    pub until_restart: Vec<Difference>,
    /// It was saved, and its next start goes on from there.
    pub is_saved: bool,
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Whether the definition has changed.
    pub changed: bool,
    /// How it is now.
    pub now: Shown,
}

/// A domain's XML with consoles, for whoever defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The domain's UUID; a new one if it had none.
    pub uuid: Uuid,
    /// The XML, with the screen's password in it, if it has one.
    pub xml: Secret<String>,
    /// The ports in it, which are kept for the domain.
    pub ports: Vec<DevicePort>,
}

impl Definitions {
    /// Those of this host.
    pub fn new(hypervisor: Hypervisor, ports: Ports, host: Host) -> Self {
        Self(Arc::new(Shared { hypervisor, ports, host, turn: tokio::sync::Mutex::default() }))
    }

    /// A domain's.
    pub async fn show(&self, wanted: &NameOrUuid) -> Result<Shown, ApplyError> {
        let definition = self.find(wanted).await?;
        let ports = self.ports_of(definition.uuid).await?;
        shown(&definition, &definition.defined, &ports)
    }

    /// Gives a domain consoles, from its next start on. `given` is the screen's password where somebody gives it.
    pub async fn apply(
        &self,
        wanted: &NameOrUuid,
        spec: &ConsoleSpec,
        given: Option<&VncPassword>,
    ) -> Result<Changed, ApplyError> {
        let Shared { hypervisor, ports, host, turn } = &*self.0;
        if let Some(serial) = spec.serial.as_ref().filter(|serial| !host.keeps(&serial.log)) {
            return Err(ApplyError::LogElsewhere { log: serial.log.to_string(), folder: host.logs.to_string() });
        }
        let _turn = turn.lock().await;
        for _ in 0..TRIES {
            let definition = self.find(wanted).await?;
            let uuid = definition.uuid;
            let (fresh, xml) = (fresh(uuid.uuid(), given)?, definition.defined.expose().as_bytes());
            let before = check(xml, spec, &fresh.passwords)?.spec;
            let at = self.allocate(uuid, spec).await?;
            let merged = Secret::new(merge(xml, spec, host, self.allocation(spec, &at).as_ref(), &fresh)?);
            let changed = merged != definition.defined;
            if changed && let Err(error) = hypervisor.redefine(uuid, definition.defined.clone(), merged.clone()).await {
                if !error.may_be_done_yet() {
                    ports.keep_only(uuid, &before.as_ref().map_or_else(Vec::new, devices)).await?;
                }
                match error {
                    RedefineError::Changed => continue,
                    RedefineError::Read(_) | RedefineError::Call(_) => return Err(error.into()),
                }
            }
            ports.keep_only(uuid, &devices(spec)).await?;
            if changed {
                tracing::info!(domain = %definition.name, %uuid, transport = %spec.transport, "consoles applied");
            }
            return Ok(Changed { changed, now: shown(&definition, &merged, &at)? });
        }
        Err(RedefineError::Changed.into())
    }

    /// Takes the consoles away that Porthole gave a domain, from its next start on.
    pub async fn remove(&self, wanted: &NameOrUuid) -> Result<Changed, ApplyError> {
        let _turn = self.0.turn.lock().await;
        for _ in 0..TRIES {
            let definition = self.find(wanted).await?;
            let uuid = definition.uuid;
            let removed = Secret::new(remove(definition.defined.expose().as_bytes())?);
            let changed = removed != definition.defined;
            if changed {
                let seen = definition.defined.clone();
                match self.0.hypervisor.redefine(uuid, seen, removed.clone()).await {
                    Ok(()) => tracing::info!(domain = %definition.name, %uuid, "consoles removed"),
                    Err(RedefineError::Changed) => continue,
                    Err(error) => return Err(error.into()),
                }
                self.0.ports.keep_only(uuid, &[]).await?;
            }
            return Ok(Changed { changed, now: shown(&definition, &removed, &[])? });
        }
        Err(RedefineError::Changed.into())
    }

    /// The elements of consoles alone, for a domain that somebody else defines; ports are kept for it.
    pub async fn render(
        &self,
        domain: ConsoleUuid,
        spec: &ConsoleSpec,
        given: Option<&VncPassword>,
    ) -> Result<(Fragments, Vec<DevicePort>), RenderError> {
        let passwords = fresh(domain.uuid(), given)?.passwords;
        passwords.check(spec)?;
        let ports = self.allocate(domain, spec).await?;
        let fragments = render(spec, domain.uuid(), &self.0.host, self.allocation(spec, &ports).as_ref(), &passwords)?;
        Ok((fragments, ports))
    }

    /// A domain's XML with consoles, for whoever defines it; ports are kept for it.
    pub async fn merge(
        &self,
        xml: &str,
        spec: &ConsoleSpec,
        given: Option<&VncPassword>,
    ) -> Result<Merged, RenderError> {
        // Nothing is asked for on behalf of XML that is no good.
        let fresh = fresh(Uuid::new_v4(), given)?;
        let uuid = check(xml.as_bytes(), spec, &fresh.passwords)?.uuid.unwrap_or(fresh.uuid);
        let ports = self.allocate(ConsoleUuid::new(uuid), spec).await?;
        let allocation = self.allocation(spec, &ports);
        let merged = merge(xml.as_bytes(), spec, &self.0.host, allocation.as_ref(), &fresh)?;
        Ok(Merged { uuid, xml: Secret::new(merged), ports })
    }

    async fn find(&self, wanted: &NameOrUuid) -> Result<Definition, ApplyError> {
        let uuid = match wanted {
            NameOrUuid::Uuid(uuid) => *uuid,
            NameOrUuid::Name(_) => self.0.hypervisor.find(wanted).await?.uuid,
        };
        Ok(self.0.hypervisor.definition(uuid).await?)
    }

    /// Ports for all that listens.
    async fn allocate(&self, domain: ConsoleUuid, spec: &ConsoleSpec) -> Result<Vec<DevicePort>, AllocateError> {
        self.ports_for(domain, spec, Occasion::Definition).await
    }

    async fn ports_for(
        &self,
        domain: ConsoleUuid,
        spec: &ConsoleSpec,
        occasion: Occasion,
    ) -> Result<Vec<DevicePort>, AllocateError> {
        let devices = devices(spec);
        if devices.is_empty() {
            return Ok(Vec::new());
        }
        let ports = match occasion {
            Occasion::Definition => self.0.ports.allocate(domain, &devices).await?,
            Occasion::Arrival => self.0.ports.allocate_arriving(domain, &devices).await?,
        };
        Ok(devices.into_iter().zip(ports).map(|(device, port)| DevicePort { device, port }).collect())
    }

    fn allocation(&self, spec: &ConsoleSpec, given: &[DevicePort]) -> Option<Allocation> {
        let of = |kind: DeviceKind| {
            let of_kind = given.iter().filter(move |given| given.device.kind == kind);
            of_kind.filter_map(|given| NonZeroU16::new(given.port))
        };
        (spec.transport == Transport::Tcp).then(|| Allocation {
            address: self.0.ports.config().listen,
            vnc: of(DeviceKind::Vnc).next(),
            serial: of(DeviceKind::Serial).collect(),
        })
    }

    /// What the table has for a domain's definition.
    async fn ports_of(&self, domain: ConsoleUuid) -> Result<Vec<DevicePort>, ApplyError> {
        let all = self.0.ports.list().await?;
        let own = all.into_iter().filter(|listed| !listed.row.adopted).filter_map(|listed| {
            let owner = listed.row.owner.filter(|owner| owner.domain == domain)?;
            Some(DevicePort { device: owner.device, port: listed.row.port })
        });
        Ok(own.collect())
    }
}

/// What ports are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// For what a domain will be at its next start.
    Definition,
    /// For a domain that comes, and runs in a moment.
    Arrival,
}

/// What of a specification listens on ports, the screen first.
fn devices(spec: &ConsoleSpec) -> Vec<Device> {
    if spec.transport != Transport::Tcp {
        return Vec::new();
    }
    let screen = spec.vnc.iter().map(|_| Device { kind: DeviceKind::Vnc, index: 0 });
    let ports = spec.serial.iter().flat_map(|serial| 0..serial.ports.number());
    screen.chain(ports.map(|index| Device { kind: DeviceKind::Serial, index })).collect()
}

/// How a domain is with that definition.
fn shown(before: &Definition, defined: &Secret<String>, ports: &[DevicePort]) -> Result<Shown, ApplyError> {
    let Definition { uuid, name, state, live, is_saved, .. } = before;
    let spec = read(defined.expose().as_bytes())?.spec;
    let devices = spec.as_ref().map_or_else(Vec::new, devices);
    let port = |device| ports.iter().find(|given| given.device == device).copied();
    let live = live.as_ref().map(|live| until_restart(defined.expose().as_bytes(), live.expose().as_bytes()));
    Ok(Shown {
        uuid: *uuid,
        name: name.clone(),
        state: *state,
        spec,
        ports: devices.into_iter().filter_map(port).collect(),
        until_restart: live.transpose()?.unwrap_or_default(),
        is_saved: *is_saved,
    })
}

/// What is used where a domain has none yet, and a password that is given.
fn fresh(uuid: Uuid, given: Option<&VncPassword>) -> Result<Fresh, porthole_domain::NoRandomness> {
    let passwords = Passwords { random: VncPassword::random(&SystemRandom::new())?, given: given.cloned() };
    Ok(Fresh { uuid, passwords })
}

#[cfg(test)]
mod tests;
