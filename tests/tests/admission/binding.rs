//! Whose a link is: the binding secret, what a link without one is worth, and the three policies.

use porthole_tests::agent::Mint;
use porthole_tests::guest::{Graphics, Listen};
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::rfb;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use porthole_tests::ws::Closed;
use serde_json::Value;

use crate::support::{GREETING, NAME, echo_stack, refusal, refused, secret};

fn superseded() -> Closed {
    Closed { code: Some(4414), reason: "superseded".to_owned() }
}

/// The one live session, once it has so many connections.
async fn the_session(stack: &Stack, connections: u64) -> Value {
    eventually(PATIENCE, format!("one session of {connections} connections"), async || {
        let sessions = stack.agent.sessions().await;
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        sessions[0]["connections"] == connections
    })
    .await;
    stack.agent.sessions().await.remove(0)
}

#[tokio::test]
async fn a_bound_link_is_its_first_users_who_may_come_back() {
    let (stack, console) = echo_stack().await;
    let link = stack.mint(NAME).await;
    assert_eq!(link.json["policy"], "bound");
    let (mine, theirs) = (secret(), secret());
    let bound = |secret: &str| stack.edge.upgrade(&link.url).bound(secret);
    let not_yours = refused(403, "not_yours");

    let mut first = bound(&mine).open().await;
    assert_eq!(first.binary().await, GREETING);
    for request in [bound(&theirs), stack.upgrade(&link), stack.edge.upgrade(&link.url)] {
        assert_eq!(refusal(&request).await, not_yours);
    }
    // What was refused has disturbed nobody.
    first.send_binary(b"still here").await.unwrap();
    assert_eq!(first.binary().await, b"still here");
    let session = the_session(&stack, 1).await;
    assert_eq!(console.connections(), 1);

    // After a network cut the old connection still looks alive: the new one takes over, by whatever edge.
    let other_edge = stack.another_edge("edge-2").await.unwrap();
    let mut second = other_edge.upgrade(&link.url).bound(&mine).open().await;
    assert_eq!(second.binary().await, GREETING);
    assert_eq!(first.closed().await, superseded());
    let continued = the_session(&stack, 1).await;
    assert_eq!(continued["id"], session["id"]);
    assert_eq!((&session["edge"], &continued["edge"]), (&"edge-1".into(), &"edge-2".into()));
    assert!(continued["bytes_in"].as_u64() >= session["bytes_in"].as_u64(), "{continued}");

    // It is hers, too, when nothing is open.
    second.close().await;
    eventually(PATIENCE, "the session's end", async || stack.agent.sessions().await.is_empty()).await;
    assert_eq!(refusal(&bound(&theirs)).await, not_yours);
    assert_eq!(refusal(&stack.upgrade(&link)).await, not_yours);
    let mut third = bound(&mine).open().await;
    assert_eq!(third.binary().await, GREETING);
    assert_eq!(the_session(&stack, 1).await["id"], session["id"]);
}

#[tokio::test]
async fn a_link_used_without_a_secret_is_used_up() {
    let (stack, console) = echo_stack().await;
    let mine = secret();
    for policy in ["bound", "once"] {
        let link = stack.mint(Mint::of(NAME).policy(policy)).await;
        let mut session = stack.upgrade(&link).open().await;
        assert_eq!(session.binary().await, GREETING);
        for request in [stack.upgrade(&link), stack.edge.upgrade(&link.url).bound(&mine)] {
            assert_eq!(refusal(&request).await, refused(403, "used"), "{policy}");
        }
        session.send_binary(policy.as_bytes()).await.unwrap();
        assert_eq!(session.binary().await, policy.as_bytes());
    }
    // `once` stays once with a proof.
    let link = stack.mint(Mint::of(NAME).policy("once")).await;
    let bound = || stack.edge.upgrade(&link.url).bound(&mine);
    let session = bound().open().await;
    for request in [bound(), stack.upgrade(&link), stack.edge.upgrade(&link.url).bound(&secret())] {
        assert_eq!(refusal(&request).await, refused(403, "used"));
    }
    session.close().await;
    assert_eq!(refusal(&bound()).await, refused(403, "used"));
    assert_eq!(console.connections(), 3);
}

#[tokio::test]
async fn a_reusable_link_is_everybodys_at_once() {
    let (stack, _console) = echo_stack().await;
    let link = stack.mint(Mint::of(NAME).policy("reusable")).await;
    let mine = secret();
    let mut sessions = Vec::new();
    for _ in 0..4 {
        for request in [stack.upgrade(&link), stack.upgrade(&link), stack.edge.upgrade(&link.url).bound(&mine)] {
            sessions.push(request.open().await);
        }
    }
    for session in &mut sessions {
        assert_eq!(session.binary().await, GREETING);
        session.send_binary(b"here").await.unwrap();
        assert_eq!(session.binary().await, b"here");
    }
    let listed = stack.agent.sessions().await;
    assert_eq!(listed.len(), sessions.len(), "each is a session of its own: {listed:?}");
    assert!(listed.iter().all(|session| session["token_id"] == link.id.as_str() && session["connections"] == 1));
}

#[tokio::test]
async fn the_answer_chooses_binary_or_nothing_and_echoes_no_secret() {
    let (stack, _console) = echo_stack().await;
    let link = stack.mint(Mint::of(NAME).policy("reusable")).await;
    let mine = secret();
    let bind = format!("porthole.bind.{mine}");
    for (offered, chosen) in [
        (vec![], None),
        (vec!["binary".to_owned()], Some("binary")),
        (vec!["base64, binary".to_owned()], Some("binary")),
        (vec!["binary,base64".to_owned()], Some("binary")),
        (vec!["base64".to_owned(), "binary".to_owned()], Some("binary")),
        (vec![format!("binary, {bind}")], Some("binary")),
        (vec![format!("{bind},binary")], Some("binary")),
        (vec![bind.clone(), "binary".to_owned()], Some("binary")),
        (vec![bind.clone()], None),
        (vec!["base64".to_owned()], None),
        (vec!["Binary".to_owned()], None),
        (vec!["binary2, xbinary".to_owned()], None),
    ] {
        let request = stack.edge.upgrade(&link.url);
        let request = offered.iter().fold(request, |request, list| request.header("Sec-WebSocket-Protocol", list));
        let console = request.open().await;
        let head = console.head();
        assert_eq!(head.header("sec-websocket-protocol"), chosen, "{offered:?}");
        let mut names: Vec<_> = head.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.retain(|name| !["date", "sec-websocket-protocol"].contains(name));
        names.sort_unstable();
        assert_eq!(names, ["connection", "sec-websocket-accept", "upgrade"], "{head:?}");
        assert!(!format!("{head:?}").contains(&mine), "{head:?}");
    }
}

#[tokio::test]
async fn the_real_screen_is_taken_over_and_spice_channels_live_side_by_side() {
    let libvirt = PrivateLibvirt::start().await;
    let vnc = libvirt.guest("vnc").start().await;
    let spice = libvirt.guest("spice").graphics([Graphics::spice(Listen::None)]).start().await;
    let stack = Stack::on(&libvirt).await;

    let (link, mine) = (stack.mint(&vnc).await, secret());
    let bound = || stack.edge.upgrade(&link.url).bound(&mine);
    let mut first = rfb::Client::handshake(bound().open().await).await.unwrap();
    let picture = first.full_frame().await.unwrap();
    let mut second = rfb::Client::handshake(bound().open().await).await.unwrap();
    assert_eq!(first.stream().closed().await, superseded());
    assert_eq!(second.full_frame().await.unwrap().difference(&picture), 0);
    let session = the_session(&stack, 1).await;
    assert_eq!(session["token_id"], link.id.as_str());
    drop(second);
    eventually(PATIENCE, "the session's end", async || stack.agent.sessions().await.is_empty()).await;

    let (link, mine) = (stack.mint(Mint::of(spice.name()).kind("spice")).await, secret());
    let mut channels = Vec::new();
    for count in 1..=3 {
        let mut channel = stack.edge.upgrade(&link.url).bound(&mine).open().await;
        channel.send_binary(&spice_link()).await.unwrap();
        assert_eq!(channel.binary().await[..4], *b"REDQ");
        channels.push(channel);
        the_session(&stack, count).await;
    }
    assert_eq!(refusal(&stack.edge.upgrade(&link.url).bound(&secret())).await, refused(403, "not_yours"));
    channels.pop().unwrap().close().await;
    the_session(&stack, 2).await;
}

/// SPICE's first message, for the main channel and of no capabilities (`SpiceLinkHeader` and `SpiceLinkMess`). The server
/// answers it, and waits.
fn spice_link() -> Vec<u8> {
    let mut message = b"REDQ".to_vec();
    for word in [2_u32, 2, 18] {
        message.extend(word.to_le_bytes());
    }
    message.extend([0, 0, 0, 0, 1, 0]);
    for word in [0_u32, 0, 18] {
        message.extend(word.to_le_bytes());
    }
    message
}
