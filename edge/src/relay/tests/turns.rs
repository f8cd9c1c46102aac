//! What one session may take of memory and of its thread.

use super::*;
use tokio::time::timeout;

/// The most that may wait for a side: a turn's plaintext (what was read, and a record that was begun before), in
/// records.
const MOST_UNSENT: usize = 64 * 1024 + 17 * 1024 + 1024;

type TcpRelay = Relay;

async fn relay(tls: &Tls) -> (client::TlsStream<TcpStream>, TcpRelay, server::TlsStream<TcpStream>) {
    let (client, client_leg) = tls.client_side(tcp().await).await;
    let (agent_leg, agent) = tls.agent_side(tcp().await).await;
    (client, Relay::between(client_leg, Bytes::new(), agent_leg, Bytes::new()), agent)
}

/// Gives the relay turns until it has nothing to do for a while; calls `seen` after each.
async fn exhaust(relay: &mut TcpRelay, mut seen: impl FnMut(&mut TcpRelay)) {
    let mut scratch = Scratch::default();
    loop {
        let turn = poll_fn(|cx: &mut Context<'_>| {
            let turn = relay.poll_turn(cx, &mut scratch);
            seen(relay);
            turn
        });
        match timeout(Duration::from_millis(300), turn).await {
            Ok(Turn::More) => yield_now().await,
            Ok(Turn::Over(end)) => panic!("ended: {end:?}"),
            Err(_nothing_to_do) => return,
        }
    }
}

#[tokio::test]
async fn behind_a_client_that_does_not_read_little_is_held_and_the_agent_waits() {
    let (mut client, mut relay, agent) = relay(&Tls::new()).await;
    let (_agent_reader, mut agent_writer) = tokio::io::split(agent);
    let flooding = tokio::spawn(async move {
        let mut sent = 0_u64;
        while agent_writer.write_all(&sent.to_be_bytes().repeat(1_000)).await.is_ok() {
            sent += 1;
            assert!(sent < 10_000, "nothing holds the agent back");
        }
    });
    let mut most = 0;
    exhaust(&mut relay, |relay| {
        let (to_agent, to_client) = relay.unsent_bytes();
        most = most.max(to_client);
        assert!(to_agent == 0 && to_client <= MOST_UNSENT, "{to_agent} {to_client}");
    })
    .await;
    assert!(most > 0 && !flooding.is_finished());

    // Nothing of what was held back is lost, and no more is held while it goes.
    let reading = async {
        for expected in 0..2_000_u64 {
            assert_eq!(read_some(&mut client, 8_000).await, expected.to_be_bytes().repeat(1_000));
        }
    };
    tokio::select! {
        () = reading => {}
        () = exhaust(&mut relay, |relay| assert!(relay.unsent_bytes().1 <= MOST_UNSENT)) => panic!("it stood still"),
    }
    drop(relay);
    flooding.await.unwrap();
}

#[tokio::test]
async fn one_turn_is_one_read_each_way() {
    let (client, mut relay, agent) = relay(&Tls::new()).await;
    let (mut client_reader, client_writer) = tokio::io::split(client);
    let (mut agent_reader, agent_writer) = tokio::io::split(agent);
    let tasks = [
        tokio::spawn(flood(client_writer)),
        tokio::spawn(flood(agent_writer)),
        tokio::spawn(async move { drop(tokio::io::copy(&mut client_reader, &mut tokio::io::sink()).await) }),
        tokio::spawn(async move { drop(tokio::io::copy(&mut agent_reader, &mut tokio::io::sink()).await) }),
    ];
    let mut scratch = Scratch::default();
    let mut before = relay.moved();
    let most = 4 * MOST_UNSENT as u64;
    while before.to_client < 30_000_000 || before.to_agent < 30_000_000 {
        let turn = poll_fn(|cx| relay.poll_turn(cx, &mut scratch).map(Some)).await;
        assert_eq!(turn, Some(Turn::More));
        let after = relay.moved();
        assert!(after.to_client - before.to_client <= most && after.to_agent - before.to_agent <= most);
        before = after;
        yield_now().await;
    }
    drop(relay);
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn an_idle_session_holds_nothing() {
    let (mut client, mut relay, mut agent) = relay(&Tls::new()).await;
    client.write_all(&vec![7; 30_000]).await.unwrap();
    client.flush().await.unwrap();
    let reading = tokio::spawn(async move {
        read_some(&mut agent, 30_000).await;
        agent
    });
    exhaust(&mut relay, |_| {}).await;
    let _agent = reading.await.unwrap();
    assert_eq!(relay.unsent_bytes(), (0, 0));
    assert!(!relay.has_timers(), "an idle session needs no timer");
}

#[test]
fn a_keystroke_gets_through_beside_floods_on_the_same_thread() {
    // All relays on this one thread; everybody else on threads of their own.
    let others = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let relays = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let typed = relays.block_on(async {
        let tls = Tls::new();
        for _ in 0..3 {
            let session = tcp_session(&tls).await;
            let (mut client, agent) = (session.client, session.agent);
            others.spawn(async move { drop(tokio::io::copy(&mut client, &mut tokio::io::sink()).await) });
            others.spawn(flood(agent));
        }
        let session = tcp_session(&tls).await;
        let (mut client, mut agent) = (session.client, session.agent);
        others.spawn(async move {
            let mut key = [0];
            while agent.read_exact(&mut key).await.is_ok() {
                agent.write_all(&key).await.unwrap();
                agent.flush().await.unwrap();
            }
        });
        let typing = others.spawn(async move {
            for key in 0..200_u8 {
                client.write_all(&[key]).await.unwrap();
                client.flush().await.unwrap();
                assert_eq!(read_some(&mut client, 1).await, [key]);
            }
        });
        timeout(Duration::from_secs(30), typing).await
    });
    drop(relays);
    typed.expect("200 keystrokes within 30 s").unwrap();
}
