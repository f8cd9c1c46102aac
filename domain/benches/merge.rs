//! How long it takes to merge consoles into a domain's XML of 2,000 lines, and into it once more, when nothing changes.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use aws_lc_rs::rand::SystemRandom;
use porthole_domain::{ConsoleSpec, Fresh, Host, Passwords, VncPassword, merge};
use uuid::Uuid;

const LINES: usize = 2000;
const ROUNDS: usize = 15;
const PER_ROUND: u32 = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // As a test of all targets, it is only built.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let spec: ConsoleSpec = serde_json::from_str(r#"{"vnc": {"keymap": "de"}, "serial": {"ports": 4}}"#)?;
    let (host, uuid) = (Host::default(), Uuid::from_u128(1));
    let passwords = Passwords { random: VncPassword::random(&SystemRandom::new())?, given: None };
    let fresh = Fresh { uuid, passwords };
    let merged = |xml: &str| merge(xml.as_bytes(), &spec, &host, None, &fresh);
    let xml = domain()?;
    let once = merged(&xml)?;
    let mut out = std::io::stdout();
    writeln!(out, "a domain's XML of {LINES} lines, {} KiB", xml.len() / 1024)?;
    for (what, xml) in [("consoles merged", &xml), ("the same again, nothing to change", &once)] {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            for _ in 0..PER_ROUND {
                black_box(merged(black_box(xml))?);
            }
            rounds.push(start.elapsed() / PER_ROUND);
        }
        rounds.sort();
        let (least, most) = (rounds.first().copied(), rounds.last().copied());
        let half = rounds.get(ROUNDS / 2).copied();
        if let (Some(median), Some(min), Some(max)) = (half, least, most) {
            writeln!(out, "{what:34} {median:>9.1?}  ({min:.1?} to {max:.1?}, {ROUNDS} rounds)")?;
        }
    }
    Ok(())
}

/// With many disks, consoles of its own among them.
fn domain() -> Result<String, std::fmt::Error> {
    let mut xml =
        "<domain type='kvm'>\n  <name>large</name>\n  <memory unit='MiB'>64</memory>\n  <devices>\n".to_owned();
    let end = "    <serial type='pty'>\n      <target port='0'/>\n    </serial>\n    <graphics type='vnc' autoport='yes'/>\n\
               \x20 </devices>\n</domain>\n";
    let mut disk = 0;
    while xml.lines().count() + end.lines().count() + 6 <= LINES {
        write!(
            xml,
            "    <disk type='file' device='disk'>\n      <driver name='qemu' type='qcow2' cache='none'/>\n      \
             <source file='/var/lib/libvirt/images/disk-{disk}.qcow2'/>\n      <target dev='vd{disk}' bus='virtio'/>\n      \
             <serial>disk-{disk}</serial>\n    </disk>\n"
        )?;
        disk += 1;
    }
    while xml.lines().count() + end.lines().count() < LINES {
        xml.push_str("    <!-- a comment -->\n");
    }
    Ok(xml + end)
}
