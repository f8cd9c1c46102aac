//! Domains as programs and people write them.

use std::fs;

use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::places;
use porthole_tests::wait::{PATIENCE, within};

use crate::support::{consoles, define, merged, write};

const UUID: &str = "7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e";

/// What consoles they are given, one after the other.
const WANTED: [&[&str]; 6] = [
    &["--vnc", "--keymap", "de", "--serial", "1"],
    &["--vnc", "--transport", "tcp", "--port-vnc", "20000"],
    &[
        "--serial",
        "4",
        "--serial-protocol",
        "telnet",
        "--transport",
        "tcp",
        "--address",
        "::1",
        "--port-serial",
        "10000,10001,10002,10003",
    ],
    &["--serial-from-flavor", "3", "--serial-from-image", "2", "--log", "off"],
    &["--vnc", "--share", "force-shared", "--serial", "2", "--log", "/var/log/it's <one> & two.log"],
    &["--serial", "0"],
];

/// Each sample's name and text.
fn samples() -> Vec<(String, String)> {
    let folder = places::workspace().join("tests/domains");
    let mut all: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    assert!(all.len() >= 6, "{all:?}");
    all.iter().map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap())).collect()
}

/// The lines of one text that another lacks, and the other way round (their longest common subsequence apart).
fn changes<'a>(old: &'a str, new: &'a str) -> (Vec<&'a str>, Vec<&'a str>) {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] =
                if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut gone, mut come) = (0, 0, Vec::new(), Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            gone.push(old[i]);
            i += 1;
        } else {
            come.push(new[j]);
            j += 1;
        }
    }
    (gone, come)
}

#[tokio::test]
async fn only_lines_of_consoles_change() {
    for (name, xml) in samples() {
        for wanted in WANTED {
            let new = merged(&[wanted, &["--uuid", UUID]].concat(), &xml).await;
            let (mut gone, mut come) = changes(&xml, &new);
            // Of two lines that change places with each other, either counts as moved.
            come.retain(|line| gone.iter().position(|other| other == line).map(|at| gone.remove(at)).is_none());

            // What comes is what `render` prints, and what had to be opened for it.
            let uuid = new.split_once("<uuid>").unwrap().1.split_once("</uuid>").unwrap().0;
            let rendered = consoles(&[&["render", "--uuid", uuid], wanted].concat(), "").await;
            let mut known: Vec<_> = rendered.lines().map(str::trim).collect();
            let uuid = format!("<uuid>{uuid}</uuid>");
            known.extend([uuid.as_str(), "<metadata>", "</metadata>", "<devices>", "</devices>"]);
            for line in come {
                let line = if line.contains("passwd='") { without_password(line) } else { line.to_owned() };
                let expected = known.iter().any(|known| without_password(known) == line.trim());
                assert!(expected, "{name} {wanted:?}: {line:?} was added:\n{new}");
            }

            // What goes are consoles, and empty elements and lines that were in the way.
            let consoles = xml.split("<serial").skip(1).map(|rest| rest.split("</serial>").next().unwrap());
            let consoles =
                consoles.chain(xml.split("<graphics").skip(1).map(|rest| rest.split("</graphics>").next().unwrap()));
            let consoles =
                consoles.chain(xml.split("<console").skip(1).map(|rest| rest.split("</console>").next().unwrap()));
            let consoles: Vec<_> = consoles.collect();
            for line in gone.iter().map(|line| line.trim()) {
                let bare =
                    line.trim_start_matches("<serial").trim_start_matches("<graphics").trim_start_matches("<console");
                let of_console = consoles.iter().any(|text| text.contains(bare));
                let ends = ["", "</serial>", "</graphics>", "</console>", "<metadata/>", "<devices/>"].contains(&line);
                assert!(of_console || ends, "{name} {wanted:?}: {line:?} was taken out:\n{new}");
            }
        }
    }
}

/// A line of a screen with no password in it.
fn without_password(line: &str) -> String {
    match line.split_once("passwd='") {
        Some((before, rest)) => format!("{before}{}", rest.split_once('\'').map_or("", |(_, after)| after)),
        None => line.to_owned(),
    }
}

#[tokio::test]
async fn libvirts_schema_and_libvirt_itself_take_all_of_it() {
    let libvirt = PrivateLibvirt::start().await;
    for (name, xml) in samples() {
        // One after the other on the same domain, as its definition comes back from libvirt.
        let mut now = xml;
        for wanted in WANTED {
            let new = merged(wanted, &now).await;
            let file = write(&libvirt, &new);
            let mut validate = tokio::process::Command::new("virt-xml-validate");
            validate.arg(&file).arg("domain").kill_on_drop(true);
            let output = within(PATIENCE, "virt-xml-validate", validate.output()).await.expect("virt-xml-validate");
            assert!(output.status.success(), "{name} {wanted:?}: {}\n{new}", String::from_utf8_lossy(&output.stderr));
            define(&libvirt, &new).await.unwrap_or_else(|error| panic!("{name} {wanted:?}: {error:#}\n{new}"));

            let uuid = new.split_once("<uuid>").unwrap().1.split_once("</uuid>").unwrap().0.to_owned();
            now = libvirt.virsh(&["dumpxml", "--inactive", "--security-info", &uuid]).await.unwrap();
            // libvirt's own writing of it has these consoles already, as it is.
            assert_eq!(merged(wanted, &now).await, now, "{name} {wanted:?}");
        }
    }
}
