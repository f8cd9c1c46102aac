//! Read-only links.

use porthole_tests::agent::Mint;
use porthole_tests::guest::{Graphics, Listen};
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually, within};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::support::view;

#[tokio::test]
async fn a_watcher_sees_the_screen_and_types_nothing() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("watched").start().await;
    let stack = Stack::on(&libvirt).await;
    let link = stack.mint(Mint::of(guest.name()).field("read_only", true)).await;
    assert_eq!(link.json["read_only"], true);
    let answer = stack.edge.inspect(&json!({ "token": link.token })).await.unwrap();
    let answer: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(answer["read_only"], true, "the page is told: {answer}");

    let mut watcher = view(&stack, &link).await;
    assert_eq!(watcher.full_frame().await.unwrap(), guest.screenshot().await.unwrap());
    watcher.type_key('w').await.unwrap();
    // Behind the keys in the same stream: with the answer, they are through.
    watcher.full_frame().await.unwrap();
    let sessions = stack.agent.sessions().await;
    assert_eq!((sessions.len(), &sessions[0]["read_only"]), (1, &json!(true)));

    let mut typist = stack.view(&guest).await;
    typist.type_key('p').await.unwrap();
    eventually(PATIENCE, "the typed key on COM1", async || guest.serial_log(0).contains("Kp")).await;
    assert!(!guest.serial_log(0).contains("Kw"), "a watcher's key reached the guest");
    guest.show_quadrants().await;
    assert!(watcher.full_frame().await.unwrap().is_quadrants(), "it goes on watching");
}

#[tokio::test]
async fn nothing_reaches_a_tcp_console_that_is_watched() {
    let console = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (uuid, address) = (Uuid::new_v4(), console.local_addr().unwrap());
    let stack = Stack::builder().agent(move |agent| agent.external(uuid, "raw", "tcp", address)).start().await;
    let link = stack.mint(Mint::of("raw").field("read_only", true)).await;
    let upgrade = stack.upgrade(&link);
    let (mut client, accepted) = tokio::join!(upgrade.open(), console.accept());
    let mut console = accepted.unwrap().0;
    client.send_binary(b"rm -rf /\n").await.unwrap();
    console.write_all(b"login: ").await.unwrap();
    assert_eq!(client.binary().await, b"login: ");
    client.send_close(1000, "").await.unwrap();
    let mut heard = Vec::new();
    within(PATIENCE, "the console's end", console.read_to_end(&mut heard)).await.unwrap();
    assert!(heard.is_empty(), "{heard:?}");
}

#[tokio::test]
async fn lengths_have_bounds() {
    let console = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (uuid, address) = (Uuid::new_v4(), console.local_addr().unwrap());
    let stack = Stack::builder()
        .agent(move |agent| {
            let agent = agent.external(uuid, "raw", "tcp", address);
            agent.set("sessions.idle", "1m").set("sessions.longest_idle", "2m").set("sessions.longest", "1h")
        })
        .start()
        .await;
    for (field, seconds, words) in [("idle", 121, "1s to 2m"), ("longest", 3601, "1s to 1h"), ("grace", 61, "0s to 1m")]
    {
        let refused = stack.agent.try_mint(Mint::of("raw").field(field, seconds)).await.unwrap_err();
        assert_eq!((refused.status, refused.code.as_str()), (400, "bad_request"), "{field}");
        assert!(refused.problem["detail"].as_str().unwrap().contains(words), "{refused:?}");
    }
    let link = stack.mint(Mint::of("raw").field("longest", 600)).await;
    assert_eq!((&link.json["idle"], &link.json["longest"]), (&json!(60), &json!(600)));
}

#[tokio::test]
async fn spice_cannot_be_watched_only() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("spice-watched").graphics([Graphics::spice(Listen::None)]).start().await;
    let stack = Stack::on(&libvirt).await;
    let wanted = Mint::of(guest.name()).kind("spice").field("read_only", true);
    let refused = stack.agent.try_mint(wanted).await.unwrap_err();
    assert_eq!((refused.status, refused.code.as_str()), (400, "bad_request"));
    assert!(refused.problem["detail"].as_str().unwrap().contains("read-only"), "{refused:?}");
}
