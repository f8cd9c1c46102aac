//! Which consoles there are on this node, and where each is reached: libvirt's domains by their live XML, external ones
//! by the configuration.
//!
//! A console is (source, UUID, kind, index), not a domain: see [`ConsoleId`]. Nothing here decides who may open one; the
//! byte stream itself is opened by [`open`].
//!
//! **Invariant**: nothing is remembered between calls. Where a console is reached is asked for each time it is opened,
//! because a guest's restart or migration changes it.

mod closed;
pub(crate) mod devices;
mod endpoint;
mod error;
mod external;
pub mod open;
mod serial;
mod xml;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::stream::{self, StreamExt as _};
use porthole_shared::lifecycle::chain;
use porthole_shared::names::{ConsoleId, ConsoleKind, ConsoleName, ConsoleSource, ConsoleUuid};

pub use self::closed::Closed;
pub use self::devices::XmlError;
pub use self::endpoint::Endpoint;
use self::endpoint::endpoint;
pub use self::error::{FindError, ListError, ResolveError};
pub use self::external::{External, ExternalConsole, Networks};
pub use self::serial::{Backend, SerialPort, SerialPorts};
use self::xml::Graphics;
use crate::hypervisor::{
    self, DescribeError, DomainDescription, DomainState, DomainSummary, Hypervisor, LibvirtUri, Life, NameOrUuid,
};

/// How many domains a list asks about at once.
const LIST_WIDTH: usize = 8;

/// The consoles of this node. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Consoles(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    hypervisor: Hypervisor,
    external: ArcSwap<External>,
    /// The host of a libvirt elsewhere, for consoles that listen on all of its addresses.
    libvirt_host: Option<String>,
}

/// One kind of console that an owner has, and which of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// What is spoken.
    pub kind: ConsoleKind,
    /// Which one of that kind, from 0.
    pub index: u8,
}

/// A domain or an external console, with the consoles that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Where it is defined.
    pub source: ConsoleSource,
    /// Its UUID.
    pub uuid: ConsoleUuid,
    /// Its name.
    pub name: ConsoleName,
    /// What it is doing.
    pub state: OwnerState,
    /// Which life of the domain this is, if it is one that runs.
    pub life: Option<Life>,
    /// Its consoles.
    pub kinds: Vec<Kind>,
    /// Which of these, and which of its other devices, cannot be opened now.
    pub closed: Vec<Closed>,
}

/// What an owner is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerState {
    /// What libvirt says.
    Domain(DomainState),
    /// Nobody asks an external console before it is opened.
    Unasked,
}

impl OwnerState {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Domain(state) => state.as_str(),
            Self::Unasked => DomainState::Unknown.as_str(),
        }
    }

    /// Whether its consoles may answer.
    pub const fn is_active(self) -> bool {
        match self {
            Self::Domain(state) => state.is_active(),
            Self::Unasked => true,
        }
    }
}

impl fmt::Display for OwnerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One resolved console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// Which.
    pub id: ConsoleId,
    /// Its owner's name now.
    pub name: ConsoleName,
    /// Where it is reached now.
    pub endpoint: Endpoint,
}

impl Consoles {
    /// Those of this hypervisor and of the configuration.
    pub fn new(hypervisor: Hypervisor, external: External, uri: &LibvirtUri) -> Self {
        let libvirt_host = endpoint::host_of(uri.as_str()).map(str::to_owned);
        Self(Arc::new(Shared { hypervisor, external: ArcSwap::from_pointee(external), libvirt_host }))
    }

    /// From now on these are the external ones.
    pub fn set_external(&self, external: External) {
        self.0.external.store(Arc::new(external));
    }

    /// Whether there are any beside libvirt's.
    pub fn has_external(&self) -> bool {
        !self.0.external.load().consoles().is_empty()
    }

    /// Where domains are opened.
    pub fn hypervisor(&self) -> &Hypervisor {
        &self.0.hypervisor
    }

    /// Those of the configuration, as it is now.
    pub fn external(&self) -> Arc<External> {
        self.0.external.load_full()
    }

    /// All owners, also domains that do not run, in the order of their names. A domain that cannot be looked into now
    /// (it goes away, or its emulator hangs) is there without consoles.
    pub async fn list(&self) -> Result<Vec<Owner>, ListError> {
        let domains = self.0.hypervisor.domains().await?;
        let mut owners: Vec<Owner> = stream::iter(domains)
            .map(|domain| async move {
                match self.describe(domain.uuid).await {
                    Ok(owner) => owner,
                    Err(error) => {
                        let why = chain(&error);
                        tracing::debug!(domain = %domain.name, error = why, "listed without its consoles");
                        bare(domain, why)
                    }
                }
            })
            .buffer_unordered(LIST_WIDTH)
            .collect()
            .await;
        owners.extend(self.0.external.load().consoles().iter().map(external_owner));
        owners.sort_by(|a, b| (&a.name, a.uuid).cmp(&(&b.name, b.uuid)));
        Ok(owners)
    }

    /// The owner that somebody calls so, by name or UUID.
    pub async fn find(&self, wanted: &str) -> Result<Owner, FindError> {
        let nobody = || FindError::NoSuchConsole { wanted: wanted.to_owned() };
        let by: NameOrUuid = wanted.parse().map_err(|_| nobody())?;
        let all = self.0.external.load_full();
        let external = all.consoles().iter().find(|console| match &by {
            NameOrUuid::Uuid(uuid) => console.uuid == *uuid,
            NameOrUuid::Name(name) => console.name == *name,
        });
        let domain = match (&by, external) {
            // UUIDs are unique, so libvirt need not be there for this one.
            (NameOrUuid::Uuid(_), Some(external)) => return Ok(external_owner(external)),
            (NameOrUuid::Name(_) | NameOrUuid::Uuid(_), _) => self.0.hypervisor.find(&by).await,
        };
        match (domain, external) {
            (Ok(domain), None) => self.look_into(domain.uuid, wanted).await,
            (Ok(domain), Some(external)) => {
                Err(FindError::Ambiguous { name: domain.name, domain: domain.uuid, external: external.uuid })
            }
            // A libvirt that is away must not take the consoles of BMCs with it.
            (Err(_), Some(external)) => Ok(external_owner(external)),
            (Err(hypervisor::FindError::NoSuchDomain), None) => Err(nobody()),
            (Err(source), None) => Err(FindError::Lookup { wanted: wanted.to_owned(), source }),
        }
    }

    /// Where this console is reached now.
    pub async fn console(&self, id: &ConsoleId) -> Result<Console, ResolveError> {
        match id.source {
            ConsoleSource::External => {
                let external = self.0.external.load();
                let mut consoles = external.consoles().iter();
                let console = consoles.find(|console| console.uuid == id.uuid).ok_or(ResolveError::NoSuchOwner)?;
                if (console.kind, 0) != (id.kind, id.index) {
                    return Err(ResolveError::NoSuchKind { kind: id.kind, index: id.index });
                }
                let endpoint = Endpoint::Tcp { address: console.address.clone(), within: external.networks().clone() };
                Ok(Console { id: *id, name: console.name.clone(), endpoint })
            }
            ConsoleSource::Libvirt => {
                let domain = self.0.hypervisor.describe(id.uuid).await.map_err(|error| match error {
                    DescribeError::NoSuchDomain => ResolveError::NoSuchOwner,
                    DescribeError::TooLarge { .. } | DescribeError::Call(_) => ResolveError::Describe(error),
                })?;
                if !domain.state.is_active() {
                    return Err(ResolveError::NotRunning { state: domain.state });
                }
                let graphics = xml::graphics(&domain.live_xml).map_err(ResolveError::Xml)?;
                let device = graphics
                    .iter()
                    .filter(|graphics| graphics.kind == Some(id.kind))
                    .nth(id.index.into())
                    .ok_or(ResolveError::NoSuchKind { kind: id.kind, index: id.index })?;
                let endpoint = if self.0.hypervisor.is_local() {
                    Endpoint::GraphicsFd { uuid: id.uuid, position: device.position }
                } else {
                    endpoint(device, self.0.libvirt_host.as_deref())?
                };
                Ok(Console { id: *id, name: domain.name, endpoint })
            }
        }
    }

    /// The serial ports of a domain that runs, and its name.
    pub async fn serial_ports(&self, uuid: ConsoleUuid) -> Result<(ConsoleName, SerialPorts), ResolveError> {
        let (state, name, ports) = self.serial_devices(uuid).await?;
        if state.is_active() { Ok((name, ports)) } else { Err(ResolveError::NotRunning { state }) }
    }

    /// The same of any domain: of one that does not run, as it is defined.
    pub async fn serial_devices(
        &self,
        uuid: ConsoleUuid,
    ) -> Result<(DomainState, ConsoleName, SerialPorts), ResolveError> {
        let domain = self.0.hypervisor.describe(uuid).await.map_err(|error| match error {
            DescribeError::NoSuchDomain => ResolveError::NoSuchOwner,
            DescribeError::TooLarge { .. } | DescribeError::Call(_) => ResolveError::Describe(error),
        })?;
        let ports = serial::read(&domain.live_xml).map_err(ResolveError::Xml)?;
        Ok((domain.state, domain.name, ports))
    }

    async fn look_into(&self, uuid: ConsoleUuid, wanted: &str) -> Result<Owner, FindError> {
        let wanted = || wanted.to_owned();
        self.describe(uuid).await.map_err(|error| match error {
            LookError::Describe(DescribeError::NoSuchDomain) => FindError::NoSuchConsole { wanted: wanted() },
            LookError::Describe(source) => FindError::Describe { wanted: wanted(), source },
            LookError::Xml(source) => FindError::Xml { wanted: wanted(), source },
        })
    }

    async fn describe(&self, uuid: ConsoleUuid) -> Result<Owner, LookError> {
        let DomainDescription { uuid, name, state, live_xml, life } = self.0.hypervisor.describe(uuid).await?;
        let graphics = xml::graphics(&live_xml)?;
        let mut kinds = kinds(&graphics);
        let ports = serial::read(&live_xml)?.ports;
        kinds.extend(
            (0..)
                .zip(&ports)
                .filter(|(_, port)| port.backend.is_console())
                .map(|(index, _)| Kind { kind: ConsoleKind::Serial, index }),
        );
        let is_local = self.0.hypervisor.is_local();
        let reach = |device: &Graphics| {
            if is_local { Ok(()) } else { endpoint(device, self.0.libvirt_host.as_deref()).map(drop) }
        };
        let closed = closed::closed(&live_xml, &graphics, &kinds, state, reach)?;
        Ok(Owner { source: ConsoleSource::Libvirt, uuid, name, state: OwnerState::Domain(state), life, kinds, closed })
    }
}

#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Describe(#[from] DescribeError),
    #[error(transparent)]
    Xml(#[from] XmlError),
}

fn kinds(graphics: &[Graphics]) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Vec::new();
    for kind in graphics.iter().filter_map(|graphics| graphics.kind) {
        let earlier = kinds.iter().filter(|known| known.kind == kind).count();
        // There are fewer graphics devices than an index can count.
        kinds.extend(u8::try_from(earlier).map(|index| Kind { kind, index }));
    }
    kinds
}

fn bare(domain: DomainSummary, why: String) -> Owner {
    let DomainSummary { uuid, name, state } = domain;
    let closed = vec![Closed::all(why)];
    let (state, life, kinds) = (OwnerState::Domain(state), None, Vec::new());
    Owner { source: ConsoleSource::Libvirt, uuid, name, state, life, kinds, closed }
}

fn external_owner(console: &ExternalConsole) -> Owner {
    Owner {
        source: ConsoleSource::External,
        uuid: console.uuid,
        name: console.name.clone(),
        state: OwnerState::Unasked,
        life: None,
        kinds: vec![Kind { kind: console.kind, index: 0 }],
        closed: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
