//! Domains that Porthole has not made, as people and other programs define them: each is listed with its consoles and
//! with why one cannot be opened, and opens as it is, its definition unchanged.

use porthole_tests::command::porthole;
use porthole_tests::guest::{Guest, GuestBuilder};
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use serde_json::{Value, json};

/// A guest whose devices are written by hand.
fn by_hand(libvirt: &PrivateLibvirt, name: &str, devices: &str) -> GuestBuilder {
    libvirt.guest(name).graphics([]).serials([]).devices(devices)
}

/// As the API lists it.
async fn listed(stack: &Stack, guest: &Guest) -> Value {
    let uuid = guest.uuid().to_string();
    stack.agent.consoles().await.into_iter().find(|console| console["uuid"] == uuid).expect("it is listed")
}

/// What of it cannot be opened, with the reason.
fn closed(listed: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let all = listed["closed"].as_array().into_iter().flatten();
    all.map(|closed| (text(&closed["device"]), text(&closed["why"]))).collect()
}

/// The line of `porthole consoles` about a guest.
async fn line(stack: &Stack, guest: &Guest) -> String {
    let text = porthole(&stack.agent, &["consoles"]).await.ok();
    text.lines().find(|line| line.starts_with(guest.name())).unwrap_or_else(|| panic!("{text}")).to_owned()
}

async fn both_xml(guest: &Guest) -> (String, String) {
    let defined = guest.virsh("dumpxml", &["--inactive", "--security-info"]).await.expect("its definition");
    (defined, guest.live_xml().await.expect("its XML"))
}

/// What is on its screen comes through its VNC console, and the domain is as it was.
async fn assert_opens(stack: &Stack, guest: &Guest) {
    let listed = listed(stack, guest).await;
    let (is_vnc, is_closed) =
        (|kind: &Value| kind["kind"] == "vnc" && kind["index"] == 0, |closed: &Value| closed["kind"] == "vnc");
    assert!(listed["kinds"].as_array().expect("a list").iter().any(is_vnc), "{listed}");
    assert!(!listed["closed"].as_array().into_iter().flatten().any(is_closed), "{listed}");
    let before = both_xml(guest).await;
    let mut viewer = stack.view(guest).await;
    assert_eq!(viewer.full_frame().await.expect("a picture"), guest.screenshot().await.expect("a screenshot"));
    assert_eq!(both_xml(guest).await, before);
    let line = line(stack, guest).await;
    assert!(line.contains("vnc"), "{line}");
}

#[tokio::test]
async fn vnc_of_every_sort_opens_as_it_is() {
    let libvirt = PrivateLibvirt::shared().await;
    let stack = Stack::on(&libvirt).await;
    for (name, devices) in [
        ("autoport", "<graphics type='vnc' port='-1' autoport='yes'/>"),
        (
            "installed",
            "<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'>\
                         <listen type='address' address='127.0.0.1'/></graphics>\
                       <serial type='pty'><target type='isa-serial' port='0'/></serial>\
                       <console type='pty'><target type='serial' port='0'/></console>\
                       <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>\
                       <controller type='virtio-serial'/>",
        ),
        ("password", "<graphics type='vnc' port='-1' autoport='yes' passwd='s3cret'/>"),
        (
            "expired",
            "<graphics type='vnc' port='-1' autoport='yes' passwd='s3cret' passwdValidTo='2001-01-01T00:00:00'/>",
        ),
        ("socket", "<graphics type='vnc'><listen type='socket'/></graphics>"),
        ("everywhere", "<graphics type='vnc' port='-1' autoport='yes' listen='0.0.0.0' sharePolicy='force-shared'/>"),
    ] {
        let guest = by_hand(&libvirt, name, devices).start().await;
        assert_opens(&stack, &guest).await;
    }
}

#[tokio::test]
async fn of_two_graphics_devices_each_is_listed_and_the_right_one_opens() {
    let libvirt = PrivateLibvirt::shared().await;
    let stack = Stack::on(&libvirt).await;
    let devices = "<graphics type='spice' port='-1' autoport='yes'/><graphics type='vnc' port='-1' autoport='yes'/>";
    let guest = by_hand(&libvirt, "two", devices).start().await;
    let listed = listed(&stack, &guest).await;
    assert_eq!(listed["kinds"], json!([{"kind": "spice", "index": 0}, {"kind": "vnc", "index": 0}]));
    assert_opens(&stack, &guest).await;
}

#[tokio::test]
async fn a_guest_without_graphics_is_listed_with_what_it_has() {
    let libvirt = PrivateLibvirt::shared().await;
    let stack = Stack::on(&libvirt).await;
    let guest = by_hand(&libvirt, "headless", "").start().await;
    let bare = listed(&stack, &guest).await;
    assert_eq!((&bare["kinds"], &bare["state"], closed(&bare)), (&json!([]), &json!("running"), Vec::new()));
    let refused = stack.agent.try_mint(&guest).await.expect_err("there is nothing to open");
    assert!(refused.problem["detail"].as_str().expect("a detail").contains(guest.name()), "{refused:?}");

    let file = libvirt.directory().join("said-into-a-file");
    let file = format!("<serial type='file'><source path='{}'/></serial>", file.display());
    let devices = format!("<serial type='pty'/><serial type='null'/>{file}");
    let guest = by_hand(&libvirt, "serials", &devices).start().await;
    let serials = listed(&stack, &guest).await;
    // Either it is a console, or it is said why not.
    let is_console = serials["kinds"].as_array().expect("a list").contains(&json!({"kind": "serial", "index": 0}));
    let told: Vec<_> = closed(&serials).into_iter().map(|(device, _)| device).collect();
    assert_ne!(is_console, told.contains(&"serial 0 (pty)".to_owned()), "{serials}");
    assert!(told.ends_with(&["serial 1 (null)".to_owned(), "serial 2 (file)".to_owned()]), "{serials}");
    let line = line(&stack, &guest).await;
    assert!(line.contains("serial 1 (null): its bytes go nowhere"), "{line}");
}

#[tokio::test]
async fn a_guest_that_does_not_run_says_so_and_opens_once_it_does() {
    let libvirt = PrivateLibvirt::shared().await;
    let stack = Stack::on(&libvirt).await;
    let devices = "<graphics type='vnc' port='-1' autoport='yes'/>";
    let guest = by_hand(&libvirt, "off", devices).define().await.expect("a definition");
    let off = listed(&stack, &guest).await;
    assert_eq!(closed(&off), [("vnc 0".to_owned(), "the domain is shut_off".to_owned())]);
    let refused = stack.agent.try_mint(&guest).await.expect_err("it does not run");
    assert_eq!((refused.status, refused.code.as_str()), (409, "not_running"));
    guest.boot().await.expect("it starts");
    assert_opens(&stack, &guest).await;
    guest.suspend().await;
    assert_opens(&stack, &guest).await;
}
