//! How sessions end, and what each side sees of it.

use super::*;
use tokio::time::Instant;

/// Drops a TCP connection with a reset instead of FIN.
fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

#[tokio::test]
async fn a_client_that_ends_may_still_be_sent_the_rest() {
    let session = tcp_session(&Tls::new()).await;
    let (mut client, mut agent) = (session.client, session.agent);
    client.write_all(b"bye").await.unwrap();
    client.shutdown().await.unwrap();
    // A clean end: without close_notify this would be an error.
    assert_eq!(read_to_end(&mut agent).await, b"bye");
    agent.write_all(b"close frame").await.unwrap();
    agent.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut client).await, b"close frame");
    let summary = session.running.await.unwrap();
    assert_eq!(summary, Summary { to_agent: 3, to_client: 11, end: End::ClientClosed });
}

#[tokio::test]
async fn what_a_client_sends_to_a_closed_agent_does_not_cost_it_the_agents_last_words() {
    let session = tcp_session(&Tls::new()).await;
    let (mut client, mut agent) = (session.client, session.agent);
    agent.write_all(b"close frame").await.unwrap();
    agent.shutdown().await.unwrap();
    drop(agent);
    // The agent is gone, and the client has not looked yet: all this is for nobody.
    for _ in 0..3_000 {
        client.write_all(&[0; 10_000]).await.unwrap();
    }
    client.flush().await.unwrap();
    assert_eq!(read_to_end(&mut client).await, b"close frame");
    client.shutdown().await.unwrap();
    assert_eq!(session.running.await.unwrap().end, End::AgentClosed);
}

#[tokio::test]
async fn a_reset_on_one_side_is_an_end_on_the_other() {
    let session = tcp_session(&Tls::new()).await;
    let mut agent = session.agent;
    reset(session.client.into_inner().0);
    assert_eq!(read_to_end(&mut agent).await, b"");
    drop(agent);
    assert_eq!(session.running.await.unwrap().end, End::ClientLost);

    let session = tcp_session(&Tls::new()).await;
    let mut client = session.client;
    reset(session.agent.into_inner().0);
    assert_eq!(read_to_end(&mut client).await, b"");
    drop(client);
    assert_eq!(session.running.await.unwrap().end, End::AgentLost);
}

#[tokio::test]
async fn fin_without_close_notify_is_an_end() {
    let session = tcp_session(&Tls::new()).await;
    let (mut client, mut agent) = (session.client, session.agent);
    client.get_mut().0.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut agent).await, b"");
    drop(agent);
    assert_eq!(session.running.await.unwrap().end, End::ClientClosed);
}

#[tokio::test]
async fn nothing_behind_a_close_notify_counts() {
    let session = tcp_session(&Tls::new()).await;
    let (mut client, mut agent) = (session.client, session.agent);
    client.write_all(b"last").await.unwrap();
    client.get_mut().1.send_close_notify();
    client.flush().await.unwrap();
    client.get_mut().0.write_all(b"\x17\x03\x03\x00\x20 and so on and so on").await.unwrap();
    assert_eq!(read_to_end(&mut agent).await, b"last");
    drop(agent);
    assert_eq!(session.running.await.unwrap().end, End::ClientClosed);
}

#[tokio::test]
async fn what_is_no_tls_is_answered_by_an_alert_and_ends_the_session() {
    let session = tcp_session(&Tls::new()).await;
    let (mut client, mut agent) = (session.client, session.agent);
    client.write_all(b"good").await.unwrap();
    client.flush().await.unwrap();
    client.get_mut().0.write_all(b"\x17\x03\x03\x00\x20no record of anybody's, is it? no").await.unwrap();
    assert_eq!(read_to_end(&mut agent).await, b"good");
    let error = client.read(&mut [0; 1]).await.unwrap_err();
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
    drop((client, agent));
    assert_eq!(session.running.await.unwrap().end, End::ClientLost);
}

/// Waits for ends in a hurry, for stuck sides hardly.
const HASTY: Patience = Patience { linger: Duration::from_millis(200), stuck: Duration::from_hours(1) };

/// The other way round.
const HARSH: Patience = Patience { linger: Duration::from_hours(1), stuck: Duration::from_millis(200) };

#[tokio::test]
async fn a_side_that_does_not_end_is_not_waited_for_long() {
    let session = memory_session(&Tls::new(), 1_000, HASTY).await;
    let (mut client, _agent) = (session.client, session.agent);
    let start = Instant::now();
    client.shutdown().await.unwrap();
    assert_eq!(session.running.await.unwrap().end, End::ClientClosed);
    assert!(start.elapsed() >= HASTY.linger);
}

#[tokio::test]
async fn a_flood_after_the_clients_end_is_cut_off_too() {
    let session = tcp_session_within(&Tls::new(), HASTY).await;
    let (client, agent) = (session.client, session.agent);
    let (mut reader, mut writer) = tokio::io::split(client);
    let reading = tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
    let flooding = tokio::spawn(flood(agent));
    writer.shutdown().await.unwrap();
    assert_eq!(session.running.await.unwrap().end, End::ClientClosed);
    flooding.await.unwrap();
    drop(reading.await.unwrap());
}

#[tokio::test]
async fn a_client_that_never_reads_is_given_up_in_the_end() {
    let session = memory_session(&Tls::new(), 1_000, HARSH).await;
    let (_client, agent) = (session.client, session.agent);
    let start = Instant::now();
    let flooding = tokio::spawn(flood(agent));
    assert_eq!(session.running.await.unwrap().end, End::Stuck);
    assert!(start.elapsed() >= HARSH.stuck);
    flooding.await.unwrap();
}

#[tokio::test]
async fn a_slow_client_is_not_stuck() {
    let patience = Patience { stuck: Duration::from_secs(1), ..HARSH };
    let session = memory_session(&Tls::new(), 1_000, patience).await;
    let (mut client, agent) = (session.client, session.agent);
    let flooding = tokio::spawn(flood(agent));
    let start = Instant::now();
    while start.elapsed() < 3 * patience.stuck {
        // Time must pass here: slowness is what is tested.
        tokio::time::sleep(patience.stuck / 4).await;
        read_some(&mut client, 17_000).await;
    }
    assert!(!session.running.is_finished());
    session.stop.cancel();
    assert_eq!(session.running.await.unwrap().end, End::Stopped);
    flooding.await.unwrap();
}

#[tokio::test]
async fn a_stop_is_at_once_in_the_middle_of_anything() {
    let session = tcp_session(&Tls::new()).await;
    let agent = session.agent;
    let flooding = tokio::spawn(flood(agent));
    session.stop.cancel();
    assert_eq!(session.running.await.unwrap().end, End::Stopped);
    drop(session.client);
    flooding.await.unwrap();
}
