//! An operator ends a session, or its longest duration does.

use std::time::Duration;

use porthole_tests::agent::Mint;
use porthole_tests::command::porthole;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use serde_json::json;

use crate::support::{Counted, closed, detour, echo, ended, handshake, listed, row, secret, timed};

#[tokio::test]
async fn an_operator_ends_one_session_of_two() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("killed").start().await;
    let stack = Stack::on(&libvirt).await;
    let mut bystander = stack.view(&guest).await;

    let secret = secret();
    let link = stack.mint(Mint::of(guest.name()).field("requestor", "alice@example.org")).await;
    let (address, from) = detour(stack.edge.address()).await;
    let client = stack.edge.upgrade(&link.url).connect_to(address).bound(&secret).open().await;
    let mut viewer = handshake(Counted::new(client)).await;
    assert_eq!(viewer.full_frame().await.unwrap(), guest.screenshot().await.unwrap());

    let from = from.await.unwrap();
    let (sent, received) = (viewer.stream().sent, viewer.stream().received);
    let sessions = listed(&stack.agent).await;
    assert_eq!(sessions.len(), 2);
    let session = sessions.iter().find(|session| session["token_id"] == json!(link.id)).unwrap();
    assert_eq!(session["name"], json!(guest.name()));
    assert_eq!(session["kind"], "vnc");
    assert_eq!(session["requestor"], "alice@example.org");
    assert_eq!(session["client_address"], json!(from.to_string()));
    assert_eq!(session["edge"], "edge-1");
    assert_eq!(session["connections"], 1);
    assert_eq!((&session["bytes_in"], &session["bytes_out"]), (&json!(sent), &json!(received)));
    let id = session["id"].as_str().unwrap();
    let table = porthole(&stack.agent, &["sessions"]).await;
    assert!(table.out.contains(id) && table.out.contains("alice@example.org"), "{table:?}");
    let live = row(&stack.agent, &link).await;
    assert_eq!((live.id.as_str(), live.open, live.ended, live.reason), (id, 1, None, None));

    let said = porthole(&stack.agent, &["sessions", "kill", id]).await;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    assert_eq!(viewer.stream().closed().await, closed(4413, "killed"));

    let (sent, received) = (viewer.stream().sent, viewer.stream().received);
    assert!(sent > 0 && received > 720 * 400 * 4, "{sent} {received}");
    let row = ended(&stack.agent, &link, "killed").await;
    assert_eq!((row.bytes_in, row.bytes_out), (sent, received));
    assert_eq!((row.id.as_str(), row.connections), (id, 1));
    assert_eq!((row.uuid, row.kind.as_str()), (guest.uuid().to_string(), "vnc"));
    assert_eq!((row.name.as_str(), row.requestor.as_deref()), (guest.name(), Some("alice@example.org")));
    assert_eq!((row.client_address, row.edge.as_str()), (from.to_string(), "edge-1"));

    // Once is enough, and the page does not come back by itself.
    let refused = stack.agent.kill_session(id).await.unwrap_err();
    assert_eq!(refused.status, 404, "{refused:?}");
    let said = porthole(&stack.agent, &["sessions", "kill", id]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let refused = stack.edge.upgrade(&link.url).bound(&secret).send().await.unwrap().refusal();
    assert_eq!(refused, (403, "revoked".to_owned()));

    assert_eq!(bystander.full_frame().await.unwrap(), guest.screenshot().await.unwrap());
    let left = listed(&stack.agent).await;
    assert_eq!(left.len(), 1);
    let said = porthole(&stack.agent, &["sessions", "kill", left[0]["id"].as_str().unwrap()]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(bystander.stream().closed().await, closed(4413, "killed"));
    eventually(PATIENCE, "an empty list", async || listed(&stack.agent).await.is_empty()).await;
}

#[tokio::test]
async fn a_session_has_a_longest_duration() {
    let console = echo().await;
    let uuid = uuid::Uuid::new_v4();
    let stack = Stack::builder()
        .agent(move |agent| agent.external(uuid, "echo", "tcp", console).set("sessions.longest", "2s"))
        .start()
        .await;
    let (link, secret) = (stack.mint("echo").await, secret());
    let mut client = stack.edge.upgrade(&link.url).bound(&secret).open().await;
    client.send_binary(b"busy").await.unwrap();
    assert_eq!(client.binary().await, b"busy");
    let (close, after) = timed(client.closed()).await;
    assert_eq!(close, closed(4415, "limit_reached"));
    // The clock of rows has whole seconds.
    assert!(after > Duration::from_millis(900) && after < Duration::from_secs(10), "{after:?}");
    let row = ended(&stack.agent, &link, "limit_reached").await;
    assert_eq!((row.bytes_in, row.bytes_out), (4, 4));
    let refused = stack.edge.upgrade(&link.url).bound(&secret).send().await.unwrap().refusal();
    assert_eq!(refused, (401, "expired".to_owned()));
}
