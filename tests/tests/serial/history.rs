//! `porthole.serial.v1`: what was said before.

use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use serde_json::json;

use crate::support::{Viewer, closed, counted, serial};

#[tokio::test]
async fn what_was_said_before_anybody_looked_is_there() {
    let libvirt = PrivateLibvirt::shared().await;
    let stack = Stack::on(&libvirt).await;
    let guest = libvirt.guest("before").managed().start().await;
    let link = stack.mint(serial(&guest)).await;
    let mut viewer = Viewer::v1(&stack, &link).await;
    viewer.begins().await;
    viewer.reads("TINYGUEST READY COM1").await;
    viewer.types("count 2000\r").await;
    let text = viewer.reads("counted 2000").await;
    counted(text.split_once("you said: count 2000").unwrap().1.trim_end_matches("counted 2000"), 1, 2000);

    // Another reads the very same from any offset on.
    let mut other = Viewer::v1(&stack, &stack.mint(serial(&guest).field("read_only", true)).await).await;
    let at = other.begins().await;
    other.reads("TINYGUEST READY COM1").await;
    let whole = other.reads("counted 2000").await;
    counted(whole.split_once("you said: count 2000").unwrap().1.trim_end_matches("counted 2000"), 1, 2000);
    let start = at["start"].as_str().unwrap();
    for from in [0, 100, 5000] {
        other.asks(&json!({ "type": "history", "start": start, "from": from })).await;
        assert_eq!(other.hears("at").await, json!({ "type": "at", "start": start, "offset": from }));
    }
    other.asks(&json!({ "type": "history", "last": 20 })).await;
    let at = other.hears("at").await["offset"].as_u64().unwrap();
    other.asks(&json!({ "type": "history", "start": "other", "from": 7, "last": 20 })).await;
    assert_eq!(other.hears("at").await["offset"], at, "offsets of another start mean nothing");
}

#[tokio::test]
async fn the_first_and_the_last_are_kept_and_what_is_between_is_told() {
    let libvirt = PrivateLibvirt::shared().await;
    let stack = Stack::builder()
        .libvirt(&libvirt)
        .agent(|agent| agent.set("serial.first_kib", 16_i64).set("serial.last_kib", 32_i64))
        .start()
        .await;
    let guest = libvirt.guest("much").managed().start().await;
    let mut writer = Viewer::v1(&stack, &stack.mint(serial(&guest)).await).await;
    writer.begins().await;
    writer.types("count 20000\r").await;
    writer.reads("counted 20000").await;

    let mut late = Viewer::v1(&stack, &stack.mint(serial(&guest).field("read_only", true)).await).await;
    late.begins().await;
    let text = late.reads("counted 20000").await;
    assert!(text.contains("TINYGUEST READY COM1"), "the first is kept");
    let skipped = late.hears("skipped").await;
    assert_eq!(skipped["why"], "not_kept");
    let (from, to) = (skipped["from"].as_u64().unwrap(), skipped["to"].as_u64().unwrap());
    assert!(from >= 15 * 1024 && to > from, "{skipped}");
    assert!(text.len() < 64 * 1024, "{}", text.len());
    counted(text.rsplit_once("19900\r\n").unwrap().1.trim_end_matches("counted 20000"), 19901, 20000);
}

#[tokio::test]
async fn what_is_no_message_ends_the_session() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("nonsense").start().await;
    let stack = Stack::on(&libvirt).await;
    for text in ["hello", "{}", "[1]"] {
        let mut viewer = Viewer::v1(&stack, &stack.mint(serial(&guest).field("read_only", true)).await).await;
        viewer.client.send_text(text).await.unwrap();
        assert_eq!(viewer.closed().await, closed(1002, "protocol_error"), "{text}");
    }
    let mut viewer = Viewer::v1(&stack, &stack.mint(serial(&guest)).await).await;
    viewer.asks(&json!({ "type": "of a later release" })).await;
    assert_eq!(viewer.hears("refused").await["what"], "unknown");
}
