//! Sessions that move all they can, or nothing at all, beside one that somebody types in.

use std::time::Duration;

use porthole_tests::wait::{PATIENCE, eventually, within};
use porthole_tests::ws::{Frame, Opcode};

use super::support::console::{Console, Manner};
use super::support::{CONSOLE, assert_serves, echo_through, stack, with_console};

/// What a process may grow by for a few sessions that are stuck with all buffers full.
const A_FEW_BUFFERS: u64 = 24 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_types_beside_floods_and_stuck_clients() {
    let echo = Console::echo().await;
    let flood = Console::start("127.0.0.1:0", Manner::Flood).await;
    let deaf = Console::start("127.0.0.1:0", Manner::Deaf).await;
    let (flooding, hearing_nothing) = (flood.address(), deaf.address());
    let stack = stack(&echo)
        .agent(move |agent| {
            let agent =
                agent.set("log.level", "info").set("sessions.ping_interval", "1s").set("sessions.ping_timeout", "60s");
            with_console(with_console(agent, "flood", flooding), "deaf", hearing_nothing)
        })
        .edge(|edge| edge.set("log.level", "info"))
        .start()
        .await;
    // Warm: every kind of session was there once.
    for name in [CONSOLE, "flood", "deaf"] {
        drop(stack.open(name).await);
    }
    let memory = || [stack.edge.process().resident_memory(), stack.agent.process().resident_memory()];
    let before = memory();

    // Two that read as fast as they can.
    let mut readers = Vec::new();
    for _ in 0..2 {
        let mut client = stack.open("flood").await;
        readers.push(tokio::spawn(async move {
            let mut bytes = 0;
            while let Ok(Some(frame)) = client.next_frame().await {
                bytes += frame.payload.len();
            }
            bytes
        }));
    }
    // Some that read nothing.
    let mut mute = Vec::new();
    for _ in 0..4 {
        let link = stack.mint("flood").await;
        mute.push(stack.upgrade(&link).receive_buffer(4096).open().await);
    }
    // One that sends as fast as it can to somebody who does not listen.
    let mut shouting = stack.open("deaf").await;
    let shouter = tokio::spawn(async move {
        let frame = Frame::new(Opcode::Binary, &vec![7; 64 * 1024]);
        while let Ok(Ok(())) = tokio::time::timeout(Duration::from_secs(3), shouting.send_frame(&frame)).await {}
        shouting
    });

    let mut typing = stack.open(CONSOLE).await;
    within(2 * PATIENCE, "300 keystrokes", async {
        for stroke in 0..300_u32 {
            echo_through(&mut typing, &stroke.to_be_bytes()).await;
        }
    })
    .await;
    // A new one opens as well.
    drop(stack.open(CONSOLE).await);
    let shouting = within(2 * PATIENCE, "a client that is not heard to be held back", shouter).await.unwrap();

    for (process, (before, after)) in ["edge", "agent"].iter().zip(before.into_iter().zip(memory())) {
        assert!(after.saturating_sub(before) < A_FEW_BUFFERS, "the {process} went from {before} to {after} bytes");
    }
    let moved = |name: &'static str| {
        let stack = &stack;
        async move {
            let sessions = stack.agent.sessions().await;
            let of_console = sessions.iter().filter(|session| session["name"] == name);
            of_console.map(|session| session["bytes_out"].as_u64().unwrap()).max().unwrap()
        }
    };
    assert!(moved("flood").await > 1 << 20, "the floods do not flow");

    // Each ends when it is told to, stuck or not.
    for session in stack.agent.sessions().await {
        if session["name"] != CONSOLE {
            stack.agent.kill_session(session["id"].as_str().unwrap()).await.unwrap();
        }
    }
    for reader in readers {
        let bytes = within(PATIENCE, "the end of a flood", reader).await.unwrap();
        assert!(bytes > 1 << 20, "{bytes}");
    }
    eventually(PATIENCE, "the end of all but one", async || stack.agent.sessions().await.len() == 1).await;
    drop((mute, shouting));
    echo_through(&mut typing, b"and on it goes").await;
    typing.close().await;
    assert_serves(&stack).await;
}
