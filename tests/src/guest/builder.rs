//! What a guest is defined with.

use std::fs;

use anyhow::{Context as _, Result, bail};
use uuid::Uuid;

use super::{Graphics, Guest, Listen, Serial, System, xml};
use crate::libvirt::PrivateLibvirt;
use crate::ports::free_port;

/// What to define; see [`PrivateLibvirt::guest`]. As it comes: VNC on no port at all, one serial port on a unix socket.
#[derive(Debug, Clone)]
pub struct GuestBuilder {
    pub(super) libvirt: PrivateLibvirt,
    pub(super) name: String,
    pub(super) uuid: Uuid,
    pub(super) system: System,
    pub(super) graphics: Vec<Graphics>,
    pub(super) serials: Vec<Serial>,
    pub(super) panic_device: bool,
    pub(super) kept: bool,
    pub(super) managed: bool,
    pub(super) extra_devices: String,
}

impl GuestBuilder {
    pub(crate) fn new(libvirt: PrivateLibvirt, name: &str) -> Self {
        let uuid = Uuid::new_v4();
        let name = format!("{name}-{}", &uuid.simple().to_string()[..6]);
        let (graphics, serials) = (vec![Graphics::vnc(Listen::None)], vec![Serial::Unix]);
        Self {
            libvirt,
            name,
            uuid,
            system: System::Tiny,
            graphics,
            serials,
            panic_device: false,
            kept: false,
            managed: false,
            extra_devices: String::new(),
        }
    }

    /// Exactly this name, without a suffix.
    #[must_use]
    pub fn exactly_named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// This UUID instead of a random one.
    #[must_use]
    pub fn uuid(mut self, uuid: Uuid) -> Self {
        self.uuid = uuid;
        self
    }

    /// Linux instead of the tiny guest: a root shell on its screen and on each serial port, in 128 MB. It takes some
    /// seconds to boot, where the tiny one takes a fraction of one. `make guest` builds it.
    #[must_use]
    pub fn linux(mut self) -> Self {
        self.system = System::Linux;
        self
    }

    /// These graphics instead of the one VNC; an empty list for none.
    #[must_use]
    pub fn graphics(mut self, graphics: impl IntoIterator<Item = Graphics>) -> Self {
        self.graphics = graphics.into_iter().collect();
        self
    }

    /// VNC on a free port of 127.0.0.1: [`Guest::graphics_port`] says which.
    #[must_use]
    pub fn vnc_on_tcp(self) -> Self {
        self.graphics([Graphics::vnc(Listen::Tcp(free_port()))])
    }

    /// These serial ports (at most four) instead of the one.
    #[must_use]
    pub fn serials(mut self, serials: impl IntoIterator<Item = Serial>) -> Self {
        self.serials = serials.into_iter().collect();
        self
    }

    /// With Porthole's metadata: the agent holds its serial ports, so a test cannot.
    #[must_use]
    pub fn managed(mut self) -> Self {
        self.managed = true;
        self
    }

    /// A device by which the guest's `panic` command becomes libvirt's "crashed".
    #[must_use]
    pub fn panic_device(mut self) -> Self {
        self.panic_device = true;
        self
    }

    /// More XML for `<devices>`.
    #[must_use]
    pub fn devices(mut self, xml: &str) -> Self {
        self.extra_devices.push_str(xml);
        self
    }

    /// Leave it running when the value is dropped. For `make up`.
    #[must_use]
    pub fn kept(mut self) -> Self {
        self.kept = true;
        self
    }

    /// Its XML.
    pub fn xml(&self) -> Result<String> {
        Ok(xml::domain(self, &self.system.boot(&self.name)?))
    }

    /// Defines it, shut off.
    pub async fn define(self) -> Result<Guest> {
        if self.system == System::Linux && self.serials.is_empty() {
            bail!("a Linux guest says on its first serial port that it is ready: leave it one");
        }
        let file = self.libvirt.directory().join(format!("{}.xml", self.name));
        fs::write(&file, self.xml()?).with_context(|| format!("writing {}", file.display()))?;
        self.libvirt.virsh(&["define", &file.to_string_lossy()]).await?;
        let Self { libvirt, name, uuid, system, graphics, serials, kept, .. } = self;
        Ok(Guest { libvirt, name, uuid, system, graphics, serials, kept })
    }

    /// Defines and starts it, and waits until it is ready.
    ///
    /// # Panics
    /// When that fails.
    pub async fn start(self) -> Guest {
        let name = self.name.clone();
        self.try_start().await.unwrap_or_else(|error| panic!("guest {name}: {error:#}"))
    }

    /// As [`Self::start`], with the error.
    pub async fn try_start(self) -> Result<Guest> {
        let guest = self.define().await?;
        guest.boot().await?;
        Ok(guest)
    }
}
