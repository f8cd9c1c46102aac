//! SPICE: one session, a connection for each channel.

use porthole_tests::agent::Mint;
use porthole_tests::guest::{Graphics, Listen};
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use porthole_tests::ws::WsClient;

use crate::support::{closed, ended, listed, row, secret};

const MAGIC: &[u8; 4] = b"REDQ";

/// A link message (SPICE protocol, "Link"): version 2.2, the main channel of a new session, no capabilities.
fn link_message() -> Vec<u8> {
    let mut message = MAGIC.to_vec();
    for word in [2_u32, 2, 18] {
        message.extend(word.to_le_bytes());
    }
    message.extend(0_u32.to_le_bytes()); // no session yet
    message.extend([1, 0]); // main channel, the first
    for word in [0_u32, 0, 18] {
        message.extend(word.to_le_bytes()); // capabilities: none, none, behind this
    }
    message
}

/// Links, and checks that the server's answer is "ok".
async fn link(client: &mut WsClient) {
    client.send_binary(&link_message()).await.unwrap();
    let mut answer = Vec::new();
    while answer.len() < 20 {
        answer.extend(client.binary().await);
    }
    assert_eq!(&answer[..4], MAGIC);
    assert_eq!(answer[4..8], 2_u32.to_le_bytes(), "the major version");
    assert_eq!(answer[16..20], 0_u32.to_le_bytes(), "the error code");
}

#[tokio::test]
async fn a_spice_session_has_several_connections() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("spice").graphics([Graphics::spice(Listen::None)]).start().await;
    let stack = Stack::on(&libvirt).await;
    let refused = stack.agent.try_mint(&guest).await.unwrap_err();
    assert_eq!((refused.status, refused.code.as_str()), (400, "no_such_kind"), "VNC was not given to this guest");

    let (token, secret) = (stack.mint(Mint::of(guest.name()).kind("spice")).await, secret());
    assert!(token.url.contains("spice"), "the page of its kind");
    let open = async || stack.edge.upgrade(&token.url).bound(&secret).open().await;
    let (mut main, mut other) = (open().await, open().await);
    link(&mut main).await;
    link(&mut other).await;
    // Neither took the other's place.
    let session = row(&stack.agent, &token).await;
    assert_eq!((session.open, session.connections, session.kind.as_str()), (2, 2, "spice"));
    let list = listed(&stack.agent).await;
    assert_eq!((list.len(), &list[0]["connections"]), (1, &serde_json::json!(2)));
    let thief = stack.edge.upgrade(&token.url).bound(&crate::support::secret()).send().await.unwrap().refusal();
    assert_eq!(thief, (403, "not_yours".to_owned()));

    // A channel that goes does not end the session.
    assert_eq!(other.close().await.code, Some(1000));
    eventually(PATIENCE, "the channel's end", async || row(&stack.agent, &token).await.open == 1).await;
    assert_eq!(row(&stack.agent, &token).await.ended, None);
    let mut third = open().await;
    link(&mut third).await;
    assert_eq!(row(&stack.agent, &token).await.id, session.id);

    stack.agent.kill_session(&session.id).await.unwrap();
    for connection in [&mut main, &mut third] {
        assert_eq!(connection.closed().await, closed(4413, "killed"));
    }
    let row = ended(&stack.agent, &token, "killed").await;
    let sent = 3 * crate::support::signed(link_message().len());
    assert_eq!((row.connections, row.bytes_in), (3, sent));
    assert!(row.bytes_out >= 3 * 20, "{row:?}");
}
