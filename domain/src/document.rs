//! A domain's XML as a tree of elements that know at which bytes they stand.
//!
//! Reads everything once and keeps no text but the one it was given. What libvirt's own parser would refuse, or might
//! read otherwise than this one, is refused here with its place: what is edited must mean the same to both.

use std::borrow::Cow;
use std::ops::Range;

use quick_xml::XmlVersion;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

use crate::metadata::NAMESPACE;

mod place;
mod text;

pub use place::Place;

/// The longest XML that is read, in bytes: the longest string that libvirt sends or takes.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The deepest nesting. libvirt's own is below 10; metadata may hold anything.
const MAX_DEPTH: usize = 128;

/// The most elements. A domain of 2,000 lines has some 2,000.
const MAX_ELEMENTS: usize = 100_000;

/// The XML cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct DocumentError {
    /// Where.
    pub place: Place,
    /// What.
    fault: Fault,
}

impl DocumentError {
    fn at(text: &[u8], offset: usize, fault: Fault) -> Self {
        Self { place: Place::of(text, offset), fault }
    }

    /// What is wrong, without the place.
    pub fn fault(&self) -> String {
        self.fault.to_string()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("the XML is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("the XML is encoded as {0}; only UTF-8 is read: convert it first, for example with iconv")]
    Encoding(String),
    #[error("this byte is not UTF-8, the only encoding that is read: convert the XML first, for example with iconv")]
    NotUtf8,
    #[error("the character U+{0:04X} is not allowed in XML")]
    Character(u32),
    #[error("a document type is not allowed: libvirt writes none, and it may define entities")]
    DocumentType,
    #[error("the entity &{0}; is not one of XML's own five (amp, lt, gt, quot, apos)")]
    Entity(String),
    #[error("elements are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    #[error("there are more than {MAX_ELEMENTS} elements")]
    TooMany,
    #[error("not well-formed: {0}")]
    Malformed(String),
    #[error("the outermost element is <{0}>; a libvirt domain's is <domain>")]
    NotADomain(String),
}

/// In which namespace an element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    /// In none, as libvirt's own are.
    Plain,
    /// In Porthole's.
    Ours,
    /// In another, which is not ours to look into.
    Foreign,
}

/// Its index in the document's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node(usize);

#[derive(Debug)]
struct Element<'a> {
    parent: Option<usize>,
    space: Space,
    /// Without its prefix.
    name: &'a str,
    start_tag: Range<usize>,
    /// Empty, at the end of the start tag, if that is all there is (`<name/>`).
    end_tag: Range<usize>,
}

/// A well-formed domain XML.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    text: &'a str,
    elements: Vec<Element<'a>>,
}

impl<'a> Document<'a> {
    /// Reads it.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, DocumentError> {
        let (text, mark) = text::decode(bytes)?;
        Parser { text, mark, elements: Vec::new(), open: Vec::new() }.run()
    }

    /// All of it.
    pub(crate) const fn text(&self) -> &'a str {
        self.text
    }

    /// `<domain>`.
    #[expect(clippy::unused_self, reason = "a node means something in its document only")]
    pub(crate) const fn root(&self) -> Node {
        Node(0)
    }

    /// The elements within that one, at its first level, in their order.
    pub(crate) fn children(&self, parent: Node) -> impl Iterator<Item = Node> + '_ {
        let later = self.elements.iter().enumerate().skip(parent.0 + 1);
        // What comes behind its end is not within it.
        let end = self.range(parent).end;
        later
            .take_while(move |(_, element)| element.start_tag.start < end)
            .filter(move |(_, element)| element.parent == Some(parent.0))
            .map(|(index, _)| Node(index))
    }

    /// Those of libvirt's own with that name.
    pub(crate) fn named<'b>(&'b self, parent: Node, name: &'b str) -> impl Iterator<Item = Node> + 'b {
        self.children(parent).filter(move |node| self.is(*node, Space::Plain, name))
    }

    /// Whether it is called that.
    pub(crate) fn is(&self, node: Node, space: Space, name: &str) -> bool {
        self.element(node).is_some_and(|element| element.space == space && element.name == name)
    }

    /// In which namespace it is.
    pub(crate) fn space(&self, node: Node) -> Space {
        self.element(node).map_or(Space::Foreign, |element| element.space)
    }

    /// Its name without a prefix.
    pub(crate) fn name(&self, node: Node) -> &'a str {
        self.element(node).map_or("", |element| element.name)
    }

    /// From the `<` of its start to the `>` of its end.
    pub(crate) fn range(&self, node: Node) -> Range<usize> {
        self.element(node).map_or(0..0, |element| element.start_tag.start..element.end_tag.end)
    }

    /// What is between its tags; `None` if it has but one.
    pub(crate) fn content(&self, node: Node) -> Option<Range<usize>> {
        let element = self.element(node)?;
        (!element.end_tag.is_empty()).then_some(element.start_tag.end..element.end_tag.start)
    }

    /// The text in it, entities resolved; `None` if there is more than text.
    pub(crate) fn plain_text(&self, node: Node) -> Option<Cow<'a, str>> {
        let raw = self.content(node).map_or(Some(""), |content| self.text.get(content))?;
        if raw.contains('<') { None } else { unescape(raw).ok() }
    }

    /// An attribute's value, normalised as XML says.
    pub(crate) fn attribute(&self, node: Node, name: &str) -> Option<String> {
        self.attributes(node).into_iter().find_map(|(key, value)| (key == name).then_some(value))
    }

    /// All attributes.
    pub(crate) fn attributes(&self, node: Node) -> Vec<(String, String)> {
        let Some(tag) = self.element(node).and_then(|element| self.text.get(element.start_tag.clone())) else {
            return Vec::new();
        };
        let content = tag.trim_start_matches('<').trim_end_matches('>').trim_end_matches('/');
        let name = content.find(|c: char| c.is_ascii_whitespace()).unwrap_or(content.len());
        let start = BytesStart::from_content(content, name);
        // The parser has been through all of them.
        let read = start.attributes().flatten().filter_map(|attribute| {
            let value = attribute.normalized_value(XmlVersion::default()).ok()?;
            Some((attribute.key.0.to_owned(), value.into_owned()))
        });
        read.collect()
    }

    /// Where a byte of it is.
    pub(crate) fn place(&self, offset: usize) -> Place {
        Place::of(self.text.as_bytes(), offset)
    }

    fn element(&self, node: Node) -> Option<&Element<'a>> {
        self.elements.get(node.0)
    }
}

struct Parser<'a> {
    text: &'a str,
    /// The length of a byte order mark, which the reader does not see.
    mark: usize,
    elements: Vec<Element<'a>>,
    open: Vec<usize>,
}

impl<'a> Parser<'a> {
    fn run(mut self) -> Result<Document<'a>, DocumentError> {
        let mut reader = NsReader::from_str(self.text.get(self.mark..).unwrap_or_default());
        reader.config_mut().check_comments = true;
        loop {
            let start = self.offset(reader.buffer_position());
            let (space, event) = match reader.read_resolved_event() {
                Ok((resolved, event)) => (space(&resolved), event),
                Err(error) => {
                    let at = self.offset(reader.error_position()).max(start);
                    return Err(self.fault(at, Fault::Malformed(error.to_string())));
                }
            };
            let range = start..self.offset(reader.buffer_position());
            match event {
                Event::Start(tag) => {
                    let index = self.element(&tag, space, range)?;
                    self.open.push(index);
                }
                Event::Empty(tag) => {
                    self.element(&tag, space, range)?;
                }
                Event::End(_) => {
                    if let Some(element) = self.open.pop().and_then(|index| self.elements.get_mut(index)) {
                        element.end_tag = range;
                    }
                }
                Event::Text(_) | Event::CData(_) => self.characters(range)?,
                Event::GeneralRef(reference) => self.reference(&reference, start)?,
                Event::Decl(declaration) => self.declaration(&declaration, start)?,
                Event::DocType(_) => return Err(self.fault(start, Fault::DocumentType)),
                Event::Comment(_) | Event::PI(_) => {}
                Event::Eof => break,
            }
        }
        match (self.open.last().and_then(|index| self.elements.get(*index)), self.elements.is_empty()) {
            (Some(open), _) => {
                let why = format!("<{}> is never closed", open.name);
                Err(self.fault(open.start_tag.start, Fault::Malformed(why)))
            }
            (None, true) => Err(self.fault(self.text.len(), Fault::Malformed("there is no element".to_owned()))),
            (None, false) => Ok(Document { text: self.text, elements: self.elements }),
        }
    }

    /// Takes an element whose end tag is not known yet.
    fn element(&mut self, tag: &BytesStart<'_>, space: Space, range: Range<usize>) -> Result<usize, DocumentError> {
        let start = range.start;
        // The reader's own names borrow from its event; the same bytes of the text live longer.
        let local = tag.local_name();
        let name_end = start + 1 + tag.name().0.len();
        let name = self.text.get(name_end - local.as_ref().len()..name_end).unwrap_or_default();
        if self.open.is_empty() {
            if !self.elements.is_empty() {
                return Err(self.fault(start, Fault::Malformed("there is a second outermost element".to_owned())));
            }
            if (space, name) != (Space::Plain, "domain") {
                return Err(self.fault(start, Fault::NotADomain(name.chars().take(40).collect())));
            }
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(self.fault(start, Fault::TooDeep));
        }
        if self.elements.len() >= MAX_ELEMENTS {
            return Err(self.fault(start, Fault::TooMany));
        }
        for attribute in tag.attributes() {
            let malformed = |why: String| self.fault(start, Fault::Malformed(why));
            let attribute = attribute.map_err(|error| malformed(error.to_string()))?;
            if attribute.value.contains('<') {
                return Err(malformed(format!("the value of {} contains `<`", attribute.key.0)));
            }
            attribute.normalized_value(XmlVersion::default()).map_err(|error| malformed(error.to_string()))?;
        }
        let end_tag = range.end..range.end;
        self.elements.push(Element { parent: self.open.last().copied(), space, name, start_tag: range, end_tag });
        Ok(self.elements.len() - 1)
    }

    fn characters(&self, range: Range<usize>) -> Result<(), DocumentError> {
        let start = range.start;
        let blank = self.text.get(range).is_some_and(|text| text.trim_ascii().is_empty());
        if self.open.is_empty() && !blank {
            return Err(self.fault(start, Fault::Malformed("there is text outside of <domain>".to_owned())));
        }
        Ok(())
    }

    fn reference(&self, reference: &BytesRef<'_>, start: usize) -> Result<(), DocumentError> {
        let name = reference.xml10_content();
        match reference.resolve_char_ref() {
            Ok(Some(character)) if text::allowed(character) && !self.open.is_empty() => Ok(()),
            Ok(None) if ["amp", "lt", "gt", "quot", "apos"].contains(&&*name) && !self.open.is_empty() => Ok(()),
            Ok(None) => Err(self.fault(start, Fault::Entity(name.chars().take(40).collect()))),
            Ok(Some(_)) | Err(_) => {
                let why = format!("&{}; is no character", name.chars().take(40).collect::<String>());
                Err(self.fault(start, Fault::Malformed(why)))
            }
        }
    }

    fn declaration(&self, declaration: &BytesDecl<'_>, start: usize) -> Result<(), DocumentError> {
        if start != self.mark {
            return Err(self.fault(start, Fault::Malformed("an XML declaration must come first".to_owned())));
        }
        let malformed = |why: String| self.fault(start, Fault::Malformed(why));
        match declaration.version() {
            Ok(version) if version == "1.0" => {}
            Ok(version) => return Err(malformed(format!("XML {version} is not read, only 1.0"))),
            Err(error) => return Err(malformed(error.to_string())),
        }
        let Some(encoding) = declaration.encoding() else { return Ok(()) };
        let encoding = encoding.map_err(|error| malformed(error.to_string()))?;
        // ASCII is UTF-8 that needs no second byte; that there is none is for libvirt to see.
        if ["utf-8", "utf8", "us-ascii", "ascii"].iter().any(|known| encoding.eq_ignore_ascii_case(known)) {
            Ok(())
        } else {
            Err(self.fault(start, Fault::Encoding(encoding.chars().take(40).collect())))
        }
    }

    fn fault(&self, offset: usize, fault: Fault) -> DocumentError {
        DocumentError::at(self.text.as_bytes(), offset, fault)
    }

    /// Where the reader is, in all of the text.
    fn offset(&self, position: u64) -> usize {
        usize::try_from(position).map_or(self.text.len(), |position| position + self.mark)
    }
}

fn space(resolved: &ResolveResult<'_>) -> Space {
    match resolved {
        ResolveResult::Unbound => Space::Plain,
        ResolveResult::Bound(Namespace(NAMESPACE)) => Space::Ours,
        ResolveResult::Bound(_) | ResolveResult::Unknown(_) => Space::Foreign,
    }
}

#[cfg(test)]
mod tests;
