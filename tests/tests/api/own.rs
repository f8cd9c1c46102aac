//! A minter sees and ends what it minted, and nothing else is there for it.

use http::Method;
use porthole_tests::agent::{Mint, Minted};
use porthole_tests::ws::{Closed, WsClient};
use serde_json::{Value, json};

use crate::support::{Caller, NAME, Served};

async fn mint(served: &Served, caller: &Caller, requestor: &str) -> Value {
    let wanted = json!({"console": NAME, "requestor": requestor, "policy": "reusable"});
    let reply = served.ask(caller, Method::POST, "/v1/tokens", Some(&wanted)).await;
    assert_eq!(reply.status, 201, "{}", reply.json);
    reply.json
}

async fn open(served: &Served, link: &Value) -> WsClient {
    let link: Minted = serde_json::from_value(link.clone()).unwrap();
    let mut client = served.stack.upgrade(&link).open().await;
    assert_eq!(client.binary().await, b"hello\r\n");
    client
}

/// The values of this field in a list.
async fn listed(served: &Served, caller: &Caller, list: &str, field: &str) -> Vec<String> {
    let reply = served.ask(caller, Method::GET, &format!("/v1/{list}"), None).await;
    let mut all: Vec<String> =
        reply.json[list].as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()).collect();
    all.sort();
    all
}

fn id(link: &Value) -> &str {
    link["id"].as_str().unwrap()
}

#[tokio::test]
async fn of_tokens() {
    let served = Served::start().await;
    let (alice, _) = served.token("alice", "minter").await;
    let (ops, _) = served.token("ops", "operator").await;
    let bob = served.known("minter");
    let (hers, his) = (mint(&served, &alice, "one").await, mint(&served, &bob, "one").await);
    let root = served.stack.agent.mint(Mint::of(NAME)).await;
    assert_eq!(listed(&served, &alice, "tokens", "id").await, [id(&hers)]);
    assert_eq!(listed(&served, &bob, "tokens", "minted_by").await, ["certificate:minter.example.org"]);
    assert_eq!(
        listed(&served, &ops, "tokens", "minted_by").await,
        ["certificate:minter.example.org", "token:alice", "uid:0"]
    );

    for other in [id(&his), &root.id] {
        let reply = served.ask(&alice, Method::DELETE, &format!("/v1/tokens/{other}"), None).await;
        assert_eq!(reply.refusal(), (404, "unknown_token"), "{other}");
    }
    // Both have the same requestor and console; each ends its own.
    let reply = served.ask(&alice, Method::DELETE, "/v1/tokens?requestor=one", None).await;
    assert_eq!((reply.status, &reply.json["tokens"]), (200, &json!(1)));
    let reply = served.ask(&alice, Method::DELETE, &format!("/v1/tokens?console={NAME}"), None).await;
    assert_eq!(reply.json["tokens"], 0);
    assert_eq!(listed(&served, &ops, "tokens", "minted_by").await, ["certificate:minter.example.org", "uid:0"]);
    assert_eq!(served.ask(&bob, Method::DELETE, &format!("/v1/tokens/{}", id(&his)), None).await.status, 204);
    assert_eq!(served.ask(&ops, Method::DELETE, &format!("/v1/tokens/{}", root.id), None).await.status, 204);
    assert!(listed(&served, &ops, "tokens", "id").await.is_empty());
}

#[tokio::test]
async fn of_sessions() {
    let served = Served::start().await;
    let (alice, _) = served.token("alice", "minter").await;
    let (bob, _) = served.token("bob", "minter").await;
    let (hers, his) = (mint(&served, &alice, "one").await, mint(&served, &bob, "one").await);
    let (mut her_viewer, mut his_viewer) = (open(&served, &hers).await, open(&served, &his).await);
    assert_eq!(listed(&served, &alice, "sessions", "token_id").await, [id(&hers)]);
    assert_eq!(listed(&served, &served.known("operator"), "sessions", "token_id").await.len(), 2);
    let [his_session] = &listed(&served, &bob, "sessions", "id").await[..] else { panic!("one") };

    let reply = served.ask(&alice, Method::DELETE, &format!("/v1/sessions/{his_session}"), None).await;
    assert_eq!(reply.refusal(), (404, "no_such_session"));
    let reply = served.ask(&alice, Method::DELETE, &format!("/v1/sessions?console={NAME}"), None).await;
    assert_eq!((&reply.json["connections"], &reply.json["tokens"]), (&json!(1), &json!(1)));
    let killed = Closed { code: Some(4413), reason: "killed".to_owned() };
    assert_eq!(her_viewer.closed().await, killed);
    assert_eq!(listed(&served, &bob, "sessions", "id").await.len(), 1);
    assert_eq!(served.ask(&bob, Method::DELETE, &format!("/v1/sessions/{his_session}"), None).await.status, 204);
    assert_eq!(his_viewer.closed().await, killed);
}

#[tokio::test]
async fn whose_token_is_replaced_keeps_what_it_minted() {
    let served = Served::start().await;
    let (old, old_id) = served.token("dashboard", "minter").await;
    let link = mint(&served, &old, "one").await;
    let (new, _) = served.token("dashboard", "minter").await;
    served.ask_locally(Method::DELETE, &format!("/v1/api-tokens/{old_id}"), None).await;
    assert_eq!(listed(&served, &new, "tokens", "id").await, [id(&link)]);
    assert_eq!(served.ask(&new, Method::DELETE, &format!("/v1/tokens/{}", id(&link)), None).await.status, 204);
}
