//! The other addresses, and what bounds any request.

use super::*;
use porthole_shared::token::{KeySet, verify};
use porthole_shared::tunnel::{DRAIN_PATH, Drain, Drained, INSPECT_PATH, Inspection, JWKS_PATH};

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let agent = Agent::start().await;
    let token = agent.mint(Policy::Once).await;
    let mut edge = agent.connect().await;

    let response = send(&mut edge, request("GET", JWKS_PATH, HeaderMap::new(), "")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/json");
    let keys = KeySet::parse(&body(response).await).unwrap();
    verify(&token, &keys).unwrap();

    let mut headers = HeaderMap::new();
    wanted(token.clone()).presented.write(&mut headers);
    for _ in 0..2 {
        // Looking uses nothing up.
        let response = send(&mut edge, request("POST", INSPECT_PATH, headers.clone(), "")).await;
        assert_eq!(response.status(), StatusCode::OK);
        let told: Inspection = serde_json::from_slice(&body(response).await).unwrap();
        assert_eq!((told.name.as_str(), told.kind.as_str()), ("bmc", "vnc"));
    }
    headers.remove("authorization");
    assert_refused(send(&mut edge, request("POST", INSPECT_PATH, headers, "")).await, Reason::BadRequest).await;

    assert_refused(send(&mut edge, request("GET", "/v1/status", HeaderMap::new(), "")).await, Reason::NoSuchPage).await;
    assert_refused(send(&mut edge, request("GET", "/tunnel/v2/jwks", HeaderMap::new(), "")).await, Reason::NoSuchPage)
        .await;
    for (method, path, allowed) in [
        ("POST", JWKS_PATH, "GET"),
        ("HEAD", JWKS_PATH, "GET"),
        ("POST", CONSOLE_PATH, "GET"),
        ("GET", INSPECT_PATH, "POST"),
        ("GET", DRAIN_PATH, "POST"),
    ] {
        let response = send(&mut edge, request(method, path, HeaderMap::new(), "")).await;
        assert_eq!(response.headers()["allow"], allowed, "{method} {path}");
        assert_refused(response, Reason::MethodNotAllowed).await;
    }
    agent.stop().await;
}

#[tokio::test]
async fn an_edge_that_drains_takes_its_own_sessions_with_it_only() {
    let agent = Agent::start().await;
    let (mine, theirs) = (wanted(agent.mint(Policy::Once).await), wanted(agent.mint(Policy::Once).await));
    let (my_client, _console) = agent.open(&mine).await;
    let (mut their_client, mut their_console) = agent.open(&theirs).await;

    let mut edge = agent.connect().await;
    let drain = serde_json::to_vec(&Drain { instance: mine.presented.client.edge_instance }).unwrap();
    let mut other = speak(agent.dial(&agent.edge("edge-2")).await.unwrap()).await;
    let response = send(&mut other, request("POST", DRAIN_PATH, HeaderMap::new(), drain.clone())).await;
    assert_eq!(serde_json::from_slice::<Drained>(&body(response).await).unwrap(), Drained { closed: 0 });
    let response = send(&mut edge, request("POST", DRAIN_PATH, HeaderMap::new(), drain)).await;
    assert_eq!(serde_json::from_slice::<Drained>(&body(response).await).unwrap(), Drained { closed: 1 });
    let frame = farewell(my_client).await;
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1012, "edge_draining"));

    their_console.write_all(b"still here").await.unwrap();
    assert_eq!(next(&mut their_client).await, Message::binary(&b"still here"[..]));
    for nonsense in ["", "{}", "{\"instance\": 7}", "[]"] {
        let response = send(&mut edge, request("POST", DRAIN_PATH, HeaderMap::new(), nonsense)).await;
        assert_refused(response, Reason::BadRequest).await;
    }
    agent.stop().await;
}

#[tokio::test]
async fn what_a_peer_sends_is_bounded() {
    let agent = Agent::start().await;
    let configs = agent.edge("edge-1");
    let many_fields = "x: y\r\n".repeat(100);
    let long_field = format!("x: {}\r\n", "y".repeat(32 * 1024));
    for head in [many_fields, long_field] {
        let mut tls = agent.dial(&configs).await.unwrap();
        let text = format!("GET {JWKS_PATH} HTTP/1.1\r\n{head}\r\n");
        // It may be hung up on before it has said all of that.
        let _sent = tls.write_all(text.as_bytes()).await;
        let mut answer = Vec::new();
        let _end = timeout(PATIENCE, tls.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    let mut edge = agent.connect().await;
    let large = vec![b' '; porthole_shared::tunnel::MAX_BODY_BYTES + 1];
    let response = send(&mut edge, request("POST", DRAIN_PATH, HeaderMap::new(), large)).await;
    assert_refused(response, Reason::BadRequest).await;
    agent.stop().await;
}
