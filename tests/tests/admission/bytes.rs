//! The first bytes: those that a client pipelines, and those that a console greets with.

use porthole_tests::agent::Mint;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, within};
use porthole_tests::ws::{Event, Frame, Opcode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Console, NAME, refusal_to, refused};

#[tokio::test]
async fn pipelined_bytes_reach_the_console_once_it_is_open_and_in_order() {
    let console = Console::listen().await;
    let stack = Stack::builder().agent(console.configured()).start().await;
    let link = stack.mint(Mint::of(NAME).policy("once")).await;

    // More than a request's buffer, in frames of every kind of length, empty ones and a ping among them.
    let (mut frames, mut expected) = (Vec::new(), Vec::new());
    for (number, length) in [1, 0, 125, 126, 700, 16_384, 0, 65_535, 65_536, 3, 100_000].into_iter().enumerate() {
        let payload: Vec<u8> = (0..length).map(|at| u8::try_from((at * 7 + number) % 251).unwrap()).collect();
        frames.extend(Frame::new(Opcode::Binary, &payload).encode());
        frames.extend(Frame::new(Opcode::Ping, b"p").encode());
        expected.extend(payload);
    }
    let request = stack.upgrade(&link).pipelined(&frames);
    let (mut session, (mut stream, received)) = tokio::join!(request.open(), async {
        let mut stream = console.accept().await;
        let mut received = vec![0; expected.len()];
        within(PATIENCE, "the pipelined bytes", stream.read_exact(&mut received)).await.unwrap();
        (stream, received)
    });
    assert!(received == expected, "what was pipelined did not come as it was sent");

    // What follows goes on from there; a frame may come byte by byte, and an empty one ends nothing.
    session.send_binary(b"").await.unwrap();
    for byte in Frame::new(Opcode::Binary, b"more").encode() {
        session.send_raw(&[byte]).await.unwrap();
    }
    let mut more = [0; 4];
    within(PATIENCE, "more", stream.read_exact(&mut more)).await.unwrap();
    assert_eq!(&more, b"more");

    // Of a refused request nothing goes on, and however much there is of it, it does not overtake the refusal.
    let again = stack.upgrade(&link);
    for length in [9, 100_000] {
        let bytes = [again.head(), Frame::new(Opcode::Binary, &vec![b'!'; length]).encode()].concat();
        assert_eq!(refusal_to(&again, &bytes).await, refused(403, "used"));
    }
    drop(stream);
    let next = stack.mint(NAME).await;
    let next = stack.upgrade(&next).pipelined(&Frame::new(Opcode::Binary, b"another").encode());
    let (_session, mut stream) = tokio::join!(next.open(), console.accept());
    let mut first = [0; 7];
    within(PATIENCE, "the next client's bytes", stream.read_exact(&mut first)).await.unwrap();
    assert_eq!(&first, b"another");
}

#[tokio::test]
async fn each_chunk_of_the_console_is_a_frame() {
    let console = Console::listen().await;
    let stack = Stack::builder().agent(console.configured()).start().await;
    let link = stack.mint(NAME).await;
    let (mut session, mut stream) = {
        let request = stack.upgrade(&link);
        tokio::join!(request.open(), console.accept())
    };
    // As an RFB server greets: the next comes only when the last has arrived.
    for chunk in [&b"RFB 003.008\n"[..], &[2, 1, 2], &[0, 0, 0, 0], &[7]] {
        stream.write_all(chunk).await.unwrap();
        assert_eq!(session.next().await.unwrap(), Event::Binary(chunk.to_vec()));
    }
    // The console's end is an end with a reason.
    drop(stream);
    let closed = session.closed().await;
    assert_eq!((closed.code, closed.reason.as_str()), (Some(4410), "console_closed"));

    let libvirt = PrivateLibvirt::start().await;
    let guest = libvirt.guest("chunks").start().await;
    let stack = Stack::on(&libvirt).await;
    let mut session = stack.open(&guest).await;
    assert_eq!(session.next().await.unwrap(), Event::Binary(b"RFB 003.008\n".to_vec()));
    session.send_binary(b"RFB 003.008\n").await.unwrap();
    assert_eq!(session.next().await.unwrap(), Event::Binary(vec![1, 1]), "one security type: None");
    session.send_binary(&[1]).await.unwrap();
    assert_eq!(session.next().await.unwrap(), Event::Binary(vec![0; 4]), "the security result");
}
