//! What a caller sends is bounded, and lists come in pieces.

use http::Method;
use porthole_tests::wait::{PATIENCE, within};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::support::{Caller, NAME, Served};

/// How a request is answered that announces a body of so many bytes, and sends none of them.
async fn status_of_announced(served: &Served, caller: &Caller, length: usize) -> String {
    let mut stream = BufReader::new(served.connect(caller).await.unwrap());
    let head = format!(
        "POST /v1/tokens HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut line = String::new();
    within(PATIENCE, "an answer", stream.read_line(&mut line)).await.unwrap();
    line.trim_end().to_owned()
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused() {
    let served = Served::start().await;
    let caller = served.known("minter");
    // Nobody waits for what will not be read.
    assert_eq!(status_of_announced(&served, &caller, 1_000_000).await, "HTTP/1.1 413 Payload Too Large");
    assert_eq!(status_of_announced(&served, &Caller::default(), 1_000_000).await, "HTTP/1.1 401 Unauthorized");
    let other = [("content-type", "text/plain")];
    let reply = served.ask_with(&caller, Method::POST, "/v1/tokens", None, &other).await;
    assert_eq!(reply.refusal(), (415, "unsupported_media_type"));
    for (body, words) in [
        (json!({"console": NAME, "colour": 1}), "colour"),
        (json!({"console": NAME, "ttl": -1}), "`-1`"),
        (json!([]), "the body"),
        (json!({}), "console"),
    ] {
        let reply = served.ask(&caller, Method::POST, "/v1/tokens", Some(&body)).await;
        assert_eq!(reply.refusal(), (400, "bad_request"), "{body}");
        assert!(reply.json["detail"].as_str().unwrap().contains(words), "{body}: {}", reply.json);
    }
}

#[tokio::test]
async fn lists_come_in_pieces_that_make_up_the_whole() {
    let served = Served::start().await;
    let (caller, _) = served.token("alice", "minter").await;
    let mut minted = Vec::new();
    for _ in 0..5 {
        let reply = served.ask(&caller, Method::POST, "/v1/tokens", Some(&json!({"console": NAME}))).await;
        minted.push(reply.json["id"].as_str().unwrap().to_owned());
    }
    minted.sort();
    let (mut all, mut path, mut pieces) = (Vec::new(), "/v1/tokens?limit=2".to_owned(), 0);
    loop {
        let reply = served.ask(&caller, Method::GET, &path, None).await;
        assert_eq!(reply.status, 200, "{}", reply.json);
        let ids = reply.json["tokens"].as_array().unwrap().iter().map(|token| token["id"].as_str().unwrap().to_owned());
        all.extend(ids);
        pieces += 1;
        match &reply.json["next"] {
            Value::String(next) => path = format!("/v1/tokens?limit=2&after={next}"),
            _ => break,
        }
    }
    assert_eq!((all, pieces), (minted, 3));
    for list in ["consoles", "external-consoles", "tokens", "sessions", "api-tokens"] {
        for query in ["limit=0", "limit=1001", "limit=x", "after=x", "lmit=1"] {
            let reply = served.ask_locally(Method::GET, &format!("/v1/{list}?{query}"), None).await;
            assert_eq!(reply.refusal(), (400, "bad_request"), "{list}?{query}: {}", reply.json);
        }
    }
}
