use proptest::prelude::*;

use super::*;
use crate::metadata::read;
use crate::password::VncPassword;
use crate::spec::Transport;

mod examples;
mod generated;

const UUID: &str = "7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e";

fn spec(json: &str) -> ConsoleSpec {
    serde_json::from_str(json).unwrap()
}

fn host() -> Host {
    Host { sockets: "/run/p".parse().unwrap(), logs: "/var/log/p".parse().unwrap() }
}

fn fresh(password: &str) -> Fresh {
    let passwords = Passwords { random: VncPassword::given(password).unwrap(), given: None };
    Fresh { uuid: Uuid::try_parse(UUID).unwrap(), passwords }
}

/// The same, with one that somebody gives.
fn giving(password: &str) -> Fresh {
    let given = VncPassword::given(password).ok();
    let fresh = fresh("AAAAAAAA");
    Fresh { passwords: Passwords { given, ..fresh.passwords }, ..fresh }
}

/// What fits a specification: serial ports from 10000, the screen at 20000.
fn ports(spec: &ConsoleSpec) -> Option<Allocation> {
    let port = |port: u16| std::num::NonZeroU16::new(port).unwrap();
    let count = spec.serial.as_ref().map_or(0, |serial| u16::from(serial.ports.number()));
    (spec.transport == Transport::Tcp).then(|| Allocation {
        address: [127, 0, 0, 1].into(),
        vnc: spec.vnc.as_ref().map(|_| port(20000)),
        serial: (0..count).map(|index| port(10000 + index)).collect(),
    })
}

fn merged_with(xml: &str, spec: &ConsoleSpec, password: &str) -> String {
    merge(xml.as_bytes(), spec, &host(), ports(spec).as_ref(), &fresh(password)).unwrap()
}

/// Merges, and holds that doing it again, with other passwords and UUIDs at hand, changes nothing.
fn merged(xml: &str, spec: &ConsoleSpec) -> String {
    let once = merged_with(xml, spec, "AAAAAAAA");
    let again = Fresh { uuid: Uuid::max(), ..fresh("BBBBBBBB") };
    assert_eq!(merge(once.as_bytes(), spec, &host(), ports(spec).as_ref(), &again).as_deref(), Ok(&*once), "{xml}");
    assert_eq!(read(once.as_bytes()).unwrap().spec.as_ref(), Some(spec));
    once
}
