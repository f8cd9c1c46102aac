//! Whether two writings of a domain's consoles say the same, however each is written.
//!
//! libvirt writes a definition in its own order and adds what goes without saying: aliases, addresses, models, the
//! `<console>` that is the first serial port by another name. All else counts: a `websocket` that somebody added to a
//! screen is a difference.

use super::{Devices, is_serial_console};
use crate::document::{Document, Node, Space};
use crate::metadata::Facts;
use crate::render::{Tag, Wanted};
use crate::spec::ConsoleSpec;

/// What of a domain is not as wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Difference {
    /// What is noted in its metadata, or that it has a UUID.
    Note,
    /// Its serial ports.
    Serial,
    /// Its screen.
    Vnc,
}

impl Difference {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Serial => "serial",
            Self::Vnc => "vnc",
        }
    }
}

/// What a domain lacks to be as wanted. A sort of console that the specification does not speak of makes no difference.
pub(super) fn lacks(
    document: &Document<'_>,
    facts: &Facts,
    devices: &Devices,
    spec: &ConsoleSpec,
    wanted: &Wanted,
) -> Vec<Difference> {
    let forms = |tags: &[Tag]| tags.iter().map(Form::of_tag).collect::<Vec<_>>();
    let note = facts.known.uuid.is_none() || facts.known.spec.as_ref() != Some(spec);
    let serial = spec.serial.is_some() && serial(document, devices) != forms(&wanted.serial);
    let vnc = spec.vnc.is_some() && vnc(document, devices) != forms(&wanted.vnc);
    said(note, serial, vnc)
}

/// In which sorts of consoles, of those that are Porthole's in either, two domains differ.
pub(super) fn between(one: (&Document<'_>, &Facts), other: (&Document<'_>, &Facts)) -> Vec<Difference> {
    let specs = || [one.1, other.1].into_iter().filter_map(|facts| facts.known.spec.as_ref());
    let (first, second) = (Devices::of(one.0), Devices::of(other.0));
    let serial = specs().any(|spec| spec.serial.is_some()) && serial(one.0, &first) != serial(other.0, &second);
    let vnc = specs().any(|spec| spec.vnc.is_some()) && vnc(one.0, &first) != vnc(other.0, &second);
    said(false, serial, vnc)
}

fn said(note: bool, serial: bool, vnc: bool) -> Vec<Difference> {
    let all = [(note, Difference::Note), (serial, Difference::Serial), (vnc, Difference::Vnc)];
    all.into_iter().filter_map(|(differs, difference)| differs.then_some(difference)).collect()
}

fn vnc(document: &Document<'_>, devices: &Devices) -> Vec<Form> {
    devices.vnc.iter().map(|node| Form::of(document, *node)).collect()
}

/// The serial ports, but for `<console>`s that say again what the first of them is.
fn serial(document: &Document<'_>, devices: &Devices) -> Vec<Form> {
    let is_console = |node: Node| document.is(node, Space::Plain, "console");
    let first = devices.serial.iter().find(|node| !is_console(**node));
    let is_echo = |node: Node| is_console(node) && first.is_some_and(|first| echoes(document, node, *first));
    let told = devices.serial.iter().filter(|node| !is_echo(**node));
    told.map(|node| Form::of(document, *node)).collect()
}

/// Whether a `<console>` is that serial port by another name.
fn echoes(document: &Document<'_>, console: Node, first: Node) -> bool {
    let target = document.named(console, "target").next();
    let port = target.and_then(|target| document.attribute(target, "port"));
    is_serial_console(document, console)
        && port.is_none_or(|port| port == "0")
        && document.attribute(console, "type") == document.attribute(first, "type")
}

/// What an element says: what is in it in an order of its own, without what libvirt adds.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Form {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Self>,
}

impl Form {
    fn of(document: &Document<'_>, node: Node) -> Self {
        let plain = |child: &Node| document.space(*child) == Space::Plain;
        let children = document.children(node).filter(plain).map(|child| Self::of(document, child));
        Self::sorted(document.name(node), document.attributes(node), children.collect())
    }

    fn of_tag(tag: &Tag) -> Self {
        let attributes = tag.attributes().iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Self::sorted(tag.name(), attributes.collect(), tag.children().iter().map(Self::of_tag).collect())
    }

    fn sorted(name: &str, mut attributes: Vec<(String, String)>, mut children: Vec<Self>) -> Self {
        attributes.retain(|(attribute, value)| !goes_without_saying(name, attribute, value));
        children.retain(|child| !ADDED.contains(&child.name.as_str()));
        attributes.sort_unstable();
        children.sort_unstable();
        Self { name: name.to_owned(), attributes, children }
    }
}

/// Elements that libvirt adds to devices.
const ADDED: [&str; 3] = ["alias", "address", "model"];

/// Attributes that it adds: `isa-serial`, on a PC; that there is no TLS, while a domain runs.
fn goes_without_saying(element: &str, attribute: &str, value: &str) -> bool {
    (element, attribute) == ("target", "type") || (element, attribute, value) == ("source", "tls", "no")
}
