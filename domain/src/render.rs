//! A specification as XML: the devices, and the metadata that keeps it.

use quick_xml::escape::escape;
use uuid::Uuid;

use crate::allocation::{Allocation, AllocationError};
use crate::host::Host;
use crate::layout::Layout;
use crate::metadata;
use crate::password::{PasswordError, Passwords, VncPassword};
use crate::spec::{ConsoleLog, ConsoleSpec, Keymap, Serial, Transport, Vnc};

/// An element to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Self>,
}

impl Tag {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, attributes: Vec::new(), children: Vec::new() }
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn attributes(&self) -> &[(&'static str, String)] {
        &self.attributes
    }

    pub(crate) fn children(&self) -> &[Self] {
        &self.children
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    pub(crate) fn with_some(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub(crate) fn holding(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// Its text, where what stands before it is `lead`.
    pub(crate) fn text(&self, layout: &Layout, lead: &str) -> String {
        let mut text = format!("<{}", self.name);
        for (name, value) in &self.attributes {
            text.extend([" ", name, "='", &escape(value.as_str()), "'"]);
        }
        if self.children.is_empty() {
            text.push_str("/>");
            return text;
        }
        text.push('>');
        let within = layout.deeper(lead);
        for child in &self.children {
            text.push_str(&within);
            text.push_str(&child.text(layout, &within));
        }
        text.extend([lead, "</", self.name, ">"]);
        text
    }
}

/// The elements that a specification makes of a domain.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// For `<metadata>`.
    pub(crate) metadata: Tag,
    /// For `<devices>`: the screen.
    pub(crate) vnc: Vec<Tag>,
    /// For `<devices>`: the serial ports. (libvirt adds the `<console>` that is the first of them by another name.)
    pub(crate) serial: Vec<Tag>,
}

impl Wanted {
    pub(crate) fn of(
        spec: &ConsoleSpec,
        domain: Uuid,
        host: &Host,
        allocation: Option<&Allocation>,
        password: Option<&VncPassword>,
    ) -> Result<Self, AllocationError> {
        let allocation = Allocation::checked(allocation, spec)?;
        Ok(Self {
            metadata: metadata::tag(spec),
            vnc: spec.vnc.iter().map(|screen| vnc(screen, allocation, password)).collect(),
            serial: spec.serial.iter().flat_map(|ports| serial(ports, domain, host, allocation)).collect(),
        })
    }
}

fn vnc(vnc: &Vnc, allocation: Option<&Allocation>, password: Option<&VncPassword>) -> Tag {
    let keymap = vnc.keymap.as_ref().map(Keymap::as_str);
    let password = password.map(VncPassword::expose);
    let graphics = Tag::new("graphics").with("type", "vnc");
    match allocation.and_then(|allocation| Some((allocation.address, allocation.vnc?))) {
        // The address stands twice: libvirt takes either, but refuses the two to differ, and older readers know but
        // the attribute.
        Some((address, port)) => graphics
            .with("port", port.to_string())
            .with("autoport", "no")
            .with("listen", address.to_string())
            .with_some("keymap", keymap)
            .with_some("passwd", password)
            .with("sharePolicy", vnc.share.as_str())
            .holding([Tag::new("listen").with("type", "address").with("address", address.to_string())]),
        None => graphics
            .with_some("keymap", keymap)
            .with_some("passwd", password)
            .with("sharePolicy", vnc.share.as_str())
            .holding([Tag::new("listen").with("type", "none")]),
    }
}

fn serial(serial: &Serial, domain: Uuid, host: &Host, allocation: Option<&Allocation>) -> Vec<Tag> {
    let port = |port: u8| {
        let log = match &serial.log {
            ConsoleLog::Off => None,
            ConsoleLog::Host => Some(host.serial_log(domain, port)),
            ConsoleLog::File(path) if port == 0 => Some(path.to_string()),
            ConsoleLog::File(path) => Some(format!("{path}.{port}")),
        };
        let log = log.map(|file| Tag::new("log").with("file", file).with("append", "on"));
        let given = allocation.and_then(|given| Some((given.address, given.serial.get(usize::from(port))?)));
        let source = Tag::new("source").with("mode", "bind");
        let (kind, way) = match given {
            Some((address, service)) => (
                Transport::Tcp.as_str(),
                vec![
                    source.with("host", address.to_string()).with("service", service.to_string()),
                    Tag::new("protocol").with("type", serial.protocol.as_str()),
                ],
            ),
            None => ("unix", vec![source.with("path", host.sockets.serial(domain, port))]),
        };
        let target = Tag::new("target").with("port", port.to_string());
        Tag::new("serial").with("type", kind).holding(way.into_iter().chain(log).chain([target]))
    };
    (0..serial.ports.number()).map(port).collect()
}

/// A specification as text, to be put into a domain's XML by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragments {
    /// For `<metadata>`.
    pub metadata: String,
    /// For `<devices>`. A screen's password is in it, if it has one.
    pub devices: Vec<String>,
}

/// A specification cannot be rendered with what is at hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The ports do not fit.
    #[error(transparent)]
    Allocation(#[from] AllocationError),
    /// The passwords do not fit.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

/// Renders a specification for a domain.
pub fn render(
    spec: &ConsoleSpec,
    domain: Uuid,
    host: &Host,
    allocation: Option<&Allocation>,
    passwords: &Passwords,
) -> Result<Fragments, RenderError> {
    let password = passwords.choose(spec.password(), None)?;
    let wanted = Wanted::of(spec, domain, host, allocation, password.as_ref())?;
    let layout = Layout::standard();
    let text = |tag: &Tag| tag.text(&layout, "\n");
    Ok(Fragments {
        metadata: text(&wanted.metadata),
        devices: wanted.serial.iter().chain(&wanted.vnc).map(text).collect(),
    })
}
