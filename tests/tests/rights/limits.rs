//! How long, and how many.

use porthole_tests::agent::Mint;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually, within};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::support::{closed, refusal, secret, view};

/// A stack with a console that takes connections and says nothing, and these settings of `[sessions]`.
async fn silent(settings: &'static [(&'static str, i64)]) -> (Stack, TcpListener) {
    let console = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (uuid, address) = (Uuid::new_v4(), console.local_addr().unwrap());
    let builder = Stack::builder().agent(move |agent| {
        let agent = agent.external(uuid, "raw", "tcp", address);
        settings.iter().fold(agent, |agent, &(name, value)| agent.set(&format!("sessions.{name}"), value))
    });
    (builder.start().await, console)
}

#[tokio::test]
async fn a_viewer_that_only_watches_is_idle_and_does_not_come_back() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("idle").start().await;
    let stack = Stack::on(&libvirt).await;
    let (link, secret) = (stack.mint(Mint::of(guest.name()).field("idle", 2)).await, secret());
    let client = stack.edge.upgrade(&link.url).bound(&secret).open().await;
    let mut viewer = porthole_tests::rfb::Client::handshake(client).await.unwrap();
    // Asking for pixels is no input: it does so until it is told.
    let asking = async { while viewer.full_frame().await.is_ok() {} };
    within(PATIENCE, "the idle session's end", asking).await;
    let refused = eventually_refused(&stack, &link.url, &secret).await;
    assert_eq!(refused, (401, "idle".to_owned()));
    assert!(stack.agent.sessions().await.is_empty());
}

/// A link's refusal once its session has ended.
async fn eventually_refused(stack: &Stack, url: &str, secret: &str) -> (u16, String) {
    eventually(PATIENCE, "an empty list", async || stack.agent.sessions().await.is_empty()).await;
    stack.edge.upgrade(url).bound(secret).send().await.unwrap().refusal()
}

#[tokio::test]
async fn bytes_of_the_client_keep_a_session_alive_and_their_lack_ends_it() {
    let (stack, _console) = silent(&[]).await;
    let link = stack.mint(Mint::of("raw").field("idle", 2)).await;
    let mut client = stack.upgrade(&link).open().await;
    let began = std::time::Instant::now();
    client.send_binary(b"x").await.unwrap();
    assert_eq!(client.closed().await, closed(4417, "idle"));
    assert!(began.elapsed() >= std::time::Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn where_it_is_so_configured_a_session_ends_with_its_link() {
    let console = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (uuid, address) = (Uuid::new_v4(), console.local_addr().unwrap());
    let stack = Stack::builder()
        .agent(move |agent| agent.external(uuid, "raw", "tcp", address).set("sessions.end_at_expiry", true))
        .start()
        .await;
    let (link, secret) = (stack.mint(Mint::of("raw").ttl(3)).await, secret());
    assert_eq!(link.json["redeem_by"], link.json["expires"]);
    let mut client = stack.edge.upgrade(&link.url).bound(&secret).open().await;
    assert_eq!(client.closed().await, closed(4415, "limit_reached"));
    let refused = stack.edge.upgrade(&link.url).bound(&secret).send().await.unwrap().refusal();
    assert_eq!(refused, (401, "expired".to_owned()));
}

#[tokio::test]
async fn nobody_takes_more_than_their_share() {
    let (stack, _console) = silent(&[("max_per_requestor", 1), ("max_per_client", 2)]).await;
    let mint = async |who: &str| stack.mint(Mint::of("raw").field("requestor", who)).await;
    let (first, second) = (mint("alice").await, mint("alice").await);
    let alice = stack.upgrade(&first).open().await;
    assert_eq!(refusal(&stack, &second).await, (503, "full".to_owned()));
    let _bob = stack.upgrade(&mint("bob").await).open().await;
    assert_eq!(refusal(&stack, &mint("carol").await).await, (503, "full".to_owned()), "both came from one address");
    alice.close().await;
    eventually(PATIENCE, "one session", async || stack.agent.sessions().await.len() == 1).await;
    // The refusal did not use the link up.
    let _alice = stack.upgrade(&second).open().await;
}

#[tokio::test]
async fn a_link_with_a_shorter_session_has_one() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("short").start().await;
    let stack = Stack::on(&libvirt).await;
    let link = stack.mint(Mint::of(guest.name()).field("longest", 2)).await;
    let mut viewer = view(&stack, &link).await;
    assert_eq!(viewer.stream().closed().await, closed(4415, "limit_reached"));
}
