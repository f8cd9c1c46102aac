use super::*;
use crate::serial::history::{Budget, CHUNK, History, Sizes};
use crate::serial::port::{About, Interest, Key, Link, Port};
use crate::serial::roles::Applicant;
use crate::serial::wire::State;
use futures_util::SinkExt as _;
use porthole_shared::clock::SystemClock;
use porthole_shared::names::ConsoleUuid;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role as Side};

const PINGS: Pings = Pings { interval: Duration::from_secs(30), timeout: Duration::from_secs(30) };

fn port(tail: usize) -> (Arc<Port>, mpsc::Receiver<Input>) {
    let about = About {
        key: Key { uuid: ConsoleUuid::random(), index: 0 },
        number: Some(1),
        can_break: false,
        keep: true,
        start: "s".to_owned(),
        history: History::new(Sizes { head: 0, tail: tail * CHUNK }, Budget::of(64 * CHUNK)),
        most_watchers: 8,
    };
    let (port, input) = Port::new(about, Arc::new(SystemClock));
    port.set_link(Link::Open);
    (port, input)
}

fn applicant(read_only: bool) -> Applicant {
    Applicant { who: None, client: None, token: None, read_only, force: false }
}

/// A viewer's end of a session, whose connection holds so many bytes on their way.
async fn view(port: &Arc<Port>, protocol: Protocol, read_only: bool, held: usize) -> WebSocketStream<DuplexStream> {
    let (ours, theirs) = duplex(held);
    let attachment = Interest::in_port(Arc::clone(port)).attach(applicant(read_only)).unwrap();
    let socket = websocket::accept(ours, Bytes::new()).await;
    tokio::spawn(async move {
        let mut session = Session::new(socket, attachment, protocol, Meter::default(), PINGS);
        let reason = session.run(pending()).await;
        session.close(reason).await;
    });
    WebSocketStream::from_raw_socket(theirs, Side::Client, None).await
}

async fn next(viewer: &mut WebSocketStream<DuplexStream>) -> Message {
    tokio::time::timeout(Duration::from_secs(10), viewer.next()).await.unwrap().unwrap().unwrap()
}

async fn said(viewer: &mut WebSocketStream<DuplexStream>) -> FromAgent {
    serde_json::from_str(next(viewer).await.to_text().unwrap()).unwrap()
}

#[tokio::test]
async fn a_viewer_that_does_not_read_is_told_what_it_missed_and_holds_nobody_up() {
    let (port, _input) = port(2);
    let mut slow = view(&port, Protocol::V1, true, 512).await;
    let mut quick = view(&port, Protocol::V1, true, 512).await;
    for viewer in [&mut slow, &mut quick] {
        assert!(matches!(said(viewer).await, FromAgent::State(State { end: 0, .. })));
    }
    for viewer in [&mut slow, &mut quick] {
        viewer.send(Message::text(r#"{"type":"history"}"#)).await.unwrap();
    }
    // The second's arrival is told to the first.
    loop {
        if let FromAgent::At { offset, .. } = said(&mut slow).await {
            assert_eq!(offset, 0);
            break;
        }
    }
    while !matches!(said(&mut quick).await, FromAgent::At { .. }) {}

    let all: Vec<u8> = (0..40 * CHUNK as u64).map(|offset| (offset % 251) as u8).collect();
    let mut read = Vec::new();
    for piece in all.chunks(CHUNK) {
        port.append(piece);
        while read.len() < usize::try_from(port.latest(0).1).unwrap() {
            read.extend(next(&mut quick).await.into_data());
        }
    }
    assert_eq!(read, all, "who reads gets every byte");

    let (mut offset, mut skipped) = (0, 0);
    while offset < all.len() {
        let message = next(&mut slow).await;
        if let Message::Binary(bytes) = message {
            assert_eq!(bytes[..], all[offset..offset + bytes.len()]);
            offset += bytes.len();
            continue;
        }
        let said = serde_json::from_str(message.to_text().unwrap()).unwrap();
        let FromAgent::Skipped { from, to, why: Why::Slow } = said else { panic!("{said:?}") };
        assert_eq!(from, offset as u64);
        offset = usize::try_from(to).unwrap();
        skipped += to - from;
    }
    assert!(skipped > 30 * CHUNK as u64, "{skipped}");
}

#[tokio::test]
async fn only_the_writers_bytes_reach_the_port_and_a_port_that_takes_nothing_holds_only_it_up() {
    let (port, mut input) = port(2);
    let mut watcher = view(&port, Protocol::Plain, true, 512).await;
    watcher.send(Message::binary(&b"rm -rf /\n"[..])).await.unwrap();
    let mut writer = view(&port, Protocol::Plain, false, 512).await;
    writer.send(Message::binary(&b"one"[..])).await.unwrap();
    writer.send(Message::text("two")).await.unwrap();
    assert_eq!(input.recv().await, Some(Input::Bytes(Bytes::from_static(b"one"))));
    assert_eq!(input.recv().await, Some(Input::Bytes(Bytes::from_static(b"two"))));

    let sending = async {
        for _ in 0..1000 {
            writer.send(Message::binary(vec![b'x'; 100])).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(50), sending).await.is_err(), "the guest takes nothing");
    port.append(b"still seen");
    assert_eq!(next(&mut watcher).await, Message::binary(&b"still seen"[..]));
}

#[tokio::test]
async fn an_end_comes_after_the_last_words() {
    let (port, _input) = port(2);
    let mut viewer = view(&port, Protocol::Plain, false, 64).await;
    port.append(&[b'x'; 1000]);
    port.set_link(Link::Over(Reason::NotRunning));
    let mut read = 0;
    let end = loop {
        let message = next(&mut viewer).await;
        let Message::Binary(bytes) = message else { break message };
        read += bytes.len();
    };
    let closed = CloseFrame { code: 4410.into(), reason: "console_closed".into() };
    assert_eq!(end, Message::Close(Some(closed)));
    assert_eq!(read, 1000);
    let refused = Interest::in_port(port).attach(applicant(false)).unwrap_err();
    assert_eq!(refused, Reason::NotRunning);
}
