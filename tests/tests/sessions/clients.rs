//! Clients that leave, misbehave, vanish or do not read: each costs its own session and bounded memory.

use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::sys::signal::Signal;
use porthole_tests::agent::Minted;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually, within};
use porthole_tests::ws::{Event, Frame, Opcode, WsClient};

use crate::support::{closed, echo, ended, flood, handshake, held_up, row, view};

const MEBIBYTE: usize = 1 << 20;

async fn on_echo() -> Stack {
    let console = echo().await;
    let uuid = uuid::Uuid::new_v4();
    Stack::builder().agent(move |agent| agent.external(uuid, "echo", "tcp", console)).start().await
}

async fn open(stack: &Stack) -> (Minted, WsClient) {
    let link = stack.mint("echo").await;
    let client = stack.upgrade(&link).open().await;
    (link, client)
}

#[tokio::test]
async fn clients_leave_in_three_ways() {
    let stack = on_echo().await;
    let (link, mut client) = open(&stack).await;
    client.send_binary(b"hello").await.unwrap();
    assert_eq!(client.binary().await, b"hello");
    client.send_close(1000, "bye").await.unwrap();
    assert_eq!(client.closed().await.code, Some(1000), "a close frame is answered");
    assert_eq!(client.next().await.unwrap(), Event::End);
    let row = ended(&stack.agent, &link, "client_closed").await;
    assert_eq!((row.bytes_in, row.bytes_out), (5, 5));

    let (link, mut client) = open(&stack).await;
    client.send_binary(b"hello").await.unwrap();
    assert_eq!(client.binary().await, b"hello");
    drop(client);
    let row = ended(&stack.agent, &link, "client_gone").await;
    assert_eq!((row.bytes_in, row.bytes_out), (5, 5));

    let (link, mut client) = open(&stack).await;
    client.half_close().await.unwrap();
    ended(&stack.agent, &link, "client_gone").await;
    assert_eq!(client.next().await.unwrap(), Event::End);
}

#[tokio::test]
async fn what_is_no_binary_message_ends_the_session() {
    let stack = on_echo().await;
    let whole = |opcode, payload: &[u8]| Frame::new(opcode, payload).encode();
    let with_first_byte = |byte: u8| {
        let mut frame = whole(Opcode::Binary, b"x");
        frame[0] = byte;
        frame
    };
    let unmasked = Frame { mask: None, ..Frame::new(Opcode::Binary, b"x") }.encode();
    let part = |fin, opcode, length| Frame { fin, ..Frame::new(opcode, &vec![0; length]) }.encode();
    let bad = [
        ("text", whole(Opcode::Text, b"hello"), 1003, "text_frame"),
        ("text that is not UTF-8", whole(Opcode::Text, &[0xff, 0xfe]), 1003, "text_frame"),
        ("a message too long", whole(Opcode::Binary, &vec![0; MEBIBYTE + 1]), 1009, "message_too_big"),
        // Only its head: nothing is waited for, and no memory taken.
        ("the promise of a terabyte", vec![0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4], 1009, "message_too_big"),
        (
            "parts too long together",
            [part(false, Opcode::Binary, MEBIBYTE), part(true, Opcode::Continuation, 1)].concat(),
            1009,
            "message_too_big",
        ),
        ("no mask", unmasked, 1002, "protocol_error"),
        ("a reserved bit", with_first_byte(0xc2), 1002, "protocol_error"),
        ("a reserved opcode", with_first_byte(0x83), 1002, "protocol_error"),
        ("a reserved control opcode", with_first_byte(0x8b), 1002, "protocol_error"),
        ("a continuation of nothing", whole(Opcode::Continuation, b"x"), 1002, "protocol_error"),
        ("a ping in parts", part(false, Opcode::Ping, 1), 1002, "protocol_error"),
        ("a ping too long", part(true, Opcode::Ping, 126), 1002, "protocol_error"),
    ];
    for (what, bytes, code, reason) in bad {
        let (link, mut client) = open(&stack).await;
        client.send_binary(b"fine").await.unwrap();
        assert_eq!(client.binary().await, b"fine");
        // Where the server has read enough it closes, whatever else is still on its way.
        let _cut_off = client.send_raw(&bytes).await;
        assert_eq!(client.closed().await, closed(code, reason), "{what}");
        let row = ended(&stack.agent, &link, reason).await;
        // A console knows no messages: the parts that were within bounds are bytes like any others, and some are back.
        let first_part = if what == "parts too long together" { i64::try_from(MEBIBYTE).unwrap() } else { 0 };
        assert_eq!(row.bytes_in, 4 + first_part, "{what}");
        assert!((4..=4 + first_part).contains(&row.bytes_out), "{what}: {} bytes went out", row.bytes_out);
    }

    let (link, mut client) = open(&stack).await;
    client.send_binary(b"").await.unwrap();
    client.send_raw(&[part(false, Opcode::Binary, 3), part(true, Opcode::Continuation, 4)].concat()).await.unwrap();
    assert_eq!(client.binary().await, [0; 7], "an empty message is harmless, and one in parts is one");
    client.send_frame(&Frame::new(Opcode::Ping, b"?")).await.unwrap();
    assert_eq!(client.next().await.unwrap(), Event::Pong(b"?".to_vec()));
    let largest: Vec<u8> = (0..=250).cycle().take(MEBIBYTE).collect();
    client.send_binary(&largest).await.unwrap();
    let mut echoed = Vec::new();
    while echoed.len() < largest.len() {
        echoed.extend(client.binary().await);
    }
    assert!(echoed == largest, "the largest message there is arrives as it is");
    assert_eq!(client.close().await.code, Some(1000));
    ended(&stack.agent, &link, "client_closed").await;
}

#[tokio::test]
async fn a_client_that_vanishes_is_noticed() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("vanishes").start().await;
    let stack = Stack::builder()
        .libvirt(&libvirt)
        .agent(|agent| agent.set("sessions.ping_interval", "1s").set("sessions.ping_timeout", "1s"))
        .start()
        .await;
    let (lively_link, mut lively) = view(&stack, &guest).await;

    // It reads, but its kernel only: pings are not answered.
    let (link, mut vanished) = view(&stack, &guest).await;
    vanished.stream().ignore_pings();
    // Meanwhile another one only answers pings, and that is enough.
    tokio::select! {
        end = vanished.stream().closed() => assert_eq!(end, closed(4416, "client_stuck")),
        end = lively.stream().closed() => panic!("the client that answers pings was closed: {end:?}"),
    }
    ended(&stack.agent, &link, "client_stuck").await;
    assert_eq!(row(&stack.agent, &lively_link).await.ended, None);

    // It asks for its screen again and again, and reads nothing of it.
    let link = stack.mint(&guest).await;
    let mut greedy = handshake(stack.upgrade(&link).receive_buffer(4096).open().await).await;
    for _ in 0..200 {
        greedy.request(false).await.unwrap();
    }
    eventually(PATIENCE, "the end of the client that reads nothing", async || {
        lively.full_frame().await.expect("the other viewer's pixels");
        row(&stack.agent, &link).await.ended.is_some()
    })
    .await;
    ended(&stack.agent, &link, "client_stuck").await;
    assert_eq!(lively.full_frame().await.unwrap(), guest.screenshot().await.unwrap());
    drop(greedy);
}

#[tokio::test]
async fn stuck_readers_cost_themselves_and_little_memory() {
    let ((console, taken), quiet) = (flood().await, echo().await);
    let (flooding, echoing) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    let stack = Stack::builder()
        .agent(move |agent| {
            agent
                .external(flooding, "flood", "tcp", console)
                .external(echoing, "echo", "tcp", quiet)
                .set("sessions.ping_interval", "3s")
                .set("sessions.ping_timeout", "2s")
                .set("log.level", "info")
        })
        .edge(|edge| edge.set("log.level", "info"))
        .start()
        .await;
    // What a working flood and many connections need is there before it is measured.
    let mut drinker = stack.open("flood").await;
    drink(&mut drinker, 64 * MEBIBYTE).await;
    drinker.send_close(1000, "").await.unwrap();
    drinker.closed().await;
    let memory = || [stack.agent.process().resident_memory(), stack.edge.process().resident_memory()];
    let before = memory();

    let (mut readers, mut links) = (Vec::new(), Vec::new());
    taken.store(0, Ordering::Relaxed);
    for _ in 0..20 {
        let link = stack.mint("flood").await;
        readers.push(stack.upgrade(&link).receive_buffer(4096).open().await);
        links.push(link);
    }
    let (_, mut other) = open(&stack).await;
    held_up(&taken).await;
    let during = memory();
    for (before, during) in before.into_iter().zip(during) {
        let growth = during.saturating_sub(before);
        assert!(growth < 16 << 20, "twenty stuck readers took {growth} bytes");
    }
    // They were given up, each for itself, and their connections to the console were let go of.
    for link in &links {
        let what = "an echo beside the stuck readers";
        other.send_binary(b"still here").await.unwrap();
        assert_eq!(within(Duration::from_secs(2), what, other.binary()).await, b"still here");
        eventually(PATIENCE, "the end of a stuck reader", async || {
            // Reading answers pings.
            other.send_frame(&Frame::new(Opcode::Ping, b"")).await.unwrap();
            other.next().await.unwrap();
            row(&stack.agent, link).await.ended.is_some()
        })
        .await;
        ended(&stack.agent, link, "client_stuck").await;
    }
    assert_eq!(stack.agent.sessions().await.len(), 1);
    let mut drinker = stack.open("flood").await;
    drink(&mut drinker, 64 * MEBIBYTE).await;
    drop(readers);
}

/// Takes that much of a flood.
async fn drink(client: &mut WsClient, amount: usize) {
    let mut had = 0;
    while had < amount {
        let bytes = client.binary().await;
        assert!(bytes.iter().all(|byte| *byte == b'~'));
        had += bytes.len();
    }
}

/// As a virtual machine that is moved or snapshotted does.
#[tokio::test]
async fn an_edge_that_pauses_loses_nothing() {
    let stack = on_echo().await;
    let (link, mut client) = open(&stack).await;
    client.send_binary(b"before").await.unwrap();
    assert_eq!(client.binary().await, b"before");
    assert!(stack.edge.process().signal(Signal::SIGSTOP));
    client.send_binary(b"meanwhile").await.unwrap();
    assert!(stack.edge.process().signal(Signal::SIGCONT));
    assert_eq!(client.binary().await, b"meanwhile");
    assert_eq!(row(&stack.agent, &link).await.ended, None);
}
