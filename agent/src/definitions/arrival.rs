//! Domains that come from elsewhere: by a live migration, or from the file they were saved to.
//!
//! What comes has the ports and paths of where it was. Before it runs here libvirt's hook gives it this host's
//! ([`Definitions::incoming`]). That is for the running domain: its *definition* libvirt makes of what the source sent, so
//! it is given this host's afterwards ([`Definitions::settle`]), or the next cold start would take the source's ports.

use porthole_domain::spec::ConsoleLog;
use porthole_domain::{ConsoleSpec, merge, read};
use porthole_shared::names::ConsoleUuid;
use porthole_shared::secret::Secret;

use super::{ApplyError, Definitions, Occasion, RenderError, fresh};
use crate::hypervisor::{DefinitionError, FindError, NameOrUuid, RedefineError};
use crate::ports::uses;

/// What came of settling a domain that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Its definition has this host's ports and paths, or is none of Porthole's.
    Yes,
    /// It has no definition that could have them, or not yet.
    NotYet,
    /// It is not here.
    Gone,
}

impl Definitions {
    /// A domain's XML with this host's ports and paths, before it runs here; `None` if its consoles are not Porthole's.
    /// Calls no libvirt, and waits for nobody who does.
    pub async fn incoming(&self, xml: &str) -> Result<Option<Secret<String>>, RenderError> {
        let known = read(xml.as_bytes())?;
        let (Some(uuid), Some(spec)) = (known.uuid, known.spec) else { return Ok(None) };
        let spec = self.here(spec);
        let given = self.ports_for(ConsoleUuid::new(uuid), &spec, Occasion::Arrival).await?;
        let allocation = self.allocation(&spec, &given);
        let merged = merge(xml.as_bytes(), &spec, &self.0.host, allocation.as_ref(), &fresh(uuid, None)?)?;
        tracing::info!(domain = known.name, %uuid, transport = %spec.transport, "a domain comes, with consoles of this host");
        Ok(Some(Secret::new(merged)))
    }

    /// Gives the definition of a domain that has come what the table and this host have for it. Should somebody else have
    /// changed it meanwhile, theirs stays, until the next look.
    pub async fn settle(&self, domain: ConsoleUuid) -> Result<Settled, ApplyError> {
        let _turn = self.0.turn.lock().await;
        let definition = match self.find(&NameOrUuid::Uuid(domain)).await {
            Ok(definition) => definition,
            Err(ApplyError::Read(DefinitionError::Transient)) => return Ok(Settled::NotYet),
            Err(ApplyError::Read(DefinitionError::NoSuchDomain) | ApplyError::Find(FindError::NoSuchDomain)) => {
                return Ok(Settled::Gone);
            }
            Err(error) => return Err(error),
        };
        let xml = definition.defined.expose().as_bytes();
        let Some(spec) = read(xml)?.spec else { return Ok(Settled::Yes) };
        let spec = self.here(spec);
        // What runs is right: libvirt asks for a domain that is to come before it finds that it is here.
        if let Some(Ok(uses)) = definition.live.as_ref().map(|live| uses(live.expose())) {
            self.0.ports.runs_on(domain, &uses).await?;
        }
        let given = self.allocate(domain, &spec).await?;
        let allocation = self.allocation(&spec, &given);
        let merged = Secret::new(merge(xml, &spec, &self.0.host, allocation.as_ref(), &fresh(domain.uuid(), None)?)?);
        if merged != definition.defined {
            let defined = definition.defined.clone();
            match self.0.hypervisor.redefine(domain, defined, merged).await {
                Ok(()) => {
                    let name = definition.name;
                    tracing::info!(domain = %name, uuid = %domain, "the definition of a domain that came has this host's ports");
                }
                Err(RedefineError::Changed) => return Ok(Settled::NotYet),
                Err(error @ (RedefineError::Read(_) | RedefineError::Call(_))) => return Err(error.into()),
            }
        }
        Ok(Settled::Yes)
    }

    /// A specification from elsewhere, with logs where this host has them: libvirt writes them as root.
    fn here(&self, mut spec: ConsoleSpec) -> ConsoleSpec {
        if let Some(serial) = spec.serial.as_mut().filter(|serial| !self.0.host.keeps(&serial.log)) {
            serial.log = ConsoleLog::Host;
        }
        spec
    }
}
