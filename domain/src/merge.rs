//! A domain's XML with the consoles that a specification wants, and otherwise as it was.
//!
//! A sort of console is Porthole's if the specification speaks of it, or the one that the domain has had so far did.
//! Of what is Porthole's, all that the domain has is replaced:
//!
//! | sort | replaced | kept |
//! |---|---|---|
//! | VNC | every `<graphics type='vnc'>` | graphics of other types (SPICE, …) |
//! | serial | every `<serial>`; every `<console>` with target type `serial` or none, which is a serial port by another name | other consoles (virtio, …), channels |
//! | always | Porthole's element in `<metadata>`; `<uuid>` if there is none | everything else |
//!
//! A domain that has just these consoles already stays as it is, byte for byte, in whatever order and with whatever
//! additions libvirt has written them.
//!
//! New devices stand where the first of the old ones stood, or at the end of `<devices>`. Merging the same again changes
//! nothing: so the UUID and a password that an earlier merge made or was given stay, as long as the rule for it does.

use uuid::Uuid;

use crate::allocation::{Allocation, AllocationError};
use crate::document::{Document, Node};
use crate::edit::{EditError, Edits};
use crate::host::Host;
use crate::layout::{Layout, append, lead, with_lead};
use crate::metadata::{Facts, Known, ReadError};
use crate::password::{PasswordError, Passwords};
use crate::render::{Tag, Wanted};
use crate::spec::ConsoleSpec;

mod differences;

pub use differences::Difference;
use differences::{between, lacks};

/// What is used where the domain has none yet.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// A UUID of its own.
    pub uuid: Uuid,
    /// Passwords. One that is given now is used whatever the domain has.
    pub passwords: Passwords,
}

/// The consoles cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The domain's XML cannot be used.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The ports do not fit the specification.
    #[error(transparent)]
    Allocation(#[from] AllocationError),
    /// The passwords do not fit the specification, or what the domain has.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A mistake of this code's.
    #[error("the XML cannot be edited")]
    Edit(#[from] EditError),
}

/// Gives a domain the consoles that are wanted.
pub fn merge(
    xml: &[u8],
    spec: &ConsoleSpec,
    host: &Host,
    allocation: Option<&Allocation>,
    fresh: &Fresh,
) -> Result<String, MergeError> {
    let document = Document::parse(xml).map_err(ReadError::from)?;
    let facts = Facts::of(&document)?;
    let old = Devices::of(&document);
    let uuid = facts.known.uuid.unwrap_or(fresh.uuid);
    let kept = old.password(&document, &facts, spec);
    let password = fresh.passwords.choose(spec.password(), kept.as_deref())?;
    let wanted = Wanted::of(spec, uuid, host, allocation, password.as_ref())?;
    if lacks(&document, &facts, &old, spec, &wanted).is_empty() {
        return Ok(document.text().to_owned());
    }

    let mut merging =
        Merging { layout: Layout::of(&document, facts.name), document: &document, edits: Edits::default() };
    merging.identity(&facts, uuid, &wanted.metadata);
    let before = facts.known.spec.as_ref();
    let mut added = Vec::new();
    if spec.serial.is_some() || before.is_some_and(|before| before.serial.is_some()) {
        added.extend(merging.replace(&old.serial, &wanted.serial));
    }
    if spec.vnc.is_some() || before.is_some_and(|before| before.vnc.is_some()) {
        added.extend(merging.replace(&old.vnc, &wanted.vnc));
    }
    merging.add(&added);
    Ok(merging.edits.apply(document.text())?)
}

/// What a domain's XML says of itself, if [`merge`] would find the passwords in order: asked before anything is reserved
/// for the domain.
pub fn check(xml: &[u8], spec: &ConsoleSpec, passwords: &Passwords) -> Result<Known, MergeError> {
    let document = Document::parse(xml).map_err(ReadError::from)?;
    let facts = Facts::of(&document)?;
    let kept = Devices::of(&document).password(&document, &facts, spec);
    passwords.choose(spec.password(), kept.as_deref())?;
    Ok(facts.known)
}

/// Which consoles of Porthole's a running domain has otherwise than its definition says: so until its next start.
pub fn until_restart(defined: &[u8], live: &[u8]) -> Result<Vec<Difference>, ReadError> {
    let (defined, live) = (Document::parse(defined)?, Document::parse(live)?);
    Ok(between((&defined, &Facts::of(&defined)?), (&live, &Facts::of(&live)?)))
}

/// Takes the consoles that Porthole gave a domain, and the metadata that says so, away again.
pub fn remove(xml: &[u8]) -> Result<String, MergeError> {
    let document = Document::parse(xml).map_err(ReadError::from)?;
    let facts = Facts::of(&document)?;
    let old = Devices::of(&document);
    let mut merging =
        Merging { layout: Layout::of(&document, facts.name), document: &document, edits: Edits::default() };
    if let (Some(before), Some(consoles)) = (&facts.known.spec, facts.consoles) {
        for gone in before.serial.iter().flat_map(|_| &old.serial).chain(before.vnc.iter().flat_map(|_| &old.vnc)) {
            merging.edits.delete(with_lead(&document, *gone));
        }
        merging.forget(consoles);
    }
    Ok(merging.edits.apply(document.text())?)
}

/// The consoles that a domain has and that may be Porthole's, in their order.
struct Devices {
    /// In several `<devices>`, too: libvirt reads them all.
    vnc: Vec<Node>,
    serial: Vec<Node>,
}

impl Devices {
    fn of(document: &Document<'_>) -> Self {
        let mut found = Self { vnc: Vec::new(), serial: Vec::new() };
        for node in document.named(document.root(), "devices").flat_map(|devices| document.children(devices)) {
            let plain = |name| document.is(node, crate::document::Space::Plain, name);
            if plain("graphics") && document.attribute(node, "type").as_deref() == Some("vnc") {
                found.vnc.push(node);
            } else if plain("serial") || (plain("console") && is_serial_console(document, node)) {
                found.serial.push(node);
            }
        }
        found
    }

    /// The password that an earlier merge by the same rule has left. One of another rule, or of somebody else's, may be
    /// known to whom it should not.
    fn password(&self, document: &Document<'_>, facts: &Facts, spec: &ConsoleSpec) -> Option<String> {
        let before = facts.known.spec.as_ref()?.password()?;
        let screen = self.vnc.first().filter(|_| spec.password() == Some(before))?;
        document.attribute(*screen, "passwd")
    }
}

/// Whether a `<console>` is a serial port by another name: so it is where its target does not say otherwise.
fn is_serial_console(document: &Document<'_>, console: Node) -> bool {
    let target = document.named(console, "target").next();
    let kind = target.and_then(|target| document.attribute(target, "type"));
    kind.is_none_or(|kind| kind == "serial")
}

struct Merging<'a> {
    document: &'a Document<'a>,
    layout: Layout,
    edits: Edits,
}

impl Merging<'_> {
    /// UUID and metadata, behind the name if they are new.
    fn identity(&mut self, facts: &Facts, uuid: Uuid, metadata: &Tag) {
        let beside_name = lead(self.document, facts.name).to_owned();
        let element = format!("<uuid>{}</uuid>", uuid.hyphenated());
        let behind = match facts.uuid {
            None => {
                let end = self.document.range(facts.name).end;
                self.edits.insert(end, format!("{beside_name}{element}"));
                end
            }
            Some(node) => {
                if facts.known.uuid.is_none() {
                    self.edits.replace(self.document.range(node), element);
                }
                self.document.range(node).end
            }
        };
        if let Some(consoles) = facts.consoles {
            let text = metadata.text(&self.layout, lead(self.document, consoles));
            self.edits.replace(self.document.range(consoles), text);
        } else if let Some(parent) = self.document.named(self.document.root(), "metadata").next() {
            let within = self.layout.deeper(lead(self.document, parent));
            let body = format!("{within}{}", metadata.text(&self.layout, &within));
            append(&mut self.edits, self.document, parent, &within, &body);
        } else {
            let within = self.layout.deeper(&beside_name);
            let body = metadata.text(&self.layout, &within);
            let text = format!("{beside_name}<metadata>{within}{body}{beside_name}</metadata>");
            self.edits.insert(behind, text);
        }
    }

    /// Puts devices where old ones stood; those that find no place there come back.
    fn replace<'b>(&mut self, old: &[Node], new: &'b [Tag]) -> &'b [Tag] {
        let (place, gone) = match old {
            [first, rest @ ..] if !new.is_empty() => (Some(*first), rest),
            all => (None, all),
        };
        for node in gone {
            self.edits.delete(with_lead(self.document, *node));
        }
        let Some(place) = place else { return new };
        let lead = lead(self.document, place);
        let texts = new.iter().map(|tag| tag.text(&self.layout, lead)).collect::<Vec<_>>();
        self.edits.replace(self.document.range(place), texts.join(lead));
        &[]
    }

    /// Adds devices that have no place yet.
    fn add(&mut self, new: &[&Tag]) {
        if new.is_empty() {
            return;
        }
        let body = |within: &str| -> String {
            new.iter().flat_map(|tag| [within.to_owned(), tag.text(&self.layout, within)]).collect()
        };
        let root = self.document.root();
        if let Some(devices) = self.document.named(root, "devices").next() {
            let within = self.layout.deeper(lead(self.document, devices));
            let body = body(&within);
            append(&mut self.edits, self.document, devices, &within, &body);
        } else {
            // As its other children stand; the name is one of them.
            let outer = self.document.named(root, "name").next().map_or("", |name| lead(self.document, name));
            let body = body(&self.layout.deeper(outer));
            let text = format!("{outer}<devices>{body}{outer}</devices>");
            append(&mut self.edits, self.document, root, outer, &text);
        }
    }

    /// Takes our metadata out, and `<metadata>` with it if there is nothing else in it.
    fn forget(&mut self, consoles: Node) {
        let range = self.document.range(consoles);
        let text = self.document.text();
        let around = self.document.named(self.document.root(), "metadata").find(|metadata| {
            self.document.content(*metadata).is_some_and(|content| {
                let before = text.get(content.start..range.start).unwrap_or("-");
                let after = text.get(range.end..content.end).unwrap_or("-");
                before.trim_ascii().is_empty() && after.trim_ascii().is_empty()
            })
        });
        self.edits.delete(with_lead(self.document, around.unwrap_or(consoles)));
    }
}

#[cfg(test)]
mod tests;
