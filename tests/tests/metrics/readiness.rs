//! Who asks a daemon how it is hears what is wrong.

use http::Method;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use serde_json::Value;
use uuid::Uuid;

use crate::support::{self, agent_ready, echo, edge_ready, stack};

#[tokio::test]
async fn an_agent_says_that_libvirt_is_away_and_that_it_is_back() {
    let libvirt = PrivateLibvirt::start().await;
    let stack = Stack::on(&libvirt).await;
    assert_eq!(agent_ready(&stack.agent).await, (200, "ready\n".to_owned()));
    let connected = async || support::agent(&stack.agent).await.get("porthole_agent_libvirt_connected");
    assert_eq!(connected().await, Some(1.0));
    stack.agent.consoles().await;
    let quick = support::agent(&stack.agent).await.get("porthole_agent_libvirt_calls_waiting{lane=\"quick\"}");
    assert_eq!(quick, Some(0.0));

    // Who waits for a libvirtd that hangs is seen to wait.
    let running =
        async || support::agent(&stack.agent).await.get("porthole_agent_libvirt_calls_running{lane=\"quick\"}");
    // A call counts until its thread is back, a moment after its answer.
    eventually(PATIENCE, "no call under way", async || running().await == Some(0.0)).await;
    libvirt.pause_daemon();
    let (answer, ()) = tokio::join!(stack.agent.api(Method::GET, "/v1/consoles", None), async {
        eventually(PATIENCE, "a call under way", async || running().await == Some(1.0)).await;
        libvirt.resume_daemon();
    });
    assert_eq!(answer.unwrap().0, 200);
    eventually(PATIENCE, "the call to have returned", async || running().await == Some(0.0)).await;

    libvirt.stop_daemon().await;
    eventually(PATIENCE, "the agent to notice", async || agent_ready(&stack.agent).await.0 == 503).await;
    let (_, words) = agent_ready(&stack.agent).await;
    assert!(words.starts_with("not ready\nlibvirt has not been connected for "), "{words}");
    assert_eq!(connected().await, Some(0.0));
    let alive = support::words(&stack.agent.admin_fetch("/healthz").await.unwrap());
    assert_eq!(alive, (200, "alive\n".to_owned()));

    libvirt.start_daemon().await;
    eventually(PATIENCE, "libvirt to be back", async || agent_ready(&stack.agent).await == (200, "ready\n".to_owned()))
        .await;
    assert_eq!(connected().await, Some(1.0));
}

#[tokio::test]
async fn an_agent_with_other_consoles_is_of_use_without_libvirt() {
    let libvirt = PrivateLibvirt::start().await;
    let console = echo().await;
    let builder = Stack::builder().libvirt(&libvirt);
    let stack = builder.agent(move |agent| agent.external(Uuid::new_v4(), "bmc", "tcp", console)).start().await;
    libvirt.stop_daemon().await;
    eventually(PATIENCE, "the agent to notice", async || agent_ready(&stack.agent).await.1 != "ready\n").await;
    let (status, words) = agent_ready(&stack.agent).await;
    assert!(status == 200 && words.starts_with("degraded\nlibvirt has not been connected"), "{status} {words}");
    stack.open("bmc").await.close().await;
}

#[tokio::test]
async fn an_edge_without_nodes_is_not_ready_and_programs_read_json() {
    let stack = stack(echo().await).start().await;
    assert_eq!(edge_ready(&stack.edge).await, (200, "ready\n".to_owned()));
    stack.edge.write_nodes(&[]).unwrap();
    eventually(PATIENCE, "the edge to notice", async || edge_ready(&stack.edge).await.0 == 503).await;
    let (_, words) = edge_ready(&stack.edge).await;
    assert!(words.starts_with("not ready\nno node is known"), "{words}");
    stack.edge.write_nodes(&[(&stack.agent).into()]).unwrap();
    eventually(PATIENCE, "the edge to notice", async || edge_ready(&stack.edge).await.0 == 200).await;

    for admin in [stack.edge.admin(), stack.agent.admin()] {
        let stream = tokio::net::TcpStream::connect(admin).await.unwrap();
        let request = http::Request::builder().uri("/readyz").header("host", "x").header("accept", "application/json");
        let request = request.body(<_>::default()).unwrap();
        let answer = porthole_tests::http::exchange(stream, request).await.unwrap();
        let json: Value = serde_json::from_slice(answer.body()).unwrap();
        let expected = serde_json::json!({ "status": "ready", "problems": [], "warnings": [], "sessions": 0 });
        assert_eq!(json, expected);
    }
}
