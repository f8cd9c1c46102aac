//! Who may only watch.

use super::*;

#[tokio::test]
async fn a_watchers_keys_stay_here_and_count_as_input() {
    const HELLO: &[u8] = b"RFB 003.008\n\x01\x00";
    const KEY: [u8; 8] = [4, 1, 0, 0, 0, 0, 0, 0x61];
    const UPDATE: [u8; 10] = [3, 1, 0, 0, 0, 0, 2, 208, 1, 144];
    let mut session = session_of(Inbound::new(ConsoleKind::Vnc, true), QUIET).await;
    let began = session.activity.latest();
    // Large enough to be passed on as it is, were it not looked into.
    let many = KEY.repeat(8 * 1024);
    for bytes in [HELLO, &KEY, &UPDATE, &many, &UPDATE] {
        session.send(Message::Binary(Bytes::copy_from_slice(bytes))).await;
    }
    let mut got = vec![0; HELLO.len() + 2 * UPDATE.len()];
    timeout(PATIENCE, session.console.read_exact(&mut got)).await.unwrap().unwrap();
    // A watcher's viewer is made to share.
    assert_eq!(got, [b"RFB 003.008\n\x01\x01", &UPDATE[..], &UPDATE].concat());
    assert!(session.activity.latest() >= began);
    assert_eq!(session.counters.read().0, (HELLO.len() + KEY.len() + many.len() + 2 * UPDATE.len()) as u64);
}

#[tokio::test]
async fn a_watcher_who_cannot_be_followed_is_told() {
    let mut session = session_of(Inbound::new(ConsoleKind::Vnc, true), QUIET).await;
    session.send(Message::Binary(Bytes::from_static(b"RFB 003.003\n"))).await;
    let (frame, reason) = session.farewell().await;
    assert_eq!((reason, u16::from(frame.code)), (Reason::Unsupported, 4501));
}

#[tokio::test]
async fn of_a_watcher_of_bytes_nothing_passes() {
    let mut session = session_of(Inbound::new(ConsoleKind::Tcp, true), QUIET).await;
    session.send(Message::Binary(vec![b'x'; 100_000].into())).await;
    session.send(Message::Binary(Bytes::from_static(b"x"))).await;
    session.console.write_all(b"hello").await.unwrap();
    assert_eq!(session.next().await, Message::Binary(Bytes::from_static(b"hello")));
    session.send(Message::Close(None)).await;
    let mut got = Vec::new();
    timeout(PATIENCE, session.console.read_to_end(&mut got)).await.unwrap().unwrap();
    assert_eq!((got.len(), session.counters.read().0), (0, 100_001));
}
