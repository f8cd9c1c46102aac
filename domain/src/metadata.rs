//! The specification in a domain's own `<metadata>`, so that whichever host the domain comes to knows it.
//!
//! ```xml
//! <porthole:consoles xmlns:porthole='https://porthole.dev/xmlns/consoles/1.0' transport='sealed'>
//!   <porthole:vnc keymap='de' share='ignore'/>
//!   <porthole:serial ports='2' protocol='raw' log='host'/>
//! </porthole:consoles>
//! ```
//!
//! `<porthole:vnc>` may say `password='random|none|given'`: whose the screen's password is, never the password, for any
//! who may ask libvirt for a domain's XML reads this.
//!
//! **Later releases** add elements of their own beside these (such as `<porthole:spice>`), or attributes. What is in the
//! namespace but not understood is refused, not passed over: to write the element anew would lose it, and to write only
//! what is understood would leave the domain with half of what it is to have (a SPICE server on a port of another host,
//! say). So a domain with such a note is left exactly as it is, and the error names what is not known and what to do. To
//! open its consoles nothing of the note is read. The name of the element and the namespace stay what they are.

use std::fmt::Display;
use std::str::FromStr;

use uuid::Uuid;

use crate::document::{Document, DocumentError, Node, Place, Space};
use crate::render::Tag;
use crate::spec::{ConsoleSpec, Keymap, PasswordRule, Serial, SerialPorts, Vnc};

/// Porthole's namespace in a domain's metadata.
pub const NAMESPACE: &str = "https://porthole.dev/xmlns/consoles/1.0";

/// The element for a specification.
pub(crate) fn tag(spec: &ConsoleSpec) -> Tag {
    let vnc = spec.vnc.iter().map(|vnc| {
        Tag::new("porthole:vnc")
            .with_some("keymap", vnc.keymap.as_ref().map(Keymap::as_str))
            .with("share", vnc.share.as_str())
            .with_some("password", vnc.password.map(PasswordRule::as_str))
    });
    let serial = spec.serial.iter().map(|serial| {
        Tag::new("porthole:serial")
            .with("ports", serial.ports.number().to_string())
            .with("protocol", serial.protocol.as_str())
            .with("log", serial.log.to_string())
    });
    Tag::new("porthole:consoles")
        .with("xmlns:porthole", NAMESPACE)
        .with("transport", spec.transport.as_str())
        .holding(vnc.chain(serial))
}

/// What a domain's XML says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// Its UUID, where it has one already.
    pub uuid: Option<Uuid>,
    /// Its specification, where Porthole has given it one.
    pub spec: Option<ConsoleSpec>,
}

/// Why a domain's XML does not say what it must.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is no usable XML.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Something in it is not what it must be.
    #[error("{place}: {why}")]
    Content {
        /// Where.
        place: Place,
        /// What.
        why: String,
    },
}

impl ReadError {
    /// Where it is.
    pub const fn place(&self) -> Place {
        match self {
            Self::Document(error) => error.place,
            Self::Content { place, .. } => *place,
        }
    }

    /// What it is, without the place.
    pub fn why(&self) -> String {
        match self {
            Self::Document(error) => error.fault(),
            Self::Content { why, .. } => why.clone(),
        }
    }
}

/// Reads what a domain's XML says of itself.
pub fn read(xml: &[u8]) -> Result<Known, ReadError> {
    Ok(Facts::of(&Document::parse(xml)?)?.known)
}

/// The same, and where it stands.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) known: Known,
    pub(crate) name: Node,
    /// `<uuid>`, which may be empty.
    pub(crate) uuid: Option<Node>,
    /// Our element in the metadata.
    pub(crate) consoles: Option<Node>,
}

impl Facts {
    pub(crate) fn of(document: &Document<'_>) -> Result<Self, ReadError> {
        let root = document.root();
        let only = |name: &'static str| {
            let mut all = document.named(root, name);
            let first = all.next();
            match all.next() {
                None => Ok(first),
                Some(second) => Err(wrong(document, second, format!("there is a second <{name}>"))),
            }
        };
        let name = only("name")?.ok_or_else(|| wrong(document, root, "the domain has no <name>".to_owned()))?;
        let text = document.plain_text(name).unwrap_or_default();
        let uuid = only("uuid")?;
        // Several are libvirt's to refuse; ours is found in any.
        let ours = || {
            let metadata = document.named(root, "metadata").collect::<Vec<_>>();
            metadata
                .into_iter()
                .flat_map(|metadata| document.children(metadata))
                .filter(|node| document.space(*node) == Space::Ours)
        };
        if let Some(second) = ours().nth(1) {
            return Err(wrong(document, second, "there is a second element of Porthole's in the metadata".to_owned()));
        }
        let consoles = ours().next();
        let known = Known {
            name: text.into_owned(),
            uuid: uuid.map(|node| read_uuid(document, node)).transpose()?.flatten(),
            spec: consoles.map(|node| read_spec(document, node)).transpose()?,
        };
        Ok(Self { known, name, uuid, consoles })
    }
}

/// An empty one is none, to libvirt too.
fn read_uuid(document: &Document<'_>, node: Node) -> Result<Option<Uuid>, ReadError> {
    let text = document.plain_text(node);
    match text.as_deref().map(str::trim_ascii) {
        Some("") => Ok(None),
        Some(uuid) if Uuid::try_parse(uuid).is_ok_and(|uuid| !uuid.is_nil()) => Ok(Uuid::try_parse(uuid).ok()),
        Some(_) | None => Err(wrong(document, node, "<uuid> holds no UUID".to_owned())),
    }
}

fn read_spec(document: &Document<'_>, node: Node) -> Result<ConsoleSpec, ReadError> {
    if !document.is(node, Space::Ours, "consoles") {
        return Err(unknown(document, node));
    }
    let mut read = Attributes::of(document, node);
    let mut spec = ConsoleSpec { transport: read.required("transport")?, vnc: None, serial: None };
    read.end()?;
    for child in document.children(node) {
        let mut read = Attributes::of(document, child);
        let twice = match document.name(child) {
            "vnc" if document.space(child) == Space::Ours => {
                let vnc = Vnc {
                    keymap: read.optional("keymap")?,
                    share: read.required("share")?,
                    password: read.optional("password")?,
                };
                spec.vnc.replace(vnc).is_some()
            }
            "serial" if document.space(child) == Space::Ours => {
                let ports = SerialPorts::try_from(read.required::<u8>("ports")?)
                    .map_err(|error| wrong(document, child, error.to_string()))?;
                let serial = Serial { ports, protocol: read.required("protocol")?, log: read.required("log")? };
                spec.serial.replace(serial).is_some()
            }
            _ => return Err(unknown(document, child)),
        };
        read.end()?;
        if twice {
            return Err(wrong(document, child, format!("there is a second <{}>", document.name(child))));
        }
    }
    Ok(spec)
}

/// The attributes of an element of ours, each taken once.
struct Attributes<'a> {
    document: &'a Document<'a>,
    node: Node,
    left: Vec<(String, String)>,
}

impl<'a> Attributes<'a> {
    fn of(document: &'a Document<'a>, node: Node) -> Self {
        let mut left = document.attributes(node);
        left.retain(|(name, _)| name != "xmlns" && !name.starts_with("xmlns:"));
        Self { document, node, left }
    }

    fn optional<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<Option<T>, ReadError> {
        let Some(index) = self.left.iter().position(|(known, _)| known == name) else { return Ok(None) };
        let (_, value) = self.left.swap_remove(index);
        let parsed = value.parse().map_err(|error: T::Err| {
            wrong(self.document, self.node, format!("attribute {name} of Porthole's metadata: {error}"))
        })?;
        Ok(Some(parsed))
    }

    fn required<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<T, ReadError> {
        self.optional(name)?.ok_or_else(|| {
            let element = self.document.name(self.node);
            wrong(self.document, self.node, format!("<{element}> of Porthole's metadata has no attribute {name}"))
        })
    }

    fn end(&self) -> Result<(), ReadError> {
        match self.left.first() {
            None => Ok(()),
            Some((name, _)) => {
                let name = name.chars().take(40).collect::<String>();
                let why = format!("attribute {name} of Porthole's metadata is not known to this release{LATER}");
                Err(wrong(self.document, self.node, why))
            }
        }
    }
}

/// What to do about what is not known.
const LATER: &str = ". A later one has probably written it: nothing is changed, so that nothing of it is lost. Use that \
                     release on this host, too, or have that one take the consoles away first (`porthole consoles remove`)";

fn unknown(document: &Document<'_>, node: Node) -> ReadError {
    let name = document.name(node).chars().take(40).collect::<String>();
    wrong(document, node, format!("<{name}> in Porthole's metadata is not known to this release{LATER}"))
}

fn wrong(document: &Document<'_>, node: Node, why: String) -> ReadError {
    ReadError::Content { place: document.place(document.range(node).start), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;

    fn domain(metadata: &str) -> String {
        format!("<domain>\n<name>a&amp;b</name>\n<metadata>{metadata}</metadata></domain>")
    }

    fn said(xml: &str) -> String {
        read(xml.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_specification_comes_back_as_it_went_in() {
        for json in [
            "{}",
            r#"{"transport": "tcp", "vnc": {}}"#,
            r#"{"vnc": {"keymap": "en-us", "share": "force-shared"}, "serial": {"ports": 0}}"#,
            r#"{"serial": {"ports": 4, "protocol": "telnet", "log": "/var/log/it's <one> & \"two\".log"}}"#,
            r#"{"serial": {"ports": 1, "log": "off"}}"#,
            r#"{"vnc": {"password": "given"}}"#,
        ] {
            let spec: ConsoleSpec = serde_json::from_str(json).unwrap();
            let text = tag(&spec).text(&Layout::standard(), "\n  ");
            let known = read(domain(&text).as_bytes()).unwrap();
            assert_eq!(known, Known { name: "a&b".to_owned(), uuid: None, spec: Some(spec) }, "{text}");
        }
    }

    #[test]
    fn the_namespace_counts_and_not_the_prefix() {
        let other = format!("<p:consoles xmlns:p='{NAMESPACE}' transport='tcp'><p:vnc share='ignore'/></p:consoles>");
        assert!(read(domain(&other).as_bytes()).unwrap().spec.unwrap().vnc.is_some());
        let default = format!("<consoles xmlns='{NAMESPACE}' transport='sealed'/>");
        assert!(read(domain(&default).as_bytes()).unwrap().spec.is_some());
        for foreign in [
            "<porthole:consoles xmlns:porthole='urn:other' transport='tcp'/>".to_owned(),
            "<porthole:consoles transport='tcp'/>".to_owned(),
            "<consoles transport='tcp'/>".to_owned(),
            format!("<a xmlns='urn:a'>{other}</a>"),
        ] {
            assert_eq!(read(domain(&foreign).as_bytes()).unwrap().spec, None, "{foreign}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let ours = |attributes: &str, content: &str| {
            domain(&format!("<p:consoles xmlns:p='{NAMESPACE}' {attributes}>{content}</p:consoles>"))
        };
        for (xml, expected) in [
            (ours("", ""), "line 3, column 11: <consoles> of Porthole's metadata has no attribute transport"),
            (ours("transport='open'", ""), "line 3, column 11: attribute transport of Porthole's metadata: transport"),
            (ours("transport='tcp' later='1'", ""), "attribute later of Porthole's metadata is not known"),
            (ours("transport='tcp'", "<p:spice/>"), "<spice> in Porthole's metadata is not known"),
            (ours("transport='tcp'", "<p:spice/>"), "Use that release on this host, too"),
            (ours("transport='tcp'", "<vnc share='ignore'/>"), "<vnc> in Porthole's metadata is not known"),
            (ours("transport='tcp'", "<p:serial ports='5' protocol='raw' log='off'/>"), "5 serial ports are too many"),
            (ours("transport='tcp'", "<p:serial ports='1' protocol='raw' log='a'/>"), "attribute log"),
            (ours("transport='tcp'", "<p:vnc share='ignore'/><p:vnc share='ignore'/>"), "a second <vnc>"),
            (domain(&format!("<p:other xmlns:p='{NAMESPACE}'/>")), "<other> in Porthole's metadata"),
            (domain(&format!("<p:consoles xmlns:p='{NAMESPACE}' transport='tcp'/>").repeat(2)), "a second element of"),
            ("<domain/>".to_owned(), "line 1, column 1: the domain has no <name>"),
            ("<domain><name>a</name>\n <uuid>b</uuid></domain>".to_owned(), "line 2, column 2: <uuid> holds no UUID"),
            ("<domain><name>a</name><name>b</name></domain>".to_owned(), "a second <name>"),
        ] {
            assert!(said(&xml).contains(expected), "{xml}: {}", said(&xml));
        }
    }

    #[test]
    fn uuids_in_libvirts_forms() {
        let uuid = |text: &str| read(format!("<domain><name>a</name>{text}</domain>").as_bytes()).unwrap().uuid;
        let expected = Uuid::try_parse("7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e").ok();
        assert_eq!(uuid("<uuid>7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e</uuid>"), expected);
        assert_eq!(uuid("<uuid> 7c5d4b9e2f0a4c1e9d631f5a2b3c4d5e\n</uuid>"), expected);
        assert_eq!((uuid("<uuid/>"), uuid("<uuid> </uuid>"), uuid("")), (None, None, None));
    }
}
