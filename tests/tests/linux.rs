//! The Linux guest: it boots, and answers on its screen and on its serial ports.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use porthole_tests::guest::{Guest, Serial};
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};

#[tokio::test]
async fn linux_has_a_shell_on_its_serial_ports() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("linux").linux().serials([Serial::Unix, Serial::Unix]).start().await;
    assert_eq!(guest.shell("hostname; whoami; cat /proc/1/comm").await, format!("{}\nroot\ninit\n", guest.name()));
    assert_eq!(guest.shell("which top vi reboot poweroff").await.lines().count(), 4);
    let mut second = guest.serial(1).await;
    second.say("echo $((6 * 7)) on $(tty)\r").await;
    second.read_until("42 on /dev/ttyS1\r\n").await;
}

#[tokio::test]
async fn linux_has_a_shell_on_its_screen() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("linux").linux().start().await;
    let stack = Stack::on(&libvirt).await;
    let mut viewer = stack.view(&guest).await;
    // In small letters: shift is a key of its own, which this client does not press.
    for key in "touch typed\u{ff0d}".chars() {
        viewer.type_key(key).await.unwrap();
    }
    eventually(PATIENCE, "what was typed", async || guest.shell("ls /root").await == "typed\n").await;
    // What it shows is what libvirt sees, but for the cursor, which blinks, and for what runs meanwhile.
    eventually(PATIENCE, "the screen", async || {
        let seen = viewer.full_frame().await.unwrap();
        (seen.width, seen.height) == (720, 400) && seen.difference(&guest.screenshot().await.unwrap()) < 9 * 16
    })
    .await;
}

#[tokio::test]
async fn linux_reboots_and_powers_off() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("linux").linux().start().await;

    let qemu = guest.qemu();
    for reboot in ["by its shell", "by Ctrl-Alt-Del"] {
        let said = guest.serial_log(0).len();
        if reboot == "by its shell" {
            going_down(&guest, "reboot").await;
        } else {
            guest.virsh("send-key", &["KEY_LEFTCTRL", "KEY_LEFTALT", "KEY_DELETE"]).await.unwrap();
        }
        guest.wait_until_ready_after(said).await.unwrap_or_else(|error| panic!("{reboot}: {error:#}"));
        assert_eq!(guest.qemu(), qemu, "{reboot}");
    }

    guest.shutdown().await;
    ends(&guest, "the power button").await;
    guest.boot().await.unwrap();
    going_down(&guest, "poweroff").await;
    ends(&guest, "poweroff").await;
}

async fn going_down(guest: &Guest, command: &str) {
    let mut serial = guest.serial(0).await;
    serial.say(&format!("{command}\r")).await;
    serial.read_until("The system is going down NOW!").await;
}

async fn ends(guest: &Guest, why: &str) {
    guest.wait_for_state("shut off").await;
    let state = guest.virsh("domstate", &["--reason"]).await.unwrap();
    assert_eq!(state.trim(), "shut off (shutdown)", "{why}");
}

/// Where Debian cannot be reached, or is not there at all, the script says so and leaves nothing half-done.
#[test]
fn a_kernel_that_cannot_be_had_is_said_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let (tools, guest) = (directory.path().join("bin"), directory.path().join("guest"));
    std::fs::create_dir(&tools).unwrap();
    let fake = |name: &str, script: &str| {
        let path = tools.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    fake("apt-get", "echo 'E: Failed to fetch: Could not resolve deb.debian.org' >&2; exit 100");
    fake("apt-cache", "echo '  Depends: linux-image-6.1.0-1-cloud-amd64'");
    let offline = build(&guest, &tools, &[]);
    let said = String::from_utf8_lossy(&offline.stderr);
    assert!(!offline.status.success());
    assert!(said.contains("linux-image-6.1.0-1-cloud-amd64 cannot be fetched"), "{said}");
    assert!(said.contains("Could not resolve") && said.contains("make guest"), "{said}");
    assert_eq!(left(&guest), ["lock"]);

    fake("apt-cache", "exit 100");
    let unknown = build(&guest, &tools, &[]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("knows no package linux-image-cloud-amd64"));

    // Another kernel helps without Debian.
    let kernel = directory.path().join("vmlinuz");
    std::fs::write(&kernel, "a kernel").unwrap();
    let built = build(&guest, &tools, &[("KERNEL", kernel.to_str().unwrap())]);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    assert_eq!(left(&guest), ["initrd.img", "kernel", "lock", "made-of", "vmlinuz"]);
    let again = build(&guest, &tools, &[("KERNEL", kernel.to_str().unwrap())]);
    assert!(again.status.success() && again.stdout.is_empty(), "the second time is quick and quiet");
}

fn build(guest: &Path, tools: &Path, variables: &[(&str, &str)]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest/linux/build.sh");
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", tools.display());
    let mut command = Command::new(script);
    command.arg(guest).env("PATH", path).env_remove("SUDO").env_remove("KERNEL");
    command.envs(variables.iter().copied()).output().unwrap()
}

fn left(guest: &Path) -> Vec<String> {
    let names = std::fs::read_dir(guest).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}
