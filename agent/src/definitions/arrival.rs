//! Domains that come from elsewhere: by a live migration, or from the file they were saved to.
//!
//! What comes has the ports and paths of where it was. Before it runs here libvirt's hook gives it this host's
//! ([`Definitions::incoming`]). That is for the running domain: its *definition* libvirt makes of what the source sent, so
//! it is given this host's afterwards ([`Definitions::settle`]), or the next cold start would take the source's ports.

use porthole_domain::{merge, read};
use porthole_shared::names::ConsoleUuid;
use porthole_shared::secret::Secret;

use super::{ApplyError, Definitions, DevicePort, RenderError, devices, fresh};
use crate::consoles::XmlError;
use crate::hypervisor::NameOrUuid;
use crate::ports::uses;

/// What came of settling a domain that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Its definition has the ports that the table gave it, or none of Porthole's.
    Already,
    /// It has them now.
    Now,
}

impl Definitions {
    /// A domain's XML with this host's ports and paths, before it runs here; `None` if its consoles are not Porthole's.
    /// Calls no libvirt, and waits for nobody who does.
    pub async fn incoming(&self, xml: &str) -> Result<Option<Secret<String>>, RenderError> {
        let known = read(xml.as_bytes())?;
        let (Some(uuid), Some(spec)) = (known.uuid, known.spec) else { return Ok(None) };
        let devices = devices(&spec);
        let ports = if devices.is_empty() {
            Vec::new()
        } else {
            self.0.ports.allocate_arriving(ConsoleUuid::new(uuid), &devices).await?
        };
        let given: Vec<_> = devices.into_iter().zip(ports).map(|(device, port)| DevicePort { device, port }).collect();
        let allocation = self.allocation(&spec, &given);
        let merged = merge(xml.as_bytes(), &spec, &self.0.host, allocation.as_ref(), &fresh(uuid)?)?;
        tracing::info!(domain = known.name, %uuid, transport = %spec.transport, "a domain comes, with consoles of this host");
        Ok(Some(Secret::new(merged)))
    }

    /// Gives the definition of a domain that runs here the ports that it runs with, if they are the table's and it has
    /// others.
    pub async fn settle(&self, domain: ConsoleUuid) -> Result<Settled, ApplyError> {
        let definition = self.find(&NameOrUuid::Uuid(domain)).await?;
        let spec = read(definition.defined.expose().as_bytes())?.spec;
        let (Some(spec), Some(live)) = (spec, definition.live) else { return Ok(Settled::Already) };
        let own = self.ports_of(domain).await?;
        let of = |xml: &str| uses(xml).map_err(|error: XmlError| ApplyError::Uses(error));
        let (runs_with, defined) = (of(live.expose())?, of(definition.defined.expose())?);
        let strays = own.iter().any(|DevicePort { device, port }| {
            let on = |uses: &[crate::ports::Use], same: bool| {
                uses.iter().any(|used| used.device == *device && (used.port == *port) == same)
            };
            on(&runs_with, true) && on(&defined, false)
        });
        if !strays {
            return Ok(Settled::Already);
        }
        let name = definition.name;
        self.apply(&NameOrUuid::Uuid(domain), &spec).await?;
        tracing::info!(domain = %name, uuid = %domain, "the definition of a domain that came has this host's ports");
        Ok(Settled::Now)
    }
}
