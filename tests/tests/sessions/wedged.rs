//! An emulator that hangs, with calls of libvirt waiting for it, is nobody else's problem.

use std::collections::HashMap;
use std::ffi::OsString;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually, within};
use porthole_tests::ws::Answer;

use crate::support::{closed, ended, handshake, row, timed, view};

/// Far more than opening takes, far less than any deadline of a call.
const NORMAL: Duration = Duration::from_secs(2);

/// A call that has taken so long waits for something.
const HANGS: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_wedged_guest_delays_nobody_else() {
    let libvirt = PrivateLibvirt::start().await;
    let (wedged, other) = (libvirt.guest("wedged").start().await, libvirt.guest("other").start().await);
    let mut stack = Stack::on(&libvirt).await;
    let (link, mut viewer) = view(&stack, &wedged).await;
    viewer.full_frame().await.unwrap();
    let mut links = Vec::new();
    for _ in 0..6 {
        links.push(stack.mint(&wedged).await);
    }
    let (last, refused_at_once) = (links.pop().unwrap(), links.pop().unwrap());

    wedged.freeze();
    let libvirt_too = libvirt.clone();
    let uuid = wedged.uuid().to_string();
    let in_flight = tokio::spawn(async move { libvirt_too.virsh(&["domfsinfo", &uuid]).await });
    let opening: Vec<_> = links.iter().map(|link| stack.upgrade(link)).collect();
    let opening = tokio::spawn(join_all(opening.into_iter().map(async |upgrade| timed(upgrade.send()).await)));

    // As long as those wait, others do not.
    let mut opened = 0;
    while !opening.is_finished() {
        let normal = timed(async {
            let mut viewer = stack.view(&other).await;
            viewer.full_frame().await.unwrap();
        });
        let ((), took) = normal.await;
        assert!(took < NORMAL, "a console of another guest took {took:?}");
        let (consoles, took) = timed(stack.agent.consoles()).await;
        assert!(took < NORMAL, "the list took {took:?}");
        for guest in [&wedged, &other] {
            assert!(consoles.iter().any(|console| console["name"] == guest.name()), "{consoles:?}");
        }
        opened += 1;
    }
    assert!(opened > 3, "only {opened} consoles of another guest were opened meanwhile");
    for (answer, took) in opening.await.unwrap() {
        assert_eq!(answer.unwrap().refusal(), (502, "unreachable".to_owned()));
        assert!(took < Duration::from_secs(8), "{took:?}");
    }
    // Whoever comes now could only wait behind them.
    let (answer, took) = timed(stack.upgrade(&refused_at_once).send()).await;
    assert_eq!(answer.unwrap().refusal(), (502, "unreachable".to_owned()));
    assert!(took < NORMAL, "{took:?}");
    assert_eq!(row(&stack.agent, &link).await.ended, None, "its live session waits");

    wedged.thaw();
    let picture = within(PATIENCE, "the wedged guest's own session", viewer.full_frame()).await.unwrap();
    assert_eq!(picture, wedged.screenshot().await.unwrap());
    let mut reopened = None;
    eventually(PATIENCE, "its console to open again", async || {
        if let Ok(Answer::Opened(client)) = stack.upgrade(&last).send().await {
            reopened = Some(client);
        }
        reopened.is_some()
    })
    .await;
    assert_eq!(handshake(reopened.unwrap()).await.full_frame().await.unwrap(), picture);
    // None of the refusals used its link up.
    for link in links.iter().chain([&refused_at_once]) {
        handshake(stack.upgrade(link).open().await).await;
    }
    drop(in_flight.await.unwrap());

    // The agent stops in time, whatever waits for a guest that does not answer.
    wedged.freeze();
    let late = stack.mint(&wedged).await;
    let request = stack.upgrade(&late);
    let opening = tokio::spawn(async move { request.send().await });
    let mut calls = HashMap::new();
    eventually(PATIENCE, "a call to libvirt that hangs", async || {
        // Those of other questions end at once.
        let mut now = libvirt_calls(stack.agent.process().pid());
        now.any(|call| calls.entry(call).or_insert_with(Instant::now).elapsed() > HANGS)
    })
    .await;
    let closing = async {
        assert_eq!(viewer.stream().closed().await, closed(1012, "agent_stopping"));
    };
    let (status, ()) = tokio::join!(stack.agent.stop(), closing);
    assert_eq!(status.code(), Some(0));
    assert_eq!(opening.await.unwrap().unwrap().refusal(), (502, "unreachable".to_owned()));
    stack.agent.start_again().await;
    ended(&stack.agent, &link, "agent_stopping").await;
}

/// The agent's threads that wait for libvirt.
fn libvirt_calls(agent: i32) -> impl Iterator<Item = OsString> {
    let threads = std::fs::read_dir(format!("/proc/{agent}/task")).unwrap().flatten();
    let calls = threads.filter(|thread| {
        std::fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name.trim() == "libvirt-call")
    });
    calls.map(|thread| thread.file_name())
}
