//! What must lose or double nothing, or say what it lost.

use porthole_tests::guest::Serial;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually_some};
use porthole_tests::ws::{Answer, Event};
use serde_json::json;

use crate::support::{V1, Viewer, counted, serial};

fn secret() -> String {
    porthole_shared::binding::BindingSecret::random().unwrap().to_text().expose().clone()
}

/// Reads until the other side is gone; gives the bytes.
async fn rest(viewer: &mut Viewer) -> Vec<u8> {
    let mut bytes = viewer.unread().to_vec();
    loop {
        match viewer.client.next().await {
            Ok(Event::Binary(more)) => bytes.extend(more),
            Ok(Event::Close(_) | Event::End) | Err(_) => return bytes,
            Ok(_) => {}
        }
    }
}

#[tokio::test]
async fn a_page_goes_on_where_it_was_when_the_edge_was_killed() {
    let libvirt = PrivateLibvirt::shared().await;
    let mut stack = Stack::on(&libvirt).await;
    let guest = libvirt.guest("edge-killed").managed().start().await;
    let (link, secret) = (stack.mint(serial(&guest)).await, secret());
    let mut viewer = Viewer::bound(&stack, &link, &secret).await;
    let at = viewer.begins().await;
    let before = viewer.reads("TINYGUEST READY COM1\r\n> ").await;
    viewer.types("count 60000\r").await;
    let begun = viewer.reads("\r\n100\r\n").await;
    stack.edge.crash();
    let broken_off = rest(&mut viewer).await;
    stack.edge.start_again().await;

    let seen = before.len() + begun.len() + broken_off.len();
    let mut again = Viewer::bound(&stack, &link, &secret).await;
    let from = at["offset"].as_u64().unwrap() + seen as u64;
    again.asks(&json!({ "type": "history", "start": at["start"], "from": from })).await;
    assert_eq!(again.hears("at").await["offset"], from);
    let after = again.reads("counted 60000").await;
    let text = format!("{begun}{}{after}", String::from_utf8_lossy(&broken_off));
    counted(text.split_once("you said: count 60000").unwrap().1.trim_end_matches("counted 60000"), 1, 60000);
    assert!(again.said.iter().all(|said| said["type"] != "skipped"), "{:?}", again.said);
}

#[tokio::test]
async fn a_stuck_viewer_costs_nobody_else_anything_and_is_told_what_it_missed() {
    let libvirt = PrivateLibvirt::shared().await;
    let stack = Stack::builder()
        .libvirt(&libvirt)
        .agent(|agent| agent.set("serial.first_kib", 0_i64).set("serial.last_kib", 64_i64))
        .start()
        .await;
    let guest = libvirt.guest("stuck").managed().start().await;
    let link = stack.mint(serial(&guest).field("read_only", true)).await;
    let upgrade = stack.edge.upgrade(&link.url).protocols(&[V1]).receive_buffer(4096);
    let mut stuck = Viewer::new(upgrade.open().await);
    stuck.begins().await;

    let mut writer = Viewer::v1(&stack, &stack.mint(serial(&guest)).await).await;
    writer.begins().await;
    writer.types("count 1000000\r").await;
    let text = writer.reads("counted 1000000").await;
    counted(text.split_once("you said: count 1000000").unwrap().1.trim_end_matches("counted 1000000"), 1, 1_000_000);

    stuck.reads("counted 1000000").await;
    let skipped: Vec<_> = stuck.said.iter().filter(|said| said["type"] == "skipped").collect();
    assert!(!skipped.is_empty() && skipped.iter().all(|said| said["why"] == "slow"), "{skipped:?}");
}

#[tokio::test]
async fn a_flood_that_nobody_reads_goes_on() {
    let libvirt = PrivateLibvirt::shared().await;
    let stack = Stack::on(&libvirt).await;
    let guest = libvirt.guest("flood").managed().start().await;
    let (link, secret) = (stack.mint(serial(&guest)).await, secret());
    let mut viewer = Viewer::bound(&stack, &link, &secret).await;
    viewer.types("flood\r").await;
    viewer.client.close().await;
    let end = async || {
        let mut viewer = Viewer::bound(&stack, &link, &secret).await;
        let end = viewer.hears("state").await["end"].as_u64().unwrap();
        viewer.client.close().await;
        end
    };
    let before = end().await;
    eventually_some(4 * PATIENCE, "the guest to say more than is kept", async || {
        (end().await > before + 4 * 1024 * 1024).then_some(())
    })
    .await;
    let mut viewer = Viewer::bound(&stack, &link, &secret).await;
    viewer.asks(&json!({ "type": "history", "last": 1000 })).await;
    viewer.types("x").await;
    viewer.reads("flood over").await;
}

#[tokio::test]
async fn after_the_agent_was_killed_a_port_without_a_log_says_that_there_is_a_gap() {
    let libvirt = PrivateLibvirt::shared().await;
    let mut stack = Stack::on(&libvirt).await;
    let guest = libvirt.guest("unlogged").serials([Serial::UnixUnlogged]).managed().start().await;
    let (link, secret) = (stack.mint(serial(&guest)).await, secret());
    let mut viewer = Viewer::bound(&stack, &link, &secret).await;
    let at = viewer.begins().await;
    viewer.types("before\r").await;
    viewer.reads("you said: before\r\n").await;
    stack.agent.crash();
    rest(&mut viewer).await;
    stack.agent.start_again().await;
    let client = eventually_some(PATIENCE, "the console to open again", async || {
        let upgrade = stack.edge.upgrade(&link.url).protocols(&[V1]).bound(&secret);
        match upgrade.send().await {
            Ok(Answer::Opened(client)) => Some(client),
            Ok(Answer::Refused { .. }) | Err(_) => None,
        }
    });
    let mut viewer = Viewer::new(client.await);
    viewer.asks(&json!({ "type": "history", "start": at["start"], "from": 3 })).await;
    let again = viewer.hears("at").await;
    assert_ne!(again["start"], at["start"], "its offsets are others now");
    assert_eq!(viewer.hears("skipped").await["why"], "lost");
    viewer.types("after\r").await;
    viewer.reads("you said: after\r\n").await;
}
