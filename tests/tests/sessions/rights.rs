//! What a link allows besides opening its console: to watch only, and for how long nobody may do anything.

use http::Method;
use porthole_tests::agent::Mint;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::rfb;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use serde_json::json;

use crate::support::{closed, ended, handshake};

#[tokio::test]
async fn a_watcher_sees_the_guest_and_cannot_type() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("watched").start().await;
    let stack = Stack::on(&libvirt).await;
    let link = stack.mint(Mint::of(guest.name()).field("read_only", true)).await;
    assert_eq!(link.json["read_only"], true);
    let told = stack.edge.inspect(&json!({"token": link.token})).await.unwrap();
    let told: serde_json::Value = serde_json::from_slice(told.body()).unwrap();
    assert_eq!(told["read_only"], true, "{told}");

    let mut watcher = rfb::Client::handshake(stack.upgrade(&link).open().await).await.unwrap();
    assert_eq!(watcher.full_frame().await.unwrap(), guest.screenshot().await.unwrap());
    watcher.type_key('w').await.unwrap();
    // Behind the key on the same stream: when its answer is there, the key has had its chance.
    watcher.full_frame().await.unwrap();
    let mut person = stack.view(&guest).await;
    person.type_key('p').await.unwrap();
    eventually(PATIENCE, "the person's key to reach the guest", async || guest.serial_log(0).contains("Kp")).await;
    assert!(!guest.serial_log(0).contains("Kw"), "{}", guest.serial_log(0));

    let sessions = stack.agent.sessions().await;
    assert_eq!(sessions.iter().filter(|session| session["read_only"] == true).count(), 1, "{sessions:?}");
}

#[tokio::test]
async fn a_session_that_nobody_uses_ends_and_one_that_somebody_uses_does_not() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("idle").start().await;
    let stack = Stack::on(&libvirt).await;
    let left = stack.mint(Mint::of(guest.name()).field("idle", 2)).await;
    let used = stack.mint(Mint::of(guest.name()).field("idle", 2)).await;
    let mut abandoned = handshake(stack.upgrade(&left).open().await).await;
    let mut busy = handshake(stack.upgrade(&used).open().await).await;
    loop {
        // Pixels go on to both; only one has a person behind it.
        abandoned.request(false).await.unwrap();
        busy.type_key('x').await.unwrap();
        busy.full_frame().await.unwrap();
        if stack.agent.sessions().await.len() == 1 {
            break;
        }
    }
    assert_eq!(abandoned.stream().closed().await, closed(4417, "idle"));
    ended(&stack.agent, &left, "idle").await;
    busy.full_frame().await.unwrap();
}

#[tokio::test]
async fn rights_that_cannot_be_given_are_refused_in_words() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("rights").start().await;
    let stack = Stack::builder().libvirt(&libvirt).agent(|agent| agent.set("sessions.idle", "1m")).start().await;
    for (field, value, words) in [("idle", json!(61), "1s to 1m"), ("idle", json!(0), "1s or more")] {
        let body = json!({ "console": guest.name(), field: value });
        let (status, problem) = stack.agent.api(Method::POST, "/v1/tokens", Some(&body)).await.unwrap();
        assert_eq!(status, 400, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
    }
    let link = stack.mint(&guest).await;
    assert_eq!((&link.json["idle"], &link.json["read_only"]), (&json!(60), &json!(false)));
}
