//! What goes in comes out.

use super::*;
use proptest::prelude::*;
use proptest::test_runner::Config;

/// Writes `bytes` in pieces of the given lengths, over and over, and ends; reads what comes until it ends.
async fn talk<S>(stream: S, bytes: Vec<u8>, pieces: Vec<usize>) -> Vec<u8>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = async {
        let mut rest = bytes.as_slice();
        for length in pieces.iter().cycle() {
            let (piece, after) = rest.split_at((*length).min(rest.len()));
            writer.write_all(piece).await.unwrap();
            writer.flush().await.unwrap();
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        writer.shutdown().await.unwrap();
    };
    tokio::join!(writing, read_to_end(&mut reader)).1
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), future).await }).expect("done in 10 s")
}

proptest! {
    #![proptest_config(Config::with_cases(100))]

    #[test]
    fn every_split_gives_the_same_bytes(
        room in 64_usize..20_000,
        piece in prop_oneof![1_usize..8, 8_usize..100, Just(usize::MAX)],
        up in prop::collection::vec(1_usize..5_000, 1..8),
        down in prop::collection::vec(1_usize..40_000, 1..8),
        lengths in (0_usize..40_000, 0_usize..40_000),
    ) {
        block_on(async {
            let session = memory_session(&Tls::without_tickets(), room, PATIENCE).await;
            session.narrow(piece);
            let (sent_up, sent_down) = (numbered(lengths.0, 1), numbered(lengths.1, 2));
            let (got_down, got_up) = tokio::join!(
                talk(session.client, sent_up.clone(), up),
                talk(session.agent, sent_down.clone(), down),
            );
            assert!(got_up == sent_up, "up: {} of {} bytes", got_up.len(), sent_up.len());
            assert!(got_down == sent_down, "down: {} of {} bytes", got_down.len(), sent_down.len());
            let summary = session.running.await.unwrap();
            assert_eq!((summary.to_agent, summary.to_client), (lengths.0 as u64, lengths.1 as u64));
        });
    }
}

#[tokio::test]
async fn much_goes_both_ways_at_once() {
    const LENGTH: usize = 24 * 1024 * 1024;
    let session = tcp_session(&Tls::new()).await;
    let (up, down) = (numbered(LENGTH, 3), numbered(LENGTH, 4));
    let agent = tokio::spawn(talk(session.agent, down.clone(), vec![1, 70_000, 16_384, 333]));
    let got_down = talk(session.client, up.clone(), vec![100_000, 5, 4_096]).await;
    assert!(got_down == down && agent.await.unwrap() == up);
    let summary = session.running.await.unwrap();
    assert_eq!((summary.to_agent, summary.to_client), (LENGTH as u64, LENGTH as u64));
    assert_eq!((session.counters.to_agent(), session.counters.to_client()), (LENGTH as u64, LENGTH as u64));
}

#[tokio::test]
async fn legs_without_tls_and_of_tls_1_2_work() {
    let tls = Tls::of(&[&rustls::version::TLS12]);
    let ((client, near), (far, agent)) = (tcp().await, tcp().await);
    let (agent_leg, agent) = tls.agent_side((far, agent)).await;
    let session = Session::start(client, Leg::plain(near), agent, agent_leg, (Bytes::new(), Bytes::new()));
    let (up, down) = (numbered(3_000_000, 5), numbered(3_000_000, 6));
    let agent = tokio::spawn(talk(session.agent, down.clone(), vec![50_000]));
    let got_down = talk(session.client, up.clone(), vec![1_000]).await;
    assert!(got_down == down && agent.await.unwrap() == up);
    session.running.await.unwrap();
}

#[tokio::test]
async fn early_bytes_go_first_and_then_what_tls_held() {
    let tls = Tls::new();
    let (mut client, mut client_leg) = tls.client_side(tcp().await).await;
    let (agent_leg, mut agent) = tls.agent_side(tcp().await).await;

    // As HTTP leaves it: some bytes read and handed on, some decrypted but not read.
    client.write_all(b"early, held, ").await.unwrap();
    client.flush().await.unwrap();
    let early = read_some(&mut client_leg, 7).await;
    let session = Session::start(client, client_leg, (), agent_leg, (early.into(), Bytes::from_static(b"hello")));
    let mut client = session.client;
    // Although nothing more arrives that would make anybody look.
    assert_eq!(read_some(&mut agent, 13).await, b"early, held, ");
    client.write_all(b"late").await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(read_some(&mut agent, 4).await, b"late");
    assert_eq!(read_some(&mut client, 5).await, b"hello");
}

#[tokio::test]
async fn an_end_that_came_with_the_handshake_is_passed_on() {
    let tls = Tls::new();
    let (mut client, mut client_leg) = tls.client_side(tcp().await).await;
    let (mut agent_leg, mut agent) = tls.agent_side(tcp().await).await;
    // All of it is there before anybody looks.
    client.write_all(b"early, held").await.unwrap();
    client.shutdown().await.unwrap();
    agent.write_all(b"hello, and goodbye").await.unwrap();
    agent.shutdown().await.unwrap();
    let early = (read_some(&mut client_leg, 7).await.into(), read_some(&mut agent_leg, 5).await.into());
    let session = Session::start(client, client_leg, agent, agent_leg, early);
    let (mut client, mut agent) = (session.client, session.agent);
    assert_eq!(read_to_end(&mut agent).await, b"early, held");
    assert_eq!(read_to_end(&mut client).await, b"hello, and goodbye");
    session.running.await.unwrap();
}

#[tokio::test]
async fn early_bytes_may_be_many() {
    let tls = Tls::new();
    let (client, client_leg) = tls.client_side(tcp().await).await;
    let (agent_leg, agent) = tls.agent_side(tcp().await).await;
    let early = numbered(1_000_000, 7);
    let session = Session::start(client, client_leg, agent, agent_leg, (early.clone().into(), early.clone().into()));
    let (mut client, mut agent) = (session.client, session.agent);
    let (down, up) = tokio::join!(read_some(&mut client, early.len()), read_some(&mut agent, early.len()));
    assert!(down == early && up == early);
}

#[tokio::test]
async fn keys_may_be_changed_in_mid_session() {
    let session = tcp_session(&Tls::new()).await;
    let (mut client, mut agent) = (session.client, session.agent);
    for round in 0..50_u8 {
        client.get_mut().1.refresh_traffic_keys().unwrap();
        agent.get_mut().1.refresh_traffic_keys().unwrap();
        let (up, down) = (numbered(1_000, round), numbered(2_000, round));
        client.write_all(&up).await.unwrap();
        client.flush().await.unwrap();
        agent.write_all(&down).await.unwrap();
        agent.flush().await.unwrap();
        assert_eq!(read_some(&mut agent, up.len()).await, up);
        assert_eq!(read_some(&mut client, down.len()).await, down);
    }
}
