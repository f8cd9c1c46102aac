//! Links and sessions ended together.

use porthole_tests::agent::Mint;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use serde_json::json;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::support::{closed, porthole, refusal};

#[tokio::test]
async fn links_and_sessions_are_ended_by_console_or_requestor() {
    let console = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (one, two, address) = (Uuid::new_v4(), Uuid::new_v4(), console.local_addr().unwrap());
    let stack = Stack::builder()
        .agent(move |agent| agent.external(one, "one", "tcp", address).external(two, "two", "tcp", address))
        .start()
        .await;
    let agent = &stack.agent;
    let mint = async |console: &str, who: &str| stack.mint(Mint::of(console).field("requestor", who)).await;
    let (alice, unused, bob) = (mint("one", "alice").await, mint("two", "alice").await, mint("two", "bob").await);
    let kept = mint("one", "carol").await;
    let mut of_alice = stack.upgrade(&alice).open().await;
    let mut of_bob = stack.upgrade(&bob).open().await;
    let mut of_carol = stack.upgrade(&kept).open().await;

    let listed = porthole(agent, &["tokens", "list", "--requestor", "alice"]).await;
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 1, "hers that is used once is used up: {listed}");
    assert_eq!(listed["tokens"][0]["id"], json!(unused.id));
    let listed = porthole(agent, &["sessions", "--console", "two"]).await;
    assert_eq!((listed["sessions"].as_array().unwrap().len(), &listed["sessions"][0]["requestor"]), (1, &json!("bob")));
    let listed = porthole(agent, &["sessions", "--client", "127.0.0.1"]).await;
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 3);

    let ended = porthole(agent, &["tokens", "revoke", "--requestor", "alice"]).await;
    assert_eq!(ended, json!({"tokens": 2, "connections": 1}));
    assert_eq!(of_alice.closed().await, closed(4403, "revoked"));
    assert_eq!(refusal(&stack, &unused).await, (403, "revoked".to_owned()));

    let ended = porthole(agent, &["tokens", "revoke", "--console", &one.to_string(), "--keep-sessions"]).await;
    assert_eq!(ended, json!({"tokens": 1, "connections": 0}));
    let ended = porthole(agent, &["sessions", "kill", "--console", "two"]).await;
    assert_eq!(ended, json!({"tokens": 1, "connections": 1}));
    assert_eq!(of_bob.closed().await, closed(4413, "killed"));
    eventually(PATIENCE, "one session", async || agent.sessions().await.len() == 1).await;
    let ended = porthole(agent, &["sessions", "kill", "--requestor", "carol"]).await;
    assert_eq!(ended, json!({"tokens": 0, "connections": 1}));
    assert_eq!(of_carol.closed().await, closed(4413, "killed"));

    let all = porthole(agent, &["tokens", "list", "--all"]).await;
    assert!(all["tokens"].as_array().unwrap().iter().all(|token| token["void_reason"] == "revoked"), "{all}");
    assert_eq!(porthole(agent, &["tokens", "list"]).await, json!({"tokens": []}));
}
