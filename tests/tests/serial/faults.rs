//! What must lose or double nothing, or say what it lost.

use porthole_tests::agent::Minted;
use porthole_tests::guest::Serial;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually_some};
use porthole_tests::ws::{Answer, Event};
use serde_json::json;

use crate::support::{V1, Viewer, counted, serial};

pub(crate) fn secret() -> String {
    porthole_shared::binding::BindingSecret::random().unwrap().to_text().expose().clone()
}

/// Reads until the other side is gone; gives the bytes, and keeps what was said.
pub(crate) async fn rest(viewer: &mut Viewer) -> Vec<u8> {
    let mut bytes = viewer.unread().to_vec();
    loop {
        match viewer.client.next().await {
            Ok(Event::Binary(more)) => bytes.extend(more),
            Ok(Event::Text(text)) => viewer.said.push(serde_json::from_str(&text).expect("JSON")),
            Ok(Event::Ping(_) | Event::Pong(_)) => {}
            Ok(Event::Close(_) | Event::End) | Err(_) => return bytes,
        }
    }
}

/// As a page does after a cut: again and again.
pub(crate) async fn come_back(stack: &Stack, link: &Minted, secret: &str) -> Viewer {
    let opened = eventually_some(PATIENCE, "the console to open again", async || {
        let upgrade = stack.edge.upgrade(&link.url).protocols(&[V1]).bound(secret);
        match upgrade.send().await {
            Ok(Answer::Opened(client)) => Some(client),
            Ok(Answer::Refused { .. }) | Err(_) => None,
        }
    });
    Viewer::new(opened.await)
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
    viewer.types("count 15000\r").await;
    let begun = viewer.reads("\r\n100\r\n").await;
    stack.edge.crash();
    let broken_off = rest(&mut viewer).await;
    stack.edge.start_again().await;

    let seen = before.len() + begun.len() + broken_off.len();
    let mut again = Viewer::bound(&stack, &link, &secret).await;
    let from = at["offset"].as_u64().unwrap() + seen as u64;
    again.asks(&json!({ "type": "history", "start": at["start"], "from": from })).await;
    assert_eq!(again.hears("at").await["offset"], from);
    let after = again.reads("counted 15000").await;
    let text = format!("{begun}{}{after}", String::from_utf8_lossy(&broken_off));
    counted(text.split_once("you said: count 15000").unwrap().1.trim_end_matches("counted 15000"), 1, 15000);
    assert!(again.said.iter().all(|said| said["type"] != "skipped"), "{:?}", again.said);
}

#[tokio::test]
async fn a_flood_that_nobody_reads_goes_on() {
    let libvirt = PrivateLibvirt::shared().await;
    let stack = Stack::builder()
        .libvirt(&libvirt)
        .agent(|agent| agent.set("serial.first_kib", 16_i64).set("serial.last_kib", 64_i64))
        .start()
        .await;
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
        (end().await > before + 1024 * 1024).then_some(())
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
    let mut viewer = come_back(&stack, &link, &secret).await;
    viewer.asks(&json!({ "type": "history", "start": at["start"], "from": 3 })).await;
    let again = viewer.hears("at").await;
    assert_ne!(again["start"], at["start"], "its offsets are others now");
    assert_eq!(viewer.hears("skipped").await["why"], "lost");
    viewer.types("after\r").await;
    viewer.reads("you said: after\r\n").await;
}

#[tokio::test]
async fn after_the_agent_was_killed_a_port_with_a_log_goes_on_without_a_gap() {
    let libvirt = PrivateLibvirt::shared().await;
    let mut stack = Stack::on(&libvirt).await;
    // Linux, because it can take its time: QEMU logs a byte twice that it was sending when the port was left.
    let guest = libvirt.guest("logged").linux().managed().start().await;
    let (link, secret) = (stack.mint(serial(&guest)).await, secret());
    let mut viewer = Viewer::bound(&stack, &link, &secret).await;
    let at = viewer.begins().await;
    assert_eq!(at["offset"], 0);
    let prompt = format!("{}:~# ", guest.name());
    let before = viewer.reads(&prompt).await;
    assert!(viewer.said.iter().all(|said| said["type"] != "skipped"), "from the first byte on: {:?}", viewer.said);
    viewer.types("for i in $(seq 1 150); do echo $i; usleep 30000; done; echo 'all ''said'\r").await;
    let begun = viewer.reads("\r\n20\r\n").await;
    stack.agent.crash();
    let broken_off = rest(&mut viewer).await;
    // Meanwhile the guest goes on, and nobody listens.
    let said = guest.serial_log(0).len();
    eventually_some(PATIENCE, "the guest to go on", async || (guest.serial_log(0).len() > said + 60).then_some(()))
        .await;
    stack.agent.start_again().await;

    let mut again = come_back(&stack, &link, &secret).await;
    let from = (before.len() + begun.len() + broken_off.len()) as u64;
    again.asks(&json!({ "type": "history", "start": at["start"], "from": from })).await;
    assert_eq!(again.hears("at").await, json!({ "type": "at", "start": at["start"], "offset": from }));
    let after = again.reads("all said").await;
    let text = format!("{begun}{}{after}", String::from_utf8_lossy(&broken_off));
    counted(&text, 1, 150);
    assert!(again.said.iter().all(|said| said["type"] != "skipped"), "{:?}", again.said);
    again.types("echo 'still ''here'\r").await;
    again.reads("still here").await;
}
