//! A guest that moves: while it does, nobody opens it; its sessions see it to the end, and are told.
//!
//! The stream between the two emulators goes through the test, which holds it as long as it likes.

use std::time::{Duration, Instant};

use porthole_tests::agent::Agent;
use porthole_tests::edge::Node;
use porthole_tests::libvirt::{Migration, PrivateLibvirt};
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use porthole_tests::ws::Answer;

use crate::support::{closed, ended, handshake, row, secret, write_nodes};

/// Nobody who waits for an answer waits longer, whatever holds libvirt up.
const DEADLINE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_moving_guest_is_not_opened_and_its_sessions_end_with_it() {
    let (a, b) = tokio::join!(PrivateLibvirt::start(), PrivateLibvirt::start());
    let guest = a.guest("moves").serials([]).start().await;
    let (stack, there) = on(&a, &b).await;
    let (link, secret) = (stack.mint(&guest).await, secret());
    let mut viewer = handshake(stack.edge.upgrade(&link.url).bound(&secret).open().await).await;
    let before = viewer.full_frame().await.unwrap();
    let unused = stack.mint(&guest).await;

    // One that comes to nothing.
    let migration = Migration::begin(&a, guest.uuid(), &b, &["--p2p", "--persistent"]).await;
    migration.begun.await.unwrap();
    let migrating = (409, "migrating".to_owned());
    let asked = Instant::now();
    assert_eq!(stack.upgrade(&unused).send().await.unwrap().refusal(), migrating);
    assert!(asked.elapsed() < DEADLINE, "{:?}", asked.elapsed());
    assert_eq!(viewer.full_frame().await.unwrap(), before, "the live session goes on");
    guest.virsh("domjobabort", &[]).await.unwrap();
    drop(migration.go);
    migration.command.await.unwrap().unwrap_err();
    assert_eq!(viewer.full_frame().await.unwrap(), before);
    let mut second = None;
    eventually(PATIENCE, "the guest to be opened again", async || {
        if let Ok(Answer::Opened(client)) = stack.upgrade(&unused).send().await {
            second = Some(client);
        }
        second.is_some()
    })
    .await;
    let mut second = handshake(second.unwrap()).await;
    assert_eq!(second.full_frame().await.unwrap(), before);

    // And one that arrives.
    let another = stack.mint(&guest).await;
    let migration = Migration::begin(&a, guest.uuid(), &b, &["--p2p", "--persistent"]).await;
    migration.begun.await.unwrap();
    assert_eq!(stack.upgrade(&another).send().await.unwrap().refusal(), migrating);
    assert_eq!(row(&stack.agent, &link).await.ended, None);
    migration.go.send(()).unwrap();
    for viewer in [&mut viewer, &mut second] {
        assert_eq!(viewer.stream().closed().await, closed(4412, "migrated"));
    }
    migration.command.await.unwrap().unwrap();
    for link in [&link, &unused] {
        ended(&stack.agent, link, "migrated").await;
    }

    // It is not here any more; there it is.
    eventually(PATIENCE, "the link to be void", async || {
        let refused = stack.edge.upgrade(&link.url).bound(&secret).send().await.unwrap().refusal();
        refused == (409, "migrated".to_owned())
    })
    .await;
    let refused = stack.agent.try_mint(&guest).await.unwrap_err();
    assert_eq!((refused.status, refused.code.as_str()), (409, "not_running"));
    let link = there.mint(&guest).await;
    let mut viewer = handshake(stack.upgrade(&link).open().await).await;
    assert_eq!(viewer.full_frame().await.unwrap(), before);
    b.virsh(&["destroy", guest.name()]).await.unwrap();
    assert_eq!(viewer.stream().closed().await, closed(4411, "destroyed"));
    ended(&there, &link, "destroyed").await;
}

/// An agent on each, and an edge that knows both.
async fn on(a: &PrivateLibvirt, b: &PrivateLibvirt) -> (Stack, Agent) {
    let stack = Stack::on(a).await;
    let there = stack.another_agent("compute-2").await.unwrap().libvirt(b).start().await.unwrap();
    let probe = b.guest("probe").serials([]).start().await;
    let link = there.mint(&probe).await;
    write_nodes(&stack.edge, &[Node::from(&stack.agent), Node::from(&there)], &link).await;
    (stack, there)
}

#[tokio::test]
async fn no_links_are_made_for_a_moving_guest() {
    let (a, b) = tokio::join!(PrivateLibvirt::start(), PrivateLibvirt::start());
    let guest = a.guest("no-links").serials([]).start().await;
    let (stack, there) = on(&a, &b).await;
    let migration = Migration::begin(&a, guest.uuid(), &b, &["--p2p", "--persistent"]).await;
    migration.begun.await.unwrap();
    let migrating = (409, "migrating".to_owned());
    for agent in [&stack.agent, &there] {
        let asked = Instant::now();
        let refused = agent.try_mint(&guest).await.map(|link| link.id).expect_err(agent.name());
        assert_eq!((refused.status, refused.code), migrating, "on {}", agent.name());
        assert!(asked.elapsed() < DEADLINE, "on {}: {:?}", agent.name(), asked.elapsed());
    }
    migration.go.send(()).unwrap();
    migration.command.await.unwrap().unwrap();
    let link = there.mint(&guest).await;
    handshake(stack.upgrade(&link).open().await).await.full_frame().await.unwrap();
}
