//! One writer, many watchers.

use porthole_tests::agent::Mint;
use porthole_tests::guest::Guest;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use serde_json::{Value, json};

use crate::support::{Viewer, closed, refusal, serial};

fn watching(guest: &Guest) -> Mint {
    serial(guest).field("read_only", true)
}

async fn inspected(stack: &Stack, token: &str) -> Value {
    let answer = stack.edge.inspect(&json!({ "token": token })).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{answer:?}");
    serde_json::from_slice(answer.body()).unwrap()
}

#[tokio::test]
async fn a_second_writer_is_refused_and_told_by_whom() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("taken").start().await;
    let stack = Stack::on(&libvirt).await;
    let mut first = Viewer::plain(&stack, serial(&guest).field("requestor", "mia")).await;

    let link = stack.mint(serial(&guest).field("requestor", "tom")).await;
    assert_eq!(refusal(&stack, &link).await, (409, "in_use".to_owned()));
    let told = inspected(&stack, &link.token).await;
    assert_eq!(told["writer"]["who"], "mia", "{told}");
    assert!(told["writer"]["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{told}");
    assert!(told["writer"]["since"].as_str().unwrap().starts_with("20"), "{told}");

    first.types("still mine\r").await;
    first.reads("you said: still mine\r\n").await;
    first.client.close().await;
    // The refused link was not used up.
    eventually(PATIENCE, "the port to be free", async || inspected(&stack, &link.token).await["writer"].is_null())
        .await;
    let mut second = Viewer::new(stack.upgrade(&link).open().await);
    second.types("mine now\r").await;
    second.reads("you said: mine now\r\n").await;
}

#[tokio::test]
async fn force_takes_over_and_the_first_is_told() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("forced").managed().start().await;
    let stack = Stack::on(&libvirt).await;
    let mut first = Viewer::plain(&stack, serial(&guest)).await;
    first.types("one\r").await;
    first.reads("you said: one\r\n").await;
    let mut second = Viewer::plain(&stack, serial(&guest).field("force", true)).await;
    assert_eq!(first.closed().await, closed(4418, "taken_over"));
    second.types("two\r").await;
    second.reads("you said: two\r\n").await;
}

#[tokio::test]
async fn watchers_see_all_type_nothing_and_are_so_many() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("watched").start().await;
    let stack = Stack::builder().libvirt(&libvirt).agent(|agent| agent.set("serial.max_watchers", 2_i64)).start().await;
    let mut watchers = [Viewer::plain(&stack, watching(&guest)).await, Viewer::plain(&stack, watching(&guest)).await];
    let third = stack.mint(watching(&guest)).await;
    assert_eq!(refusal(&stack, &third).await, (503, "full".to_owned()));

    watchers[0].types("from a watcher\r").await;
    let mut writer = Viewer::plain(&stack, serial(&guest)).await;
    writer.types("from the writer\r").await;
    writer.reads("you said: from the writer\r\n").await;
    for watcher in &mut watchers {
        let seen = watcher.reads("you said: from the writer\r\n").await;
        assert!(!seen.contains("watcher"), "{seen}");
    }
    assert!(!guest.serial_log(0).contains("from a watcher"));
    let [watcher, _] = watchers;
    watcher.client.close().await;
    eventually(PATIENCE, "a watcher's place", async || {
        stack.upgrade(&third).send().await.is_ok_and(|answer| matches!(answer, porthole_tests::ws::Answer::Opened(_)))
    })
    .await;
}

#[tokio::test]
async fn the_same_person_comes_back_at_once() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("back").start().await;
    let stack = Stack::on(&libvirt).await;
    let link = stack.mint(serial(&guest)).await;
    let secret = porthole_shared::binding::BindingSecret::random().unwrap().to_text().expose().clone();
    let mut first = Viewer::bound(&stack, &link, &secret).await;
    assert_eq!(first.hears("state").await["role"], "writer");
    // The first looks alive still.
    let mut second = Viewer::bound(&stack, &link, &secret).await;
    assert_eq!(second.hears("state").await["role"], "writer");
    assert_eq!(first.closed().await, closed(4414, "superseded"));
    second.begins().await;
    second.types("me again\r").await;
    second.reads("you said: me again\r\n").await;
}

#[tokio::test]
async fn a_writer_that_vanished_is_released() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("vanished").start().await;
    let stack = Stack::builder()
        .libvirt(&libvirt)
        .agent(|agent| agent.set("sessions.ping_interval", "1s").set("sessions.ping_timeout", "1s"))
        .start()
        .await;
    let mut gone = Viewer::plain(&stack, serial(&guest)).await;
    gone.client.ignore_pings();
    let link = stack.mint(serial(&guest)).await;
    assert_eq!(refusal(&stack, &link).await, (409, "in_use".to_owned()));
    assert_eq!(gone.closed().await, closed(4416, "client_stuck"));
    let mut next = Viewer::new(stack.upgrade(&link).open().await);
    next.types("next\r").await;
    next.reads("you said: next\r\n").await;
}

#[tokio::test]
async fn a_page_steps_back_and_takes_over_as_its_link_allows() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("steps").managed().start().await;
    let stack = Stack::on(&libvirt).await;
    let link = stack.mint(serial(&guest).field("requestor", "mia")).await;
    let mut mia = Viewer::v1(&stack, &link).await;
    let state = mia.hears("state").await;
    assert_eq!((&state["role"], &state["writer"]["who"]), (&json!("writer"), &json!("mia")));
    mia.asks(&json!({ "type": "watch" })).await;
    assert_eq!(mia.hears("state").await["role"], "watcher");

    let mut tom = Viewer::v1(&stack, &stack.mint(serial(&guest).field("requestor", "tom")).await).await;
    assert_eq!(tom.hears("state").await["role"], "writer");
    loop {
        if mia.hears("state").await["writer"]["who"] == "tom" {
            break;
        }
    }
    mia.asks(&json!({ "type": "write" })).await;
    assert_eq!(mia.hears("refused").await, json!({ "type": "refused", "what": "write", "why": "in_use" }));
    tom.asks(&json!({ "type": "watch" })).await;
    tom.hears("state").await;
    loop {
        if mia.hears("state").await["writer"].is_null() {
            break;
        }
    }
    mia.asks(&json!({ "type": "write" })).await;
    assert_eq!(mia.hears("state").await["role"], "writer");
    mia.begins().await;
    mia.types("mine\r").await;
    mia.reads("you said: mine\r\n").await;
    // No break without telnet.
    mia.asks(&json!({ "type": "break" })).await;
    assert_eq!(mia.hears("refused").await["why"], "unsupported");
}
