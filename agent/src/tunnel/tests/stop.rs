//! How it stops.

use super::*;
use porthole_shared::tunnel::JWKS_PATH;

#[tokio::test]
async fn told_to_stop_it_refuses_and_waits_for_its_last_session() {
    let agent = Agent::start().await;
    let (client, _console) = agent.open(&wanted(agent.mint(Policy::Once).await)).await;
    let token = agent.mint(Policy::Once).await;
    let mut idle = agent.connect().await;
    body(send(&mut idle, request("GET", JWKS_PATH, HeaderMap::new(), "")).await).await;

    agent.shutdown.soft.cancel();
    let closed = async {
        while !idle.is_closed() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, closed).await.expect("an idle connection is closed");
    let mut late = agent.connect().await;
    assert_refused(send(&mut late, console_request(&wanted(token))).await, Reason::Draining).await;
    assert!(!agent.served.is_finished(), "a session is still live");

    agent.services.sessions.stop_all(Reason::AgentStopping);
    let frame = farewell(client).await;
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1012, "agent_stopping"));
    timeout(PATIENCE, agent.served).await.expect("it goes on without sessions").unwrap();
    assert!(TcpStream::connect(agent.tunnel[0]).await.is_err());
}

#[tokio::test]
async fn told_to_stop_at_once_it_does() {
    let agent = Agent::start().await;
    let (mut client, mut console) = agent.open(&wanted(agent.mint(Policy::Once).await)).await;
    let _idle = agent.dial(&agent.edge("edge-1")).await.unwrap();
    let _mute = TcpStream::connect(agent.tunnel[0]).await.unwrap();
    agent.shutdown.soft.cancel();
    agent.shutdown.hard.cancel();
    timeout(PATIENCE, agent.served).await.unwrap().unwrap();
    assert!(!matches!(timeout(PATIENCE, client.next()).await.unwrap(), Some(Ok(_))));
    let mut rest = Vec::new();
    let _end = timeout(PATIENCE, console.read_to_end(&mut rest)).await.unwrap();
    assert!(agent.services.sessions.is_empty());
}
