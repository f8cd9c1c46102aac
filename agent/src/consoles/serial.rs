//! The serial ports in a domain's XML. Pure: text in, facts out; as careful as [`xml`](super::xml), for the same reasons.
//!
//! Reads `/domain/devices/serial` with its `<source>`, `<protocol>` and `<log>`, the domain's number in libvirt, and
//! whether its metadata has an element in Porthole's namespace. `<console>` is passed over: what it says of a serial
//! port, libvirt repeats from `<serial>`.

use std::path::PathBuf;

use porthole_domain::NAMESPACE;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use super::XmlError;
use crate::hypervisor::MAX_XML_BYTES;

/// The deepest nesting that is read.
const MAX_DEPTH: usize = 128;

/// The most serial ports that are read. Machines have up to four of the usual sort.
const MAX_PORTS: usize = 32;

/// The serial ports of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SerialPorts {
    /// Porthole has given the domain its consoles.
    pub managed: bool,
    /// libvirt's number of a domain that runs: another one after each start.
    pub number: Option<u32>,
    /// The ports, in their order.
    pub ports: Vec<SerialPort>,
}

/// A serial port.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SerialPort {
    /// Where its bytes go.
    pub backend: Backend,
    /// Where libvirt keeps what it says.
    pub log: Option<PathBuf>,
    /// Its name among the domain's devices.
    pub alias: Option<String>,
}

/// Where a serial port's bytes go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Backend {
    /// A unix socket on which the emulator listens.
    Unix(PathBuf),
    /// A TCP port on which the emulator listens.
    Tcp {
        /// The address that it listens on.
        host: String,
        /// The port.
        port: u16,
        /// Whether telnet is spoken.
        telnet: bool,
    },
    /// A pseudo terminal.
    Pty,
    /// A file, a device, a connection that the emulator makes: somewhere else.
    #[default]
    Elsewhere,
}

impl Backend {
    /// Whether it can be a console.
    pub const fn is_console(&self) -> bool {
        match self {
            Self::Unix(_) | Self::Tcp { .. } | Self::Pty => true,
            Self::Elsewhere => false,
        }
    }
}

/// Reads them.
pub(super) fn read(xml: &str) -> Result<SerialPorts, XmlError> {
    if xml.len() > MAX_XML_BYTES {
        return Err(XmlError::TooLarge);
    }
    let mut reader = NsReader::from_str(xml);
    reader.config_mut().expand_empty_elements = true;
    let mut found = SerialPorts::default();
    let mut kind = String::new();
    let mut depth = 0_usize;
    let mut path = [Place::Elsewhere; 3];
    loop {
        let position = reader.buffer_position();
        let malformed = |message: String| XmlError::Malformed { position, message };
        let (space, event) = reader.read_resolved_event().map_err(|error| malformed(error.to_string()))?;
        match event {
            Event::Start(element) => {
                let ours = matches!(space, ResolveResult::Bound(space) if space.0 == NAMESPACE);
                let place = Place::of(&element);
                match (depth, path, place) {
                    (0, _, Place::Domain) => {
                        found.number = attribute(&element, "id").map_err(malformed)?.and_then(|id| id.parse().ok());
                    }
                    (2, [Place::Domain, Place::Metadata, _], _) => found.managed |= ours,
                    (2, [Place::Domain, Place::Devices, _], Place::Serial) => {
                        if found.ports.len() >= MAX_PORTS {
                            return Err(XmlError::TooLarge);
                        }
                        kind = attribute(&element, "type").map_err(malformed)?.unwrap_or_default();
                        let backend = if kind == "pty" { Backend::Pty } else { Backend::Elsewhere };
                        found.ports.push(SerialPort { backend, ..SerialPort::default() });
                    }
                    (3, [Place::Domain, Place::Devices, Place::Serial], _) => {
                        if let Some(port) = found.ports.last_mut() {
                            part(port, &kind, place, &element).map_err(malformed)?;
                        }
                    }
                    _ => {}
                }
                if let Some(slot) = path.get_mut(depth) {
                    *slot = place;
                }
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(XmlError::TooLarge);
                }
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                if let Some(slot) = path.get_mut(depth) {
                    *slot = Place::Elsewhere;
                }
            }
            Event::DocType(_) => return Err(XmlError::DocumentType),
            Event::Eof if depth == 0 => return Ok(found),
            Event::Eof => return Err(malformed("it ends within an element".to_owned())),
            Event::Empty(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::GeneralRef(_) => {}
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Domain,
    Metadata,
    Devices,
    Serial,
    Source,
    Protocol,
    Log,
    Alias,
    Elsewhere,
}

impl Place {
    fn of(element: &BytesStart<'_>) -> Self {
        match element.name().0 {
            "domain" => Self::Domain,
            "metadata" => Self::Metadata,
            "devices" => Self::Devices,
            "serial" => Self::Serial,
            "source" => Self::Source,
            "protocol" => Self::Protocol,
            "log" => Self::Log,
            "alias" => Self::Alias,
            _ => Self::Elsewhere,
        }
    }
}

/// What an element within `<serial>` says of it.
fn part(port: &mut SerialPort, kind: &str, place: Place, element: &BytesStart<'_>) -> Result<(), String> {
    match place {
        // A port to which the emulator connects is somebody else's; without a mode libvirt means that.
        Place::Source if attribute(element, "mode")?.as_deref() == Some("bind") => match kind {
            "unix" => {
                if let Some(path) = attribute(element, "path")? {
                    port.backend = Backend::Unix(path.into());
                }
            }
            "tcp" => {
                let host = attribute(element, "host")?.unwrap_or_else(|| "127.0.0.1".to_owned());
                let number = attribute(element, "service")?.and_then(|service| service.parse().ok());
                // Nobody resolves a service's name for us, and 0 is a port that QEMU has chosen and tells nobody.
                if let Some(number) = number.filter(|number| *number != 0) {
                    port.backend = Backend::Tcp { host, port: number, telnet: false };
                }
            }
            _ => {}
        },
        Place::Protocol => {
            if let Backend::Tcp { telnet, .. } = &mut port.backend {
                match attribute(element, "type")?.as_deref() {
                    Some("raw") | None => {}
                    Some("telnet" | "telnets") => *telnet = true,
                    // TLS is not spoken here.
                    Some(_) => port.backend = Backend::Elsewhere,
                }
            }
        }
        Place::Log => port.log = attribute(element, "file")?.map(PathBuf::from),
        Place::Alias => port.alias = attribute(element, "name")?,
        Place::Domain | Place::Metadata | Place::Devices | Place::Serial | Place::Source | Place::Elsewhere => {}
    }
    Ok(())
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, String> {
    let Some(attribute) = element.try_get_attribute(name).map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    let value = attribute.normalized_value(XmlVersion::default()).map_err(|error| error.to_string())?;
    Ok(Some(value.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn domain(metadata: &str, devices: &str) -> String {
        format!("<domain type='kvm' id='7'><name>g</name>{metadata}<devices>{devices}</devices></domain>")
    }

    #[test]
    fn the_hook_looks_for_the_namespace_that_is_written() {
        assert_eq!(porthole_hook::NAMESPACE, NAMESPACE);
    }

    #[test]
    fn ports_of_every_sort() {
        let xml = domain(
            "",
            "<serial type='unix'><source mode='bind' path='/run/a&amp;b'/><log file='/var/log/a' append='on'/>\
               <target port='0'/><alias name='serial0'/></serial>\
             <serial type='tcp'><source mode='bind' host='10.0.0.1' service='10001' tls='no'/><protocol type='telnet'/></serial>\
             <serial type='pty'><source path='/dev/pts/3'/></serial>\
             <serial type='tcp'><source mode='connect' host='10.0.0.9' service='1'/><protocol type='raw'/></serial>\
             <serial type='file'><source path='/tmp/x'/></serial>\
             <console type='unix'><source mode='bind' path='/run/a&amp;b'/></console>",
        );
        let read = read(&xml).unwrap();
        assert_eq!((read.managed, read.number), (false, Some(7)));
        let backends: Vec<_> = read.ports.iter().map(|port| port.backend.clone()).collect();
        assert_eq!(
            backends,
            [
                Backend::Unix("/run/a&b".into()),
                Backend::Tcp { host: "10.0.0.1".to_owned(), port: 10001, telnet: true },
                Backend::Pty,
                Backend::Elsewhere,
                Backend::Elsewhere,
            ]
        );
        assert_eq!(read.ports[0].log, Some("/var/log/a".into()));
        assert_eq!(read.ports[0].alias.as_deref(), Some("serial0"));
    }

    #[test]
    fn a_domain_is_ours_by_the_namespace_in_its_metadata() {
        for (metadata, managed) in [
            (format!("<metadata><p:consoles xmlns:p='{NAMESPACE}' transport='sealed'/></metadata>"), true),
            (format!("<metadata><consoles xmlns='{NAMESPACE}'><vnc/></consoles></metadata>"), true),
            ("<metadata><porthole:consoles xmlns:porthole='urn:other'/></metadata>".to_owned(), false),
            (format!("<metadata><o:x xmlns:o='urn:o'><p:consoles xmlns:p='{NAMESPACE}'/></o:x></metadata>"), false),
            (format!("<description>{NAMESPACE}</description>"), false),
            (String::new(), false),
        ] {
            assert_eq!(read(&domain(&metadata, "")).unwrap().managed, managed, "{metadata}");
        }
    }

    #[test]
    fn what_libvirt_never_writes_is_refused() {
        assert_eq!(read(&domain("", &"<serial type='pty'/>".repeat(33))), Err(XmlError::TooLarge));
        assert_eq!(read(&" ".repeat(MAX_XML_BYTES + 1)), Err(XmlError::TooLarge));
        assert_eq!(read("<!DOCTYPE d []><domain/>"), Err(XmlError::DocumentType));
        assert!(matches!(read("<domain>"), Err(XmlError::Malformed { .. })));
    }

    proptest! {
        #[test]
        fn any_soup_of_tags_is_read_or_refused(
            parts in prop::collection::vec(prop::sample::select(vec![
                "<domain>", "</domain>", "<devices>", "</devices>", "<serial type='unix'>", "</serial>", "<metadata>",
                "<serial type='tcp'/>", "<source mode='bind' path='/a'/>", "<source mode='bind' service='x'/>", "text",
                "<a xmlns:p='urn:p'>", "<p:b/>", "</a>", "<a", "'", ">",
            ]), 0..60)
        ) {
            drop(read(&parts.concat()));
        }
    }
}
