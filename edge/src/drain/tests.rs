use super::*;
use crate::dial::fixture::{FakeAgent, Pki, Reply, json, nobody, node};
use tokio::time::Instant;

#[tokio::test]
async fn every_agent_is_told_once_and_a_dead_or_slow_one_delays_nobody() {
    let pki = Pki::new();
    let mut agents = Vec::new();
    for number in 0..5 {
        agents.push(FakeAgent::start(&pki, &format!("n{number}"), |_| Reply::Text(json(r#"{"closed":3}"#))).await);
    }
    let slow = FakeAgent::start(&pki, "slow", |_| Reply::Silence).await;
    let mut nodes: Vec<Node> = agents.iter().map(|agent| agent.node.clone()).collect();
    nodes.push(node("dead", nobody().await));
    nodes.push(slow.node.clone());
    let (instance, start) = (EdgeInstance::random(), Instant::now());
    let told = drain(&pki.dialer(), nodes, instance).await;
    assert_eq!(told, Told { agents: 5, unreached: 2, closing: 15 });
    assert!(start.elapsed() < EACH * 2, "{:?}", start.elapsed());
    for agent in &agents {
        let requests = agent.requests.lock().unwrap();
        let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /tunnel/v1/drain HTTP/1.1\r\n") && head.contains("application/json"), "{head}");
        assert_eq!((body, requests.len()), (format!("{{\"instance\":\"{instance}\"}}").as_str(), 1));
    }
}

#[test]
fn some_hundred_dead_agents_leave_most_of_the_deadline_to_the_others() {
    let turns = u32::try_from(300_usize.div_ceil(AT_ONCE)).unwrap();
    assert!(EACH * turns <= crate::config::Drain::default().deadline.get() / 2);
}

#[tokio::test]
async fn nobody_is_told_where_nobody_is() {
    assert_eq!(drain(&Pki::new().dialer(), Vec::new(), EdgeInstance::random()).await, Told::default());
}
