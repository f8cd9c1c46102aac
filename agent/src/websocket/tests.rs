use super::*;
use crate::sessions::{Activity, Counters};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use porthole_shared::leg::Leg;
use porthole_shared::names::ConsoleKind;
use porthole_shared::reason::Reason;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

mod watchers;

/// Long enough that no test is pinged unless it wants to be.
const QUIET: Pings = Pings { interval: Duration::from_mins(10), timeout: Duration::from_mins(10) };
const HASTY: Pings = Pings { interval: Duration::from_millis(20), timeout: Duration::from_millis(80) };
/// For waits that end by what they wait for; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// A relay at work, and both of its far ends.
struct Session<S> {
    client: S,
    console: UnixStream,
    end: oneshot::Sender<Reason>,
    relay: JoinHandle<Reason>,
    counters: Arc<Counters>,
    activity: Arc<Activity>,
}

/// With the client's raw bytes.
fn raw(pings: Pings, received: &[u8]) -> Session<DuplexStream> {
    raw_of(Inbound::Everything, pings, received)
}

fn raw_of(inbound: Inbound, pings: Pings, received: &[u8]) -> Session<DuplexStream> {
    let (client, near) = duplex(16 * 1024);
    let (console, near_console) = UnixStream::pair().unwrap();
    let counters = Arc::new(Counters::default());
    let (end, ended) = oneshot::channel();
    let socket = Socket::new(Leg::plain(near), Bytes::copy_from_slice(received), None);
    let meter = Meter { counters: Arc::clone(&counters), ..Meter::default() };
    let mut relay = Relay::new(socket, near_console, inbound, meter.clone(), pings);
    let relay = tokio::spawn(async move {
        // A dropped sender ends nothing.
        let ended = async {
            match ended.await {
                Ok(reason) => reason,
                Err(_) => std::future::pending().await,
            }
        };
        let reason = relay.run(ended).await;
        relay.close(reason).await;
        reason
    });
    Session { client, console, end, relay, counters, activity: meter.activity }
}

/// With a WebSocket client.
async fn session(pings: Pings) -> Session<WebSocketStream<DuplexStream>> {
    session_of(Inbound::Everything, pings).await
}

async fn session_of(inbound: Inbound, pings: Pings) -> Session<WebSocketStream<DuplexStream>> {
    let Session { client, console, end, relay, counters, activity } = raw_of(inbound, pings, b"");
    let client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
    Session { client, console, end, relay, counters, activity }
}

impl Session<WebSocketStream<DuplexStream>> {
    async fn next(&mut self) -> Message {
        timeout(PATIENCE, self.client.next()).await.unwrap().unwrap().unwrap()
    }

    async fn send(&mut self, message: Message) {
        timeout(PATIENCE, self.client.send(message)).await.unwrap().unwrap();
    }

    /// Reads on to the close frame, then to the end of the stream.
    async fn farewell(mut self) -> (CloseFrame, Reason) {
        let frame = loop {
            if let Message::Close(frame) = self.next().await {
                break frame.unwrap();
            }
        };
        let _answered = timeout(PATIENCE, self.client.next()).await.unwrap();
        drop(self.client);
        (frame, timeout(PATIENCE, self.relay).await.unwrap().unwrap())
    }
}

fn binary(bytes: impl Into<Bytes>) -> Message {
    Message::Binary(bytes.into())
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    timeout(PATIENCE, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
    bytes
}

/// A client's frame with the mask 1, 2, 3, 4 (payloads below 126 bytes).
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap()];
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[tokio::test]
async fn each_read_of_the_console_is_one_message() {
    let mut session = session(QUIET).await;
    for chunk in [&b"RFB 003.008\n"[..], b"\x01\x01", b"\0\0\0\0"] {
        session.console.write_all(chunk).await.unwrap();
        assert_eq!(session.next().await, binary(chunk));
    }
    assert_eq!(session.counters.read(), (0, 18));
}

#[tokio::test]
async fn a_flood_of_the_console_comes_whole_in_bounded_messages() {
    let mut session = session(QUIET).await;
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 4]).collect();
    let mut console = session.console;
    let flood = sent.clone();
    let writer = tokio::spawn(async move {
        console.write_all(&flood).await.unwrap();
        console
    });
    let mut got = Vec::new();
    while got.len() < sent.len() {
        let message = timeout(PATIENCE, session.client.next()).await.unwrap().unwrap().unwrap();
        assert!(message.is_binary() && !message.is_empty() && message.len() <= MAX_CHUNK, "{}", message.len());
        got.extend_from_slice(&message.into_data());
    }
    assert!(got == sent, "bytes were changed");
    drop(writer.await.unwrap());
}

#[tokio::test]
async fn what_a_client_sends_arrives_in_order_however_it_is_framed() {
    let mut session = session(QUIET).await;
    let large: Vec<u8> = (0..MAX_MESSAGE).map(|n| n.to_le_bytes()[n % 3]).collect();
    let fragment = |opcode, last, payload: &'static [u8]| {
        let header = FrameHeader { is_final: last, opcode: OpCode::Data(opcode), ..FrameHeader::default() };
        Message::Frame(Frame::from_payload(header, Bytes::from_static(payload)))
    };
    let messages = [
        binary(&b"ab"[..]),
        binary(&b""[..]),
        binary(&b"c"[..]),
        binary(large.clone()),
        fragment(Data::Binary, false, b"de"),
        Message::Ping(Bytes::new()),
        fragment(Data::Continue, false, b""),
        fragment(Data::Continue, true, b"f"),
    ];
    let mut console = session.console;
    let length = 6 + large.len();
    let reader = tokio::spawn(async move { (read(&mut console, length).await, console) });
    for message in messages {
        timeout(PATIENCE, session.client.send(message)).await.unwrap().unwrap();
    }
    let (got, _console) = reader.await.unwrap();
    assert!(got == [b"abc", large.as_slice(), b"def"].concat(), "bytes were changed");
    assert_eq!(session.counters.read(), (length as u64, 0));
}

#[tokio::test]
async fn frames_may_come_split_anywhere_also_behind_the_handshake() {
    let frames = [masked(0x82, b"hello"), masked(0x82, b""), masked(0x82, b" there")].concat();
    for split in 0..=frames.len() {
        let (received, later) = frames.split_at(split);
        let mut session = raw(QUIET, received);
        for byte in later {
            session.client.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(read(&mut session.console, 11).await, b"hello there", "split at {split}");
        drop(session.client);
        assert_eq!(session.relay.await.unwrap(), Reason::ClientGone);
    }
}

#[tokio::test]
async fn each_breach_has_its_close_code() {
    let too_large = {
        let mut frame = vec![0x82, 0xff];
        frame.extend((MAX_MESSAGE as u64 + 1).to_be_bytes());
        frame.extend([0; 4]);
        frame
    };
    let in_fragments = {
        let part = |first: u8| {
            let mut frame = vec![first, 0xff];
            frame.extend((MAX_MESSAGE as u64 / 2 + 1).to_be_bytes());
            frame.extend(vec![0; 4 + MAX_MESSAGE / 2 + 1]);
            frame
        };
        [part(0x02), part(0x80)].concat()
    };
    for (name, bytes, code, reason) in [
        ("text", masked(0x81, b"hi"), 1003, Reason::TextFrame),
        ("text that is none", masked(0x81, &[0xff]), 1003, Reason::TextFrame),
        ("a frame too large", too_large, 1009, Reason::MessageTooBig),
        ("a message too large", in_fragments, 1009, Reason::MessageTooBig),
        ("no mask", vec![0x82, 0x01, b'x'], 1002, Reason::ProtocolError),
        ("an unknown opcode", masked(0x83, b""), 1002, Reason::ProtocolError),
        ("a reserved bit", masked(0xc2, b"x"), 1002, Reason::ProtocolError),
        ("a fragmented ping", masked(0x09, b""), 1002, Reason::ProtocolError),
        ("a continued nothing", masked(0x80, b"x"), 1002, Reason::ProtocolError),
        ("a close frame of one byte", masked(0x88, b"x"), 1002, Reason::ProtocolError),
    ] {
        let Session { client, mut console, relay, .. } = raw(QUIET, b"");
        let (mut reader, mut writer) = tokio::io::split(client);
        // What follows a breach may find nobody who reads it.
        let flood = tokio::spawn(async move {
            let sent = writer.write_all(&[&masked(0x82, b"before")[..], &bytes].concat()).await;
            (sent, writer)
        });
        let listener = tokio::spawn(async move {
            let mut all = Vec::new();
            console.read_to_end(&mut all).await.map(|_length| all)
        });
        let mut answer = vec![0; 4];
        timeout(PATIENCE, reader.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer[0], 0x88, "{name}: expected a close frame");
        assert_eq!(u16::from_be_bytes([answer[2], answer[3]]), code, "{name}");
        let text = read(&mut reader, usize::from(answer[1]) - 2).await;
        assert_eq!(text, reason.code().as_bytes(), "{name}");
        // What came before the breach was good, and the console is let go at once.
        let all = timeout(PATIENCE, listener).await.unwrap().unwrap().unwrap();
        let (words, rest) = all.split_at(6);
        assert_eq!(words, b"before", "{name}");
        // To a console there are no messages: the parts that were within bounds are bytes like any others.
        let parts = if name == "a message too large" { MAX_MESSAGE / 2 + 1 } else { 0 };
        assert_eq!(rest.len(), parts, "{name}");
        flood.abort();
        drop((reader, flood.await));
        assert_eq!(timeout(PATIENCE, relay).await.unwrap().unwrap(), reason, "{name}");
    }
}

#[tokio::test]
async fn a_clients_close_is_answered_after_its_last_words_went_on() {
    let mut session = session(QUIET).await;
    session.send(binary(&b"last words"[..])).await;
    let frame = CloseFrame { code: 1001.into(), reason: "".into() };
    session.send(Message::Close(Some(frame.clone()))).await;
    assert_eq!(read(&mut session.console, 10).await, b"last words");
    let (answer, reason) = session.farewell().await;
    assert_eq!((answer, reason), (frame, Reason::ClientClosed));
}

#[tokio::test]
async fn a_client_that_is_gone_is_gone() {
    let session = session(QUIET).await;
    drop(session.client);
    assert_eq!(timeout(PATIENCE, session.relay).await.unwrap().unwrap(), Reason::ClientGone);
}

#[tokio::test]
async fn whoever_ends_a_session_gives_the_reason() {
    for reason in [Reason::Killed, Reason::Superseded, Reason::LimitReached, Reason::AgentStopping, Reason::Revoked] {
        let mut session = session(QUIET).await;
        session.console.write_all(b"x").await.unwrap();
        assert_eq!(session.next().await, binary(&b"x"[..]));
        let (end, _) = oneshot::channel();
        std::mem::replace(&mut session.end, end).send(reason).unwrap();
        let (frame, ended) = session.farewell().await;
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (reason.close_code(), reason.code()));
        assert_eq!(ended, reason);
    }
}

#[tokio::test]
async fn a_console_that_ends_has_its_last_words() {
    let mut session = session(QUIET).await;
    session.console.write_all(b"bye").await.unwrap();
    let (console, _other) = UnixStream::pair().unwrap();
    drop(std::mem::replace(&mut session.console, console));
    assert_eq!(session.next().await, binary(&b"bye"[..]));
    let (frame, reason) = session.farewell().await;
    assert_eq!((frame.reason.as_str(), reason), ("console_closed", Reason::ConsoleClosed));
}

#[tokio::test]
async fn a_console_that_takes_nothing_any_more_still_has_its_last_words() {
    let mut session = session(QUIET).await;
    let console = session.console.into_std().unwrap();
    console.shutdown(std::net::Shutdown::Read).unwrap();
    session.console = UnixStream::from_std(console).unwrap();
    session.send(binary(&b"is anybody there?"[..])).await;
    session.send(Message::Ping(Bytes::new())).await;
    // The pong tells that the write before it has failed.
    assert!(session.next().await.is_pong());
    session.console.write_all(b"no").await.unwrap();
    assert_eq!(session.next().await, binary(&b"no"[..]));
    session.console.shutdown().await.unwrap();
    assert_eq!(session.farewell().await.1, Reason::ConsoleClosed);
}

#[tokio::test]
async fn clients_are_pinged_and_those_that_answer_stay() {
    let mut session = session(HASTY).await;
    // Twice as long as a silent client would be suffered; all the while data flow to the client only.
    let until = tokio::time::Instant::now() + 2 * (HASTY.interval + HASTY.timeout);
    let mut pings = 0;
    while tokio::time::Instant::now() < until {
        session.console.write_all(b"x").await.unwrap();
        while session.next().await.is_ping() {
            pings += 1;
        }
    }
    assert!(pings >= 3, "only {pings} pings");
    assert!(!session.relay.is_finished());
}

#[tokio::test]
async fn a_silent_client_is_noticed() {
    let session = raw(HASTY, b"");
    let Session { mut client, relay, .. } = session;
    let mut all = Vec::new();
    timeout(PATIENCE, client.read_to_end(&mut all)).await.unwrap().unwrap();
    assert_eq!(&all[..2], b"\x89\0", "it was pinged");
    assert!(all.ends_with(b"client_stuck"), "and told: {all:?}");
    drop(client);
    assert_eq!(timeout(PATIENCE, relay).await.unwrap().unwrap(), Reason::ClientStuck);
}

#[tokio::test]
async fn a_client_that_sends_but_does_not_read_is_noticed_and_costs_bounded_memory() {
    let Session { client, mut console, relay, counters, .. } = raw(HASTY, b"");
    let (_unread, mut writer) = tokio::io::split(client);
    let chatter = tokio::spawn(async move {
        // Until it is hung up on.
        while writer.write_all(&masked(0x89, b"are you there?")).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    let mut written = 0;
    let flood = async {
        while let Ok(length) = console.write(&[7; 4096]).await {
            written += length;
        }
    };
    // The flood ends by the console's end being closed, although the client's goodbye takes longer.
    timeout(PATIENCE, flood).await.unwrap();
    assert_eq!(timeout(PATIENCE, relay).await.unwrap().unwrap(), Reason::ClientStuck);
    let (_, out) = counters.read();
    assert!(out <= 3 * 64 * 1024, "{out} bytes were read for a client that takes none");
    assert!(written < 2 * 1024 * 1024, "the console could write {written} bytes");
    chatter.abort();
}

#[tokio::test]
async fn a_console_that_does_not_read_holds_its_client_up_and_nothing_more() {
    let Session { client, console, relay, counters, end, activity: _ } = raw(HASTY, b"");
    let (mut reader, mut writer) = tokio::io::split(client);
    let flood = tokio::spawn(async move {
        let frame = masked(0x82, &[7; 100]);
        while writer.write_all(&frame).await.is_ok() {}
    });
    // It is pinged all the while, and not blamed for its pongs being stuck in the queue: far more pings than a silent
    // client would get.
    let mut got = 0;
    while got < 20 {
        assert_eq!(read(&mut reader, 2).await, b"\x89\0");
        got += 1;
    }
    let (taken, _) = counters.read();
    assert!(taken < 2 * 1024 * 1024, "{taken} bytes were taken for a console that reads none");
    // Those that are still to be ended can be.
    end.send(Reason::Killed).unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, reader.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(rest.ends_with(b"killed"), "{rest:?}");
    flood.abort();
    drop((reader, flood.await));
    assert_eq!(timeout(PATIENCE, relay).await.unwrap().unwrap(), Reason::Killed);
    drop(console);
}

#[tokio::test]
async fn a_held_up_message_goes_on_when_the_console_reads_again() {
    let Session { mut client, mut console, .. } = session(QUIET).await;
    let sent: Vec<u8> = (0..3 * MAX_MESSAGE).map(|n| n.to_le_bytes()[n % 3]).collect();
    let expected = sent.clone();
    let sender = tokio::spawn(async move {
        // Small and large ones, so that what is held is made of both.
        for piece in sent.chunks(MAX_MESSAGE / 2 + 1) {
            let (small, large) = piece.split_at(100);
            client.feed(binary(small.to_vec())).await.unwrap();
            client.feed(binary(large.to_vec())).await.unwrap();
        }
        client.flush().await.unwrap();
        client
    });
    // The console's socket is full.
    let mut got = read(&mut console, 1).await;
    while got.len() < expected.len() {
        let before = got.len();
        got.resize((before + 10_000).min(expected.len()), 0);
        timeout(PATIENCE, console.read_exact(&mut got[before..])).await.unwrap().unwrap();
        tokio::task::yield_now().await;
    }
    assert!(got == expected, "bytes were changed");
    drop(sender.await.unwrap());
}

#[tokio::test]
async fn a_flood_does_not_keep_another_session_from_its_turn() {
    let mut flooded = session(QUIET).await;
    let mut other = session(QUIET).await;
    let mut console = flooded.console;
    let flood = tokio::spawn(async move { while console.write_all(&[7; 16384]).await.is_ok() {} });
    let drain = tokio::spawn(async move { while let Some(Ok(_)) = flooded.client.next().await {} });
    for _ in 0..100 {
        other.send(binary(&b"k"[..])).await;
        assert_eq!(read(&mut other.console, 1).await, b"k");
    }
    assert!(!flood.is_finished() && !drain.is_finished());
    flood.abort();
    drain.abort();
}
