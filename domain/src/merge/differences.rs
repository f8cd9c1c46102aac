//! Whether a domain has the consoles that are wanted already, however its XML is written.
//!
//! libvirt writes a definition in its own order and adds what goes without saying: aliases, addresses, models, the
//! `<console>` that is the first serial port by another name. All else must be as wanted, neither less nor more: a
//! `websocket` that somebody added to a screen is a difference.

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

/// Compares. A sort of console that the specification does not speak of makes no difference.
pub(super) fn differences(
    document: &Document<'_>,
    facts: &Facts,
    devices: &Devices,
    spec: &ConsoleSpec,
    wanted: &Wanted,
) -> Vec<Difference> {
    let mut all = Vec::new();
    if facts.known.uuid.is_none() || facts.known.spec.as_ref() != Some(spec) {
        all.push(Difference::Note);
    }
    let is_console = |node: &&Node| document.is(**node, Space::Plain, "console");
    let ports = devices.serial.iter().filter(|node| !is_console(node)).copied().collect::<Vec<_>>();
    let consoles = devices.serial.iter().filter(is_console).copied().collect::<Vec<_>>();
    let echoes = |first: &Tag| consoles.iter().all(|console| is_echo(document, *console, first));
    let is_as_wanted = match wanted.serial.first() {
        Some(first) => are(document, &ports, &wanted.serial) && echoes(first),
        None => ports.is_empty() && consoles.is_empty(),
    };
    if spec.serial.is_some() && !is_as_wanted {
        all.push(Difference::Serial);
    }
    if spec.vnc.is_some() && !are(document, &devices.vnc, &wanted.vnc) {
        all.push(Difference::Vnc);
    }
    all
}

fn are(document: &Document<'_>, nodes: &[Node], tags: &[Tag]) -> bool {
    nodes.len() == tags.len() && nodes.iter().zip(tags).all(|(node, tag)| is(document, *node, tag))
}

/// Whether an element is what would be written.
fn is(document: &Document<'_>, node: Node, tag: &Tag) -> bool {
    let attributes = document.attributes(node).into_iter().filter(|(name, _)| !goes_without_saying(tag.name(), name));
    let mut attributes: Vec<_> = attributes.collect();
    let mut wanted: Vec<_> = tag.attributes().iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    attributes.sort();
    wanted.sort();
    document.is(node, Space::Plain, tag.name()) && attributes == wanted && holds(document, node, tag.children())
}

/// Whether the elements in it are those, in any order: libvirt has one of its own.
fn holds(document: &Document<'_>, node: Node, tags: &[Tag]) -> bool {
    let added = |child: &Node| ADDED.iter().any(|name| document.is(*child, Space::Plain, name));
    let mut children: Vec<_> = document.children(node).filter(|child| !added(child)).collect();
    let found = tags.iter().all(|tag| {
        let at = children.iter().position(|child| is(document, *child, tag));
        at.map(|at| children.swap_remove(at)).is_some()
    });
    found && children.is_empty()
}

/// Whether a `<console>` is the first serial port by another name.
fn is_echo(document: &Document<'_>, console: Node, first: &Tag) -> bool {
    let is_target = |node: &Node| document.is(*node, Space::Plain, "target");
    let Some(target) = document.children(console).find(is_target) else { return false };
    let port = document.attribute(target, "port");
    let is_first = port.is_none_or(|port| port == "0") && is_serial_console(document, console);
    let kind = first.attributes().iter().find(|(name, _)| *name == "type").map(|(_, value)| value);
    is_first && document.attribute(console, "type").as_ref() == kind
}

/// Elements that libvirt adds to devices.
const ADDED: [&str; 3] = ["alias", "address", "model"];

/// Attributes that libvirt adds.
fn goes_without_saying(element: &str, attribute: &str) -> bool {
    // `isa-serial` on a PC.
    (element, attribute) == ("target", "type")
}
