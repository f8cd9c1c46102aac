//! The graphical consoles in a domain's XML. Pure: text in, facts out.
//!
//! Reads `/domain/devices/graphics` and its `<listen>`, and passes over everything else, as [`walk`] does it.

use porthole_shared::names::ConsoleKind;
use quick_xml::events::BytesStart;

use super::devices::{Stop, XmlError, attribute, walk};

/// The most graphics devices that are read. QEMU takes a handful.
const MAX_GRAPHICS: usize = 32;

/// A `<graphics>` element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Graphics {
    /// Its place among all `<graphics>`, from 0, as libvirt counts them when one is opened.
    pub(super) position: u8,
    /// What is spoken; `None` for sorts that are no console of ours (SDL, RDP, …).
    pub(super) kind: Option<ConsoleKind>,
    /// Its port, where it has one.
    pub(super) port: Option<u16>,
    /// Where it listens.
    pub(super) listen: Listen,
}

/// Where a console listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listen {
    /// Nowhere: only libvirt can open it.
    Nowhere,
    /// On an address; `None` is libvirt's default.
    Address(Option<String>),
    /// On a unix socket.
    Socket(String),
}

/// Reads the graphics devices, in their order.
pub(super) fn graphics(xml: &str) -> Result<Vec<Graphics>, XmlError> {
    let mut found: Vec<Graphics> = Vec::new();
    walk(xml, |device, element| {
        match (device, element.name().0) {
            (None, "graphics") => {
                if found.len() >= MAX_GRAPHICS {
                    return Err(Stop::TooLarge);
                }
                let position = u8::try_from(found.len()).map_err(|_| Stop::TooLarge)?;
                found.push(read_graphics(position, element)?);
            }
            (Some("graphics"), "listen") => {
                if let Some(graphics) = found.last_mut() {
                    graphics.listen = read_listen(element, &graphics.listen)?;
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(found)
}

fn read_graphics(position: u8, element: &BytesStart<'_>) -> Result<Graphics, String> {
    let kind = attribute(element, "type")?.and_then(|kind| match kind.as_str() {
        "vnc" => Some(ConsoleKind::Vnc),
        "spice" => Some(ConsoleKind::Spice),
        _ => None,
    });
    // A domain that does not run has -1 for a port that is to be found at its start.
    let port = attribute(element, "port")?.and_then(|port| port.parse().ok()).filter(|port| *port != 0);
    let listen = match attribute(element, "socket")? {
        Some(path) => Listen::Socket(path),
        None => Listen::Address(attribute(element, "listen")?),
    };
    Ok(Graphics { position, kind, port, listen })
}

/// `<listen>` says more than the attributes of `<graphics>`, which libvirt keeps for older readers.
fn read_listen(element: &BytesStart<'_>, before: &Listen) -> Result<Listen, String> {
    Ok(match attribute(element, "type")?.as_deref() {
        Some("none") => Listen::Nowhere,
        Some("socket") => match attribute(element, "socket")? {
            Some(path) => Listen::Socket(path),
            // The path is chosen at the start of the domain.
            None => Listen::Nowhere,
        },
        // In the XML of a running domain a network's address has been filled in.
        Some("address" | "network") => match attribute(element, "address")? {
            Some(address) => Listen::Address(Some(address)),
            None => before.clone(),
        },
        _ => before.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::devices::MAX_DEPTH;
    use super::*;
    use crate::hypervisor::MAX_XML_BYTES;
    use proptest::prelude::*;

    fn domain(devices: &str) -> String {
        format!("<domain type='kvm' id='1'><name>g</name><devices>{devices}</devices></domain>")
    }

    fn one(devices: &str) -> Graphics {
        let found = graphics(&domain(devices)).unwrap();
        assert_eq!(found.len(), 1, "{devices}");
        found[0].clone()
    }

    #[test]
    fn listens_of_every_sort() {
        for (devices, kind, port, listen) in [
            (
                "<graphics type='vnc' port='5901' autoport='yes' listen='127.0.0.1' keymap='de'>\
                   <listen type='address' address='127.0.0.1'/></graphics>",
                Some(ConsoleKind::Vnc),
                Some(5901),
                Listen::Address(Some("127.0.0.1".to_owned())),
            ),
            ("<graphics type='vnc'><listen type='none'/></graphics>", Some(ConsoleKind::Vnc), None, Listen::Nowhere),
            (
                "<graphics type='vnc' socket='/run/x&amp;y.sock'><listen type='socket' socket='/run/x&amp;y.sock'/></graphics>",
                Some(ConsoleKind::Vnc),
                None,
                Listen::Socket("/run/x&y.sock".to_owned()),
            ),
            (
                "<graphics type='spice' port='5902' tlsPort='5903' listen='::1'/>",
                Some(ConsoleKind::Spice),
                Some(5902),
                Listen::Address(Some("::1".to_owned())),
            ),
            (
                "<graphics type='vnc' port='5900'><listen type='network' address='10.0.0.1' network='default'/></graphics>",
                Some(ConsoleKind::Vnc),
                Some(5900),
                Listen::Address(Some("10.0.0.1".to_owned())),
            ),
            ("<graphics type='vnc' port='-1' autoport='yes'/>", Some(ConsoleKind::Vnc), None, Listen::Address(None)),
            ("<graphics type='vnc'><listen type='socket'/></graphics>", Some(ConsoleKind::Vnc), None, Listen::Nowhere),
            ("<graphics type='sdl' display=':0'/>", None, None, Listen::Address(None)),
        ] {
            assert_eq!(one(devices), Graphics { position: 0, kind, port, listen }, "{devices}");
        }
    }

    #[test]
    fn positions_count_every_graphics_device() {
        let found = graphics(&domain(
            "<disk/><graphics type='sdl'/><graphics type='spice'><listen type='none'/></graphics>\
             <graphics type='vnc'/><video><model type='vga'/></video>",
        ))
        .unwrap();
        let seen: Vec<_> = found.iter().map(|graphics| (graphics.position, graphics.kind)).collect();
        assert_eq!(seen, [(0, None), (1, Some(ConsoleKind::Spice)), (2, Some(ConsoleKind::Vnc))]);
    }

    #[test]
    fn only_graphics_of_the_devices_count() {
        for xml in [
            "<domain><metadata><devices><graphics type='vnc'/></devices></metadata><devices/></domain>",
            "<domain><devices><x:graphics xmlns:x='urn:x' type='vnc'/></devices></domain>",
            "<domain><devices><hostdev><graphics type='vnc'/></hostdev></devices></domain>",
            "<domain><devices><!-- <graphics type='vnc'/> --></devices></domain>",
            "<domain><description>&lt;graphics type='vnc'/&gt;</description></domain>",
            "<domain><devices><![CDATA[<graphics type='vnc'/>]]></devices></domain>",
            "<other><devices><graphics type='vnc'/></devices></other>",
        ] {
            assert_eq!(graphics(xml), Ok(Vec::new()), "{xml}");
        }
    }

    #[test]
    fn what_libvirt_never_writes_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(MAX_DEPTH + 1), "</a>".repeat(MAX_DEPTH + 1));
        assert_eq!(graphics(&deep), Err(XmlError::TooLarge));
        assert_eq!(graphics(&domain(&"<graphics type='vnc'/>".repeat(33))), Err(XmlError::TooLarge));
        assert_eq!(graphics(&" ".repeat(MAX_XML_BYTES + 1)), Err(XmlError::TooLarge));
        let laughs = "<!DOCTYPE d [<!ENTITY a 'b'>]><domain><devices><graphics type='&a;'/></devices></domain>";
        assert_eq!(graphics(laughs), Err(XmlError::DocumentType));
        for broken in ["<domain>", "<domain></devices>", "<domain><devices><graphics type='&a;'/></devices></domain>"] {
            assert!(matches!(graphics(broken), Err(XmlError::Malformed { .. })), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,400}") {
            let _any = graphics(&text);
        }

        #[test]
        fn any_soup_of_tags_is_read_or_refused(
            parts in prop::collection::vec(prop::sample::select(vec![
                "<domain>", "</domain>", "<devices>", "</devices>", "<graphics type='vnc' port='1'>", "</graphics>",
                "<graphics type='spice'/>", "<listen type='none'/>", "<listen type='socket' socket='/a'/>", "text", "&lt;",
                "<!-- c -->", "<a", "'", ">",
            ]), 0..60)
        ) {
            if let Ok(found) = graphics(&parts.concat()) {
                for (place, graphics) in found.iter().enumerate() {
                    prop_assert_eq!(usize::from(graphics.position), place);
                }
            }
        }

        #[test]
        fn a_socket_path_comes_back_as_it_went_in(path in "/[a-z<>&'\" ]{0,40}") {
            let escaped = quick_xml::escape::escape(path.as_str());
            let devices = format!("<graphics type='vnc'><listen type='socket' socket='{escaped}'/></graphics>");
            prop_assert_eq!(one(&devices).listen, Listen::Socket(path));
        }
    }
}
