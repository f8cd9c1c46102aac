//! An edge drains, is killed, and other edges take over.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use porthole_tests::ws::{Answer, Event};
use tokio::io::AsyncWriteExt as _;

use crate::support::{closed, ended, flood, handshake, held_up, row, secret, timed, view};

#[tokio::test]
async fn an_edge_drains_and_another_goes_on() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("edge-drains").start().await;
    let mut stack = Stack::on(&libvirt).await;
    let another = stack.another_edge("edge-2").await.unwrap();
    let (link, secret) = (stack.mint(&guest).await, secret());
    let mut viewer = handshake(stack.edge.upgrade(&link.url).bound(&secret).open().await).await;
    viewer.full_frame().await.unwrap();
    let first = row(&stack.agent, &link).await;
    assert_eq!(first.edge, "edge-1");
    // This one does not answer its close frame yet, which keeps the edge for a moment.
    let (slow_link, mut slow) = view(&stack, &guest).await;
    let (elsewhere, mut undisturbed) = {
        let link = stack.mint(&guest).await;
        let client = another.upgrade(&link.url).open().await;
        (link, handshake(client).await)
    };
    // Two that are connected: one is asking just then, one has not begun.
    let unused = stack.mint(&guest).await;
    let request = stack.upgrade(&unused);
    let (mut asking, idle) = (request.connect().await.unwrap(), request.connect().await.unwrap());
    let head = request.head();
    let (early, late) = head.split_at(head.len() - 2);
    asking.write_all(early).await.unwrap();
    asking.flush().await.unwrap();
    viewer.full_frame().await.unwrap();
    assert_eq!(stack.edge.admin_fetch("/readyz").await.unwrap().status(), 200);

    assert!(stack.edge.process().signal(Signal::SIGTERM));
    assert_eq!(viewer.stream().closed().await, closed(1012, "edge_draining"));
    let readiness = stack.edge.admin_fetch("/readyz").await.unwrap();
    assert_eq!(readiness.status(), 503);
    assert!(readiness.body().starts_with(b"draining"), "{readiness:?}");
    assert_eq!(stack.edge.admin_fetch("/healthz").await.unwrap().status(), 200);
    asking.write_all(late).await.unwrap();
    asking.flush().await.unwrap();
    assert_eq!(Answer::read(asking).await.unwrap().refusal(), (503, "draining".to_owned()));
    Answer::read(idle).await.unwrap_err();
    // A balancer that has not asked yet is not kept waiting: it goes to the next edge.
    stack.upgrade(&unused).send().await.unwrap_err();
    assert!(stack.edge.process().is_running());

    assert_eq!(slow.stream().closed().await, closed(1012, "edge_draining"));
    for mut gone in [viewer, slow] {
        assert_eq!(gone.stream().next().await.unwrap(), Event::End);
    }
    let status = stack.edge.process().wait(Duration::from_secs(3)).await.unwrap();
    assert_eq!(status.code(), Some(0));
    let ended_first = ended(&stack.agent, &link, "edge_draining").await;
    ended(&stack.agent, &slow_link, "edge_draining").await;

    // The same token and secret by another edge, and by the first one when it is back.
    let mut viewer = handshake(another.upgrade(&link.url).bound(&secret).open().await).await;
    assert_eq!(viewer.full_frame().await.unwrap(), guest.screenshot().await.unwrap());
    let again = row(&stack.agent, &link).await;
    assert_eq!((again.id.as_str(), again.edge.as_str(), again.connections), (first.id.as_str(), "edge-2", 2));
    assert_eq!((again.open, again.ended), (1, None));
    assert_eq!((again.bytes_in, again.bytes_out), (ended_first.bytes_in, ended_first.bytes_out));
    stack.edge.start_again().await;
    let mut third = handshake(stack.edge.upgrade(&link.url).bound(&secret).open().await).await;
    assert_eq!(viewer.stream().closed().await, closed(4414, "superseded"));
    third.full_frame().await.unwrap();
    handshake(stack.upgrade(&unused).open().await).await.full_frame().await.unwrap();

    undisturbed.full_frame().await.unwrap();
    assert_eq!(row(&stack.agent, &elsewhere).await.ended, None);
}

#[tokio::test]
async fn a_killed_edge_is_a_client_that_went_away() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("edge-killed").start().await;
    let qemu = guest.qemu().unwrap();
    let mut stack = Stack::on(&libvirt).await;
    let another = stack.another_edge("edge-2").await.unwrap();
    let (link, secret) = (stack.mint(&guest).await, secret());
    let mut viewer = handshake(stack.edge.upgrade(&link.url).bound(&secret).open().await).await;
    viewer.full_frame().await.unwrap();

    stack.edge.crash();
    ended(&stack.agent, &link, "client_gone").await;
    assert!(stack.agent.sessions().await.is_empty());
    assert_eq!(guest.qemu(), Some(qemu));
    let mut viewer = handshake(another.upgrade(&link.url).bound(&secret).open().await).await;
    assert_eq!(viewer.full_frame().await.unwrap(), guest.screenshot().await.unwrap());
}

#[tokio::test]
async fn a_client_that_never_reads_does_not_keep_an_edge() {
    let (console, taken) = flood().await;
    let uuid = uuid::Uuid::new_v4();
    let stack = Stack::builder()
        .agent(move |agent| agent.external(uuid, "flood", "tcp", console))
        .edge(|edge| edge.set("drain.deadline", "2s"))
        .start()
        .await;
    let link = stack.mint("flood").await;
    let never_reads = stack.upgrade(&link).receive_buffer(4096).open().await;
    held_up(&Arc::clone(&taken)).await;

    assert!(stack.edge.process().signal(Signal::SIGTERM));
    let (status, after) = timed(stack.edge.process().wait(PATIENCE)).await;
    assert_eq!(status.unwrap().code(), Some(0));
    assert!(after < Duration::from_secs(5), "2 s were given, it took {after:?}");
    ended(&stack.agent, &link, "edge_draining").await;
    eventually(PATIENCE, "an empty list", async || stack.agent.sessions().await.is_empty()).await;
    drop(never_reads);
}
