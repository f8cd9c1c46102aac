//! What these tests share.

use http::Method;
use porthole_tests::agent::Agent;
use porthole_tests::command::porthole;
use serde_json::{Value, json};
use uuid::Uuid;

/// All that are not free, as the API tells, piece by piece.
pub(crate) async fn ports(agent: &Agent) -> Vec<Value> {
    let (mut all, mut path) = (Vec::new(), "/v1/ports?limit=500".to_owned());
    loop {
        let (status, piece) = agent.api(Method::GET, &path, None).await.expect("an answer");
        assert_eq!(status, 200, "{piece}");
        all.extend(piece["ports"].as_array().expect("a list").iter().cloned());
        let Some(next) = piece["next"].as_str() else { return all };
        path = format!("/v1/ports?limit=500&after={next}");
    }
}

/// Those of a domain: port, device, state.
pub(crate) async fn ports_of(agent: &Agent, domain: Uuid) -> Vec<(u64, String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let all = ports(agent).await;
    let own = all.iter().filter(|port| port["owner"]["domain"] == domain.to_string());
    own.map(|port| (port["port"].as_u64().expect("a number"), text(&port["owner"]["device"]), text(&port["state"])))
        .collect()
}

/// Asks for ports: status and answer.
pub(crate) async fn allocate(agent: &Agent, domain: Uuid, devices: &[&str]) -> (u16, Value) {
    let wanted = json!({"domain": domain, "devices": devices});
    let (status, answer) = agent.api(Method::POST, "/v1/ports", Some(&wanted)).await.expect("an answer");
    (status.as_u16(), answer)
}

/// What `porthole ports` prints.
pub(crate) async fn porthole_ports(agent: &Agent) -> String {
    porthole(agent, &["ports"]).await.ok()
}
