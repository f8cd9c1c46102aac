//! The packaged rules for the folder of sealed serial ports: the agent's user reaches them, others do not.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::places;
use uuid::Uuid;

use crate::support::{define, merged};

/// The packaged rules, and QEMU's user there.
const DEBIAN: (&str, &str) = ("tmpfiles.d/porthole.conf", "libvirt-qemu");
const OTHERS: (&str, &str) = ("rpm/tmpfiles.d/porthole.conf", "qemu");

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Makes the folder by the packaged rules, with users of this machine's in the place of the agent's and QEMU's.
fn made_by_the_rules(packaged: &str, qemu: &str, folder: &Path, rules: &Path) {
    let packaged = fs::read_to_string(places::workspace().join("packaging").join(packaged)).unwrap();
    let text: String = packaged
        .lines()
        .filter(|line| line.contains(" /run/porthole-consoles "))
        .map(|line| line.replace("/run/porthole-consoles", &folder.to_string_lossy()) + "\n")
        .collect();
    let text = text.replace("user:porthole:", "user:daemon:").replace(" porthole ", " daemon ");
    assert_eq!(text.matches("daemon").count(), 2, "{text}");
    let owner = format!(" 0710 {qemu} daemon ");
    assert!(text.contains(&owner), "{text}");
    let text = text.replace(&owner, " 0710 libvirt-qemu daemon ");
    fs::write(rules, text).unwrap();
    let made = Command::new("systemd-tmpfiles").arg("--create").arg(rules).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// What comes of it when a user of this machine's connects there: nothing, or why not.
fn connecting(user: &str, group: &str, socket: &str) -> String {
    let script = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])";
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", group, "--clear-groups"]);
    // Debian's, which any user may run.
    command.args(["/usr/bin/python3", "-c", script, socket]);
    let output = command.output().unwrap();
    String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_agents_user_reaches_them_and_others_do_not() {
    let libvirt = PrivateLibvirt::builder().gives_sockets_away().start().await.unwrap();
    let uuid = Uuid::new_v4();
    let folder = Folder(PathBuf::from(format!("/tmp/ph-{}", &uuid.simple().to_string()[..12])));
    made_by_the_rules(DEBIAN.0, DEBIAN.1, &folder.0, &libvirt.directory().join("rules.conf"));
    let xml = libvirt.guest("sealed").uuid(uuid).xml().unwrap();
    let path = folder.0.to_string_lossy().into_owned();
    let arguments = ["--serial", "1", "--log", "off", "--sockets", &path];
    define(&libvirt, &merged(&arguments, &xml).await).await.unwrap();
    libvirt.virsh(&["start", &uuid.to_string()]).await.unwrap();

    let socket = format!("{path}/{uuid}-serial0.sock");
    let (of_folder, of_socket) = (fs::metadata(&folder.0).unwrap().gid(), fs::metadata(&socket).unwrap().gid());
    assert_ne!(of_folder, of_socket, "libvirt gives sockets to QEMU's group: that is what this is about");
    assert_eq!(connecting("daemon", "daemon", &socket), "", "the agent's user");
    for (user, group) in [("nobody", "nogroup"), ("nobody", "kvm")] {
        assert_eq!(connecting(user, group, &socket), "PermissionError: [Errno 13] Permission denied");
    }
    libvirt.virsh(&["destroy", &uuid.to_string()]).await.unwrap();
}

#[test]
fn the_rules_of_other_systems_make_the_same_folder() {
    let directory = tempfile::tempdir().unwrap();
    let made = |(packaged, qemu), name: &str| {
        let folder = directory.path().join(name);
        made_by_the_rules(packaged, qemu, &folder, &directory.path().join("rules.conf"));
        let script = "import os, sys; print(os.getxattr(sys.argv[1], 'system.posix_acl_default').hex())";
        let acl = Command::new("/usr/bin/python3").args(["-c", script]).arg(&folder).output().unwrap();
        let about = fs::metadata(&folder).unwrap();
        (about.uid(), about.gid(), about.mode() & 0o7777, String::from_utf8(acl.stdout).unwrap())
    };
    let debian = made(DEBIAN, "debian");
    assert!(debian.2 == 0o710 && debian.3.trim().len() > 8, "{debian:?}");
    assert_eq!(made(OTHERS, "others"), debian);
}
