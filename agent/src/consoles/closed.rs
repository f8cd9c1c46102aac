//! Which devices of a domain cannot be opened as consoles now, and why. Pure: for lists, so that nobody has to try.
//!
//! What can only be known by trying (a guest that is just migrating, a viewer too many) is told when it is tried.

use super::devices::{XmlError, attribute, walk};
use super::xml::Graphics;
use super::{Kind, ResolveError};
use crate::hypervisor::DomainState;

/// The most devices that are told of.
const MOST: usize = 64;

/// Something that cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// What, in words: `vnc 0`, `serial 1 (file)`.
    pub device: String,
    /// Which of the owner's consoles it is; `None` for a device that is no console.
    pub kind: Option<Kind>,
    /// Why not.
    pub why: String,
}

impl Closed {
    /// An owner of which nothing is known.
    pub(super) fn all(why: String) -> Self {
        Self { device: "all".to_owned(), kind: None, why }
    }
}

/// Those of a domain that has these consoles. `reach` says whether a device can be reached from here.
pub(super) fn closed(
    xml: &str,
    graphics: &[Graphics],
    kinds: &[Kind],
    state: DomainState,
    reach: impl Fn(&Graphics) -> Result<(), ResolveError>,
) -> Result<Vec<Closed>, XmlError> {
    let mut all = consoles(graphics, kinds, state, reach);
    let (mut number_of_graphics, mut number_of_serials) = (0_u16, 0_u16);
    walk(xml, |device, element| {
        let (number, name) = match (device, element.name().0) {
            (None, "graphics") => (&mut number_of_graphics, "graphics"),
            (None, "serial") => (&mut number_of_serials, "serial"),
            _ => return Ok(()),
        };
        let sort = attribute(element, "type")?.unwrap_or_default();
        let is_console = kinds.iter().any(|kind| kind.kind.as_str() == name && u16::from(kind.index) == *number);
        let why = if name == "graphics" { graphics_of(&sort) } else { Some(serial_of(&sort)) };
        if let (Some(why), false, true) = (why, is_console, all.len() < MOST) {
            all.push(Closed { device: format!("{name} {number} ({sort})"), kind: None, why: why.to_owned() });
        }
        *number = number.saturating_add(1);
        Ok(())
    })?;
    Ok(all)
}

fn consoles(
    graphics: &[Graphics],
    kinds: &[Kind],
    state: DomainState,
    reach: impl Fn(&Graphics) -> Result<(), ResolveError>,
) -> Vec<Closed> {
    let why = |kind: &Kind| {
        if !state.is_active() {
            return Some(ResolveError::NotRunning { state }.to_string());
        }
        let device = graphics.iter().filter(|graphics| graphics.kind == Some(kind.kind)).nth(kind.index.into())?;
        reach(device).err().map(|error| error.to_string())
    };
    let closed = |kind: &Kind| {
        let device = format!("{} {}", kind.kind, kind.index);
        Some(Closed { device, kind: Some(*kind), why: why(kind)? })
    };
    kinds.iter().filter_map(closed).collect()
}

/// Why graphics of this sort are no console; `None` where they are one.
fn graphics_of(sort: &str) -> Option<&'static str> {
    match sort {
        "vnc" | "spice" => None,
        "sdl" | "desktop" => Some("it is a window on the host's own screen"),
        "egl-headless" => Some("it only draws, for another graphics device to show"),
        "dbus" => Some("it is only for programs on the host itself"),
        _ => Some("what it speaks is not served: VNC and SPICE are"),
    }
}

/// Why a serial port that is no console is none.
fn serial_of(sort: &str) -> &'static str {
    match sort {
        "pty" | "unix" | "tcp" => "the emulator itself connects somewhere, or speaks TLS there",
        "file" | "pipe" => "its bytes go into a file of the host, and nobody can answer",
        "dev" => "it is wired to a device of the host",
        "null" => "its bytes go nowhere",
        "stdio" | "vc" => "its bytes go to the emulator's own terminal",
        _ => "nothing listens there that could be connected to",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{kinds, xml};
    use super::*;

    fn told(devices: &str, state: DomainState, local: bool) -> Vec<(String, String)> {
        let xml = format!("<domain><devices>{devices}</devices></domain>");
        let graphics = xml::graphics(&xml).unwrap();
        let reach = |_: &Graphics| if local { Ok(()) } else { Err(ResolveError::OutOfReach("nowhere")) };
        let closed = closed(&xml, &graphics, &kinds(&graphics), state, reach).unwrap();
        closed.into_iter().map(|closed| (closed.device, closed.why)).collect()
    }

    #[test]
    fn what_can_be_opened_is_not_told_of() {
        let devices =
            "<graphics type='vnc' port='-1' autoport='yes'/><graphics type='spice'><listen type='none'/></graphics>";
        assert_eq!(told(devices, DomainState::Running, true), []);
        assert_eq!(told("", DomainState::ShutOff, true), []);
        for (state, local, words) in [
            (DomainState::ShutOff, true, "the domain is shut_off"),
            (DomainState::Paused, false, "the console listens nowhere, and libvirt is not on this host"),
        ] {
            let expected = ["vnc 0", "spice 0"].map(|device| (device.to_owned(), words.to_owned()));
            assert_eq!(told(devices, state, local), expected);
        }
    }

    #[test]
    fn each_device_that_is_no_console_has_a_reason_of_its_own() {
        let devices = "<serial type='pty'/><serial type='file'><source path='/x'/></serial><serial type='null'/>\
                       <graphics type='sdl'/><graphics type='vnc'/><graphics type='rdp'/><console type='pty'/>";
        let told = told(devices, DomainState::Running, true);
        let names: Vec<_> = told.iter().map(|(device, _)| device.as_str()).collect();
        assert_eq!(
            names,
            ["serial 0 (pty)", "serial 1 (file)", "serial 2 (null)", "graphics 0 (sdl)", "graphics 2 (rdp)"]
        );
        let reasons: std::collections::HashSet<_> = told.iter().map(|(_, why)| why).collect();
        assert_eq!(reasons.len(), 5, "{told:?}");
    }

    #[test]
    fn of_more_than_anybody_has_the_first_are_told() {
        assert_eq!(told(&"<serial type='null'/>".repeat(10 * MOST), DomainState::Running, true).len(), MOST);
    }
}
