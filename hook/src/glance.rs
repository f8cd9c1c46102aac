//! What the hook itself sees in a domain's XML: which domain it is, and whether its consoles are Porthole's.
//!
//! That is all it needs where the agent cannot be asked. What the XML means, the agent reads.

use quick_xml::events::Event;
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;
use uuid::Uuid;

use crate::NAMESPACE;

/// How deep elements may be within each other. libvirt's own are 8 deep at most; metadata may be more.
const DEEPEST: usize = 128;

/// What is seen at a glance. Of XML that cannot be read, what was seen up to there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Glance {
    /// The domain's UUID.
    pub uuid: Option<Uuid>,
    /// Its metadata has an element of Porthole's.
    pub managed: bool,
}

/// Looks once through a domain's XML: `<domain>`'s `<uuid>`, and the elements directly in its `<metadata>`. It is a
/// stranger's: no entity is resolved, no document type read.
pub fn glance(xml: &[u8]) -> Glance {
    let mut seen = Glance::default();
    let Ok(text) = std::str::from_utf8(xml) else { return seen };
    let mut reader = NsReader::from_str(text);
    let mut path: Vec<Part> = Vec::new();
    loop {
        match reader.read_resolved_event() {
            Ok((namespace, Event::Start(element))) => {
                let part = Part::of(&path, &namespace, element.local_name().as_ref());
                seen.managed |= part == Part::Ours;
                path.push(part);
                if path.len() > DEEPEST {
                    return seen;
                }
            }
            Ok((namespace, Event::Empty(element))) => {
                seen.managed |= Part::of(&path, &namespace, element.local_name().as_ref()) == Part::Ours;
            }
            Ok((_, Event::End(_))) => {
                path.pop();
            }
            Ok((_, Event::Text(text))) if path.last() == Some(&Part::Uuid) => {
                seen.uuid = seen.uuid.or_else(|| Uuid::try_parse(text.trim()).ok());
            }
            Ok((_, Event::Eof | Event::DocType(_))) | Err(_) => return seen,
            Ok(_) => {}
        }
    }
}

/// What an element is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Domain,
    Uuid,
    Metadata,
    Ours,
    Other,
}

impl Part {
    fn of(path: &[Self], namespace: &ResolveResult<'_>, name: &str) -> Self {
        let plain = matches!(namespace, ResolveResult::Unbound);
        match (path, name) {
            ([], "domain") if plain => Self::Domain,
            ([Self::Domain], "uuid") if plain => Self::Uuid,
            ([Self::Domain], "metadata") if plain => Self::Metadata,
            ([Self::Domain, Self::Metadata], _) if is_ours(namespace) => Self::Ours,
            _ => Self::Other,
        }
    }
}

fn is_ours(namespace: &ResolveResult<'_>) -> bool {
    matches!(namespace, ResolveResult::Bound(bound) if bound.as_ref() == NAMESPACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e";

    fn of(metadata: &str) -> Glance {
        glance(
            format!("<domain type='kvm' id='3'>\n<name>a</name><uuid> {UUID}\n</uuid>{metadata}</domain>").as_bytes(),
        )
    }

    #[test]
    fn it_sees_which_domain_it_is_and_whose() {
        assert_eq!(of(""), Glance { uuid: Uuid::try_parse(UUID).ok(), managed: false });
        for ours in [
            format!("<metadata><p:consoles xmlns:p='{NAMESPACE}'><p:vnc/></p:consoles></metadata>"),
            format!("<metadata xmlns:p=\"{NAMESPACE}\"><x:y xmlns:x='urn:x'/><p:consoles/></metadata>"),
            format!("<metadata><consoles xmlns='{NAMESPACE}'/></metadata>"),
        ] {
            assert!(of(&ours).managed, "{ours}");
        }
        for others in [
            format!("<description>{NAMESPACE}</description>"),
            format!("<metadata><a xmlns='urn:a'><p:consoles xmlns:p='{NAMESPACE}'/></a></metadata>"),
            format!("<devices><metadata><p:consoles xmlns:p='{NAMESPACE}'/></metadata></devices>"),
            "<metadata><porthole:consoles xmlns:porthole='urn:b'/></metadata>".to_owned(),
            format!("<!-- <metadata><consoles xmlns='{NAMESPACE}'/></metadata> -->"),
        ] {
            assert!(!of(&others).managed, "{others}");
        }
    }

    #[test]
    fn what_is_no_xml_is_nobodys() {
        for nothing in ["", "<", "\u{0}", "<domain", "<domstatus><domain/></domstatus>", "<domain>&lol;</domain>"] {
            assert_eq!(glance(nothing.as_bytes()), Glance::default(), "{nothing}");
        }
        assert_eq!(glance(b"\xff\xfe<\0d"), Glance::default());
        assert_eq!(glance("<a>".repeat(1_000_000).as_bytes()), Glance::default());
        let bomb = format!("<!DOCTYPE d [<!ENTITY a 'b'>]><domain><uuid>{UUID}</uuid></domain>");
        assert_eq!(glance(bomb.as_bytes()), Glance::default());
    }

    proptest::proptest! {
        #[test]
        fn it_looks_at_anything(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            glance(&bytes);
        }
    }
}
