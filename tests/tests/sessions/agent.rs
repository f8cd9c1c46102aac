//! The agent stops, is killed and comes back: sessions end in words or without, guests do not notice.

use std::time::Duration;

use nix::sys::signal::Signal;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually, within};
use porthole_tests::ws::Event;

use crate::support::{Counted, closed, ended, handshake, row, secret, view};

#[tokio::test]
async fn a_stopped_agent_says_goodbye_and_takes_nothing_new() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("agent-stops").start().await;
    let qemu = guest.qemu().unwrap();
    let mut stack = Stack::on(&libvirt).await;
    let (link, secret) = (stack.mint(&guest).await, secret());
    let mut viewer = handshake(Counted::new(stack.edge.upgrade(&link.url).bound(&secret).open().await)).await;
    viewer.full_frame().await.unwrap();
    // This one hears the goodbye but does not answer yet, which keeps the agent for a moment.
    let (silent_link, mut silent) = view(&stack, &guest).await;
    let unused = stack.mint(&guest).await;
    let first = row(&stack.agent, &link).await;

    assert!(stack.agent.process().signal(Signal::SIGTERM));
    assert_eq!(viewer.stream().closed().await, closed(1012, "agent_stopping"));
    let refused = stack.upgrade(&unused).send().await.unwrap().refusal();
    assert_eq!(refused, (503, "draining".to_owned()));
    assert!(stack.agent.process().is_running(), "it waits for the client that has not answered");
    assert_eq!(silent.stream().closed().await, closed(1012, "agent_stopping"));
    let status = stack.agent.process().wait(Duration::from_secs(8)).await.unwrap();
    assert_eq!(status.code(), Some(0));
    let refused = stack.upgrade(&unused).send().await.unwrap().refusal();
    assert_eq!(refused, (502, "agent_unreachable".to_owned()));

    stack.agent.start_again().await;
    let row = ended(&stack.agent, &link, "agent_stopping").await;
    assert_eq!((row.bytes_in, row.bytes_out), (viewer.stream().sent, viewer.stream().received));
    ended(&stack.agent, &silent_link, "agent_stopping").await;

    // Links outlive the agent: the same page goes on, and so does a new one.
    let client = stack.edge.upgrade(&link.url).bound(&secret).open().await;
    let mut viewer = handshake(client).await;
    assert_eq!(viewer.full_frame().await.unwrap(), guest.screenshot().await.unwrap());
    let again = crate::support::row(&stack.agent, &link).await;
    assert_eq!((again.id, again.open, again.connections, again.ended), (first.id, 1, 2, None));
    handshake(stack.upgrade(&unused).open().await).await.full_frame().await.unwrap();
    assert_eq!(guest.qemu(), Some(qemu));
}

#[tokio::test]
async fn a_stopping_agent_does_not_wait_for_clients_that_never_answer() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("unanswered").start().await;
    let mut stack = Stack::on(&libvirt).await;
    let (link, _never_reads) = view(&stack, &guest).await;
    assert!(stack.agent.process().signal(Signal::SIGTERM));
    let status = stack.agent.process().wait(Duration::from_secs(9)).await.unwrap();
    assert_eq!(status.code(), Some(0));
    stack.agent.start_again().await;
    ended(&stack.agent, &link, "agent_stopping").await;
}

#[tokio::test]
async fn a_killed_agent_leaves_rows_that_its_successor_closes() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("agent-killed").start().await;
    let qemu = guest.qemu().unwrap();
    let mut stack = Stack::on(&libvirt).await;
    let (link, secret) = (stack.mint(&guest).await, secret());
    let mut viewer = handshake(stack.edge.upgrade(&link.url).bound(&secret).open().await).await;
    viewer.full_frame().await.unwrap();
    let (other_link, mut other) = view(&stack, &guest).await;

    stack.agent.crash();
    for viewer in [&mut viewer, &mut other] {
        let end = within(PATIENCE, "the end of the connection", viewer.stream().next()).await;
        assert_eq!(end.unwrap(), Event::End, "nobody is left to send a close frame");
    }
    let left = row(&stack.agent, &link).await;
    assert_eq!((left.open, left.ended), (1, None));

    stack.agent.start_again().await;
    ended(&stack.agent, &link, "agent_restarted").await;
    ended(&stack.agent, &other_link, "agent_restarted").await;
    assert!(stack.agent.sessions().await.is_empty());

    let mut viewer = handshake(stack.edge.upgrade(&link.url).bound(&secret).open().await).await;
    assert_eq!(viewer.full_frame().await.unwrap(), guest.screenshot().await.unwrap());
    let again = row(&stack.agent, &link).await;
    assert_eq!((again.id, again.open, again.connections, again.reason), (left.id, 1, 2, None));
    let refused = stack.upgrade(&other_link).send().await.unwrap().refusal();
    assert_eq!(refused, (403, "used".to_owned()), "without a secret once is once, also after a crash");

    assert_eq!(guest.qemu(), Some(qemu));
    guest.show_quadrants().await;
    eventually(PATIENCE, "the guest's new picture", async || viewer.full_frame().await.unwrap().is_quadrants()).await;
}
