//! A mint that is asked for again under one `Idempotency-Key` is not done again.

use http::Method;
use serde_json::json;

use crate::support::{NAME, Served};

#[tokio::test]
async fn a_key_makes_one_token() {
    let served = Served::start().await;
    let (alice, _) = served.token("alice", "minter").await;
    let (key, wanted) = ([("idempotency-key", "order-17")], json!({"console": NAME}));
    let mint = async |caller, body| served.ask_with(caller, Method::POST, "/v1/tokens", Some(body), &key).await;
    let first = mint(&alice, &wanted).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None));
    let again = mint(&alice, &wanted).await;
    assert_eq!((again.status, &again.json), (201, &first.json));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let shorter = json!({"console": NAME, "ttl": 60});
    let other = mint(&alice, &shorter).await;
    assert_eq!(other.refusal(), (422, "idempotency_key_mismatch"));

    let bob = served.known("minter");
    let his = mint(&bob, &wanted).await;
    assert!(his.status == 201 && his.json["id"] != first.json["id"], "keys are each caller's own");
    let all = served.ask(&alice, Method::GET, "/v1/tokens", None).await;
    assert_eq!(all.json["tokens"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn of_many_at_once_one_is_made() {
    let served = Served::start().await;
    let caller = served.known("minter");
    let (key, wanted) = ([("idempotency-key", "race")], json!({"console": NAME}));
    let asked = (0..8).map(|_| served.ask_with(&caller, Method::POST, "/v1/tokens", Some(&wanted), &key));
    for reply in futures_util::future::join_all(asked).await {
        let in_progress = reply.refusal() == (409, "idempotency_key_in_progress");
        assert!(reply.status == 201 || in_progress, "{}", reply.json);
    }
    let all = served.ask(&caller, Method::GET, "/v1/tokens", None).await;
    assert_eq!(all.json["tokens"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_refused_may_be_asked_for_again() {
    let served = Served::start().await;
    let caller = served.known("minter");
    let key = [("idempotency-key", "k")];
    let mint = async |body| served.ask_with(&caller, Method::POST, "/v1/tokens", Some(&body), &key).await;
    assert_eq!(mint(json!({"console": "nobody"})).await.refusal(), (404, "no_such_console"));
    assert_eq!(mint(json!({"console": NAME})).await.status, 201);
    for bad in ["", &"x".repeat(256)] {
        let key = [("idempotency-key", bad)];
        let reply = served.ask_with(&caller, Method::POST, "/v1/tokens", Some(&json!({"console": NAME})), &key).await;
        assert_eq!(reply.refusal(), (400, "bad_request"));
    }
}
