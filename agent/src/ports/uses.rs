//! The TCP ports on which a domain listens, as its XML says. Pure: text in, facts out.
//!
//! Reads `/domain/devices/{graphics,serial,console,parallel,channel}` and their `<source>`; everything else is passed
//! over. The text is bounded and untrusted as [`walk`] says.

use std::net::{IpAddr, Ipv4Addr};

use quick_xml::events::BytesStart;

use super::{Device, DeviceKind};
use crate::consoles::XmlError;
use crate::consoles::devices::{attribute, walk};

/// A port that a domain uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Use {
    /// Which of its devices.
    pub device: Device,
    /// Which port.
    pub port: u16,
}

/// A port, and where the domain listens on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// Which port, of which device.
    pub used: Use,
    /// On which address; `None` if that is for others to find out, because the XML has a name there.
    pub address: Option<IpAddr>,
}

/// Where libvirt lets graphics listen that do not say.
const GRAPHICS_LISTEN: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where QEMU lets devices of bytes listen that do not say.
const CHARACTERS_LISTEN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Reads the ports, in the order of the XML. A port that stands there twice (the first serial port is a console, too) is
/// that of the first device.
pub fn uses(xml: &str) -> Result<Vec<Use>, XmlError> {
    Ok(listeners(xml)?.into_iter().map(|listener| listener.used).collect())
}

/// As [`uses`], with where they are.
pub fn listeners(xml: &str) -> Result<Vec<Listener>, XmlError> {
    let mut found = Found::default();
    walk(xml, |device, element| {
        match (device, element.name().0) {
            (None, "graphics") => found.graphics(element)?,
            (None, name) => {
                if let Some(kind) = characters(name) {
                    found.characters(kind, element)?;
                }
            }
            (Some("graphics"), "listen") => found.listen(element)?,
            (Some(device), "source") if characters(device).is_some() => found.source(element)?,
            (Some(_), _) => {}
        }
        Ok(())
    })?;
    Ok(found.listeners)
}

/// Devices of bytes.
fn characters(name: &str) -> Option<DeviceKind> {
    match name {
        "serial" => Some(DeviceKind::Serial),
        "console" => Some(DeviceKind::Console),
        "parallel" => Some(DeviceKind::Parallel),
        "channel" => Some(DeviceKind::Channel),
        _ => None,
    }
}

/// What was found, and which device is being read.
#[derive(Debug, Default)]
struct Found {
    listeners: Vec<Listener>,
    /// How many of these there were before the screen that is being read, or was the last.
    before_graphics: usize,
    /// How many devices of each sort there were.
    seen: Vec<DeviceKind>,
    /// The device of bytes that is being read, if it speaks TCP.
    open: Option<Device>,
}

impl Found {
    /// Counts a device; `None` beyond what has a number.
    fn next(&mut self, kind: DeviceKind) -> Option<Device> {
        let before = self.seen.iter().filter(|seen| **seen == kind).count();
        let index = u8::try_from(before).ok()?;
        self.seen.push(kind);
        Some(Device { kind, index })
    }

    fn add(&mut self, device: Option<Device>, port: Option<String>, address: Option<IpAddr>) {
        // -1 and 0 stand for a port that is found at the start.
        let port = port.and_then(|port| port.parse().ok()).filter(|port| *port != 0);
        if let (Some(device), Some(port)) = (device, port)
            && self.listeners.iter().all(|listener| listener.used.port != port)
        {
            self.listeners.push(Listener { used: Use { device, port }, address });
        }
    }

    fn graphics(&mut self, element: &BytesStart<'_>) -> Result<(), String> {
        let (plain, other, attribute_of_other) = match attribute(element, "type")?.as_deref() {
            Some("vnc") => (DeviceKind::Vnc, DeviceKind::VncWebSocket, "websocket"),
            Some("spice") => (DeviceKind::Spice, DeviceKind::SpiceTls, "tlsPort"),
            _ => return Ok(()),
        };
        let (first, second) = (self.next(plain), self.next(other));
        let address = address(attribute(element, "listen")?, GRAPHICS_LISTEN);
        self.before_graphics = self.listeners.len();
        self.add(first, attribute(element, "port")?, address);
        self.add(second, attribute(element, attribute_of_other)?, address);
        Ok(())
    }

    /// What a screen's `<listen>` says goes before its attribute.
    fn listen(&mut self, element: &BytesStart<'_>) -> Result<(), String> {
        if let Some(said) = attribute(element, "address")? {
            let address = address(Some(said), GRAPHICS_LISTEN);
            for listener in self.listeners.iter_mut().skip(self.before_graphics) {
                listener.address = address;
            }
        }
        Ok(())
    }

    fn characters(&mut self, kind: DeviceKind, element: &BytesStart<'_>) -> Result<(), String> {
        let device = self.next(kind);
        let is_tcp = attribute(element, "type")?.as_deref() == Some("tcp");
        self.open = device.filter(|_| is_tcp);
        Ok(())
    }

    fn source(&mut self, element: &BytesStart<'_>) -> Result<(), String> {
        // `connect` goes to somebody else's port.
        if self.open.is_some() && attribute(element, "mode")?.as_deref() == Some("bind") {
            let address = address(attribute(element, "host")?, CHARACTERS_LISTEN);
            self.add(self.open, attribute(element, "service")?, address);
        }
        Ok(())
    }
}

/// An address as it is written, or what stands for none.
fn address(said: Option<String>, unsaid: IpAddr) -> Option<IpAddr> {
    said.filter(|said| !said.is_empty()).map_or(Some(unsaid), |said| said.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(devices: &str) -> Vec<(String, u16)> {
        let xml = format!("<domain type='kvm'><name>g</name><devices>{devices}</devices></domain>");
        uses(&xml).unwrap().into_iter().map(|used| (used.device.to_string(), used.port)).collect()
    }

    fn pairs(expected: &[(&str, u16)]) -> Vec<(String, u16)> {
        expected.iter().map(|(device, port)| ((*device).to_owned(), *port)).collect()
    }

    #[test]
    fn what_listens_is_found_and_numbered() {
        let devices = "
            <serial type='pty'><target port='0'/></serial>
            <serial type='tcp'><source mode='bind' host='0.0.0.0' service='10001' tls='no'/><protocol type='raw'/>
              <target type='isa-serial' port='1'/></serial>
            <serial type='tcp'><source mode='connect' host='10.0.0.1' service='10002'/></serial>
            <console type='tcp'><source mode='bind' host='0.0.0.0' service='10001'/><target type='serial' port='1'/></console>
            <console type='tcp'><source mode='bind' host='127.0.0.1' service='10003'/><target type='virtio'/></console>
            <channel type='unix'><source mode='bind' path='/run/10004'/></channel>
            <channel type='tcp'><source mode='bind' host='::1' service='10005'/></channel>
            <parallel type='udp'><source mode='bind' host='::1' service='10006'/></parallel>
            <graphics type='vnc' port='20001' autoport='no' websocket='20002'><listen type='address' address='::'/></graphics>
            <graphics type='spice' port='20003' tlsPort='20004'/>
            <graphics type='sdl'/>
            <graphics type='vnc' port='-1' autoport='yes'/>
            <graphics type='spice' tlsPort='20005'><listen type='none'/></graphics>";
        assert_eq!(
            read(devices),
            pairs(&[
                ("serial-1", 10_001),
                ("console-1", 10_003),
                ("channel-1", 10_005),
                ("vnc-0", 20_001),
                ("vnc-websocket-0", 20_002),
                ("spice-0", 20_003),
                ("spice-tls-0", 20_004),
                ("spice-tls-1", 20_005),
            ])
        );
    }

    #[test]
    fn where_it_listens_is_told() {
        let devices = "
            <graphics type='vnc' port='1' websocket='2' listen='10.0.0.1'><listen type='address' address='10.0.0.1'/></graphics>
            <graphics type='vnc' port='3'/><graphics type='vnc' port='4'><listen type='address'/></graphics>
            <graphics type='spice' port='5' listen='10.0.0.1'><listen type='network' address='::' network='n'/></graphics>
            <graphics type='spice' port='6' listen='host-1.example.org'/>
            <serial type='tcp'><source mode='bind' host='::1' service='7'/></serial>
            <serial type='tcp'><source mode='bind' host='localhost' service='8'/></serial>
            <serial type='tcp'><source mode='bind' service='9'/></serial>";
        let found = listeners(&format!("<domain><devices>{devices}</devices></domain>")).unwrap();
        let found: Vec<_> = found.iter().map(|found| (found.used.port, found.address)).collect();
        let at = |text: &str| Some(text.parse().unwrap());
        let expected =
            [at("10.0.0.1"), at("10.0.0.1"), at("127.0.0.1"), at("127.0.0.1"), at("::"), None, at("::1"), None];
        assert_eq!(found, (1..).zip(expected.into_iter().chain([at("0.0.0.0")])).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_device_of_the_domain_is_passed_over() {
        for devices in [
            "<hostdev><graphics type='vnc' port='1'/></hostdev>",
            "<interface type='tcp'><source mode='bind' service='1'/></interface>",
            "<x:serial xmlns:x='urn:x' type='tcp'><source mode='bind' service='1'/></x:serial>",
            "<serial type='tcp'><log><source mode='bind' service='1'/></log></serial>",
            "<serial type='tcp'/><source mode='connect' service='1'/>",
            "<graphics type='vnc' port='x'/><graphics type='vnc' port='65536'/><graphics type='vnc' port='0'/>",
            "<!-- <graphics type='vnc' port='1'/> -->",
        ] {
            assert_eq!(read(devices), [], "{devices}");
        }
        assert!(uses("<!DOCTYPE d []><domain/>").is_err() && uses("<domain>").is_err());
        let deep = format!("{}{}", "<a>".repeat(129), "</a>".repeat(129));
        assert_eq!(uses(&deep), Err(XmlError::TooLarge));
    }

    #[test]
    fn more_devices_than_there_are_numbers_do_no_harm() {
        let many: Vec<_> = (1..400).map(|port| format!("<graphics type='vnc' port='{port}'/>")).collect();
        assert_eq!(read(&many.concat()).len(), 256);
    }

    proptest! {
        #[test]
        fn any_soup_of_tags_is_read_or_refused(
            parts in prop::collection::vec(prop::sample::select(vec![
                "<domain>", "</domain>", "<devices>", "</devices>", "<serial type='tcp'>", "</serial>",
                "<source mode='bind' service='1'/>", "<graphics type='vnc' port='2'/>", "text", "<a", "'", ">",
            ]), 0..60)
        ) {
            let _any = uses(&parts.concat());
        }
    }
}
