//! Every refusal that the edge makes itself, and those that it passes on.

use porthole_shared::clock::{Clock as _, SystemClock};
use porthole_shared::names::NodeId;
use porthole_shared::reason::Reason;
use porthole_shared::token::{Claims, SigningKey};

use crate::support::{Behaviour, Client, Edge, Setup, WEBSOCKET, upgrade};

/// The upgrade is refused with this reason, without a byte behind the head, and the connection ends.
async fn refused(edge: &Edge, request: &str, reason: Reason) {
    let mut client = Client::connect(edge).await;
    let answer = client.ask(request).await;
    assert_eq!(answer.field("x-porthole-reason"), Some(reason.code()), "{request}\n{answer:?}");
    assert_eq!(answer.status, reason.status().as_u16());
    assert_eq!(answer.field("content-length"), Some("0"));
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn what_is_wrong_with_the_request_itself() {
    let edge = Edge::start(Setup::default()).await;
    let good = edge.target();
    for (target, more, reason) in [
        ("/", "", Reason::MissingToken),
        ("/?token=a.b.c", "", Reason::BadSignature),
        ("/?token=a&token=b", "", Reason::TokenConflict),
        (&*good, "Sec-WebSocket-Version: 13\r\n", Reason::BadRequest),
        (&*good, "Sec-WebSocket-Protocol: porthole.bind.short\r\n", Reason::BadRequest),
        (&*good, "Content-Length: 4\r\n", Reason::BadRequest),
        (&*good, "Host: other.example\r\n", Reason::BadRequest),
        (&*good, "Origin: \r\n", Reason::OriginRefused),
        (&*good, "Origin: null\r\n", Reason::OriginRefused),
        (&*good, "Origin: https://evil.example\r\n", Reason::OriginRefused),
        (&*good, "Origin: http://edge.example\r\n", Reason::OriginRefused),
    ] {
        refused(&edge, &upgrade(target, more), reason).await;
    }
    refused(&edge, &format!("POST {good} HTTP/1.1\r\nHost: a\r\n{WEBSOCKET}\r\n"), Reason::BadRequest).await;
    refused(&edge, &format!("GET {good} HTTP/1.1\r\n{WEBSOCKET}\r\n"), Reason::BadRequest).await;
    let version = upgrade(&good, "").replace("Version: 13", "Version: 8");
    let mut client = Client::connect(&edge).await;
    assert_eq!(client.ask(&version).await.field("sec-websocket-version"), Some("13"));
    edge.agent.seen(|seen| assert!(seen.consoles.is_empty(), "the agent was bothered"));
}

#[tokio::test]
async fn what_is_wrong_with_the_token() {
    let edge = Edge::start(Setup::default()).await;
    let now = SystemClock.now();
    let target = |claims: &Claims, key: &SigningKey| format!("/?token={}", key.sign(claims).unwrap().expose());
    let (other, _pkcs8) = SigningKey::generate().unwrap();
    let good = edge.agent.claims(now);
    let foreign = Claims { node: "ffff0000".parse::<NodeId>().unwrap(), ..good.clone() };
    let old = edge.agent.claims(now.plus(-700));
    refused(&edge, &upgrade(&target(&good, &other), ""), Reason::BadSignature).await;
    refused(&edge, &upgrade(&target(&foreign, &edge.agent.key), ""), Reason::UnknownNode).await;
    refused(&edge, &upgrade(&target(&old, &edge.agent.key), ""), Reason::Expired).await;
    edge.agent.seen(|seen| assert!(seen.consoles.is_empty(), "the agent was bothered"));

    // With a binding it may be a reconnection: the agent decides.
    let binding = format!("Sec-WebSocket-Protocol: porthole.bind.{}\r\n", "A".repeat(43));
    let mut client = Client::connect(&edge).await;
    assert_eq!(client.ask(&upgrade(&target(&old, &edge.agent.key), &binding)).await.status, 101);
}

#[tokio::test]
async fn what_the_agent_says_is_passed_on_as_a_code_only() {
    let edge = Edge::start(Setup::default()).await;
    for reason in [Reason::Used, Reason::NotRunning, Reason::InUse, Reason::WrongNode, Reason::Full] {
        edge.agent.behave(Behaviour::Refuse(reason));
        refused(&edge, &upgrade(&edge.target(), ""), reason).await;
    }
}

#[tokio::test]
async fn an_allowed_origin_is_let_in() {
    let edge = Edge::start(Setup { public: "allowed_origins = ['dashboard.example']", ..Setup::default() }).await;
    let mut client = Client::connect(&edge).await;
    let answer = client.ask(&upgrade(&edge.target(), "Origin: https://Dashboard.example:99\r\n")).await;
    assert_eq!(answer.status, 101);
}

#[tokio::test]
async fn a_question_about_a_token_is_answered_without_redeeming_it() {
    let edge = Edge::start(Setup::default()).await;
    let ask = async |body: String, more: &str| {
        let mut client = Client::connect(&edge).await;
        let length = body.len();
        let head =
            format!("POST /api/console HTTP/1.1\r\nHost: edge.example\r\nContent-Length: {length}\r\n{more}\r\n");
        let answer = client.ask(&format!("{head}{body}")).await;
        assert_eq!(answer.field("cache-control"), Some("no-store"));
        let value: serde_json::Value = serde_json::from_str(&client.body(&answer).await).unwrap();
        (answer.status, value)
    };
    let good = serde_json::json!({"token": edge.agent.token().expose()}).to_string();
    let (status, value) = ask(good.clone(), "Origin: https://edge.example\r\n").await;
    assert_eq!((status, &value["kind"], &value["name"]), (200, &"vnc".into(), &"<guest> & co".into()));
    assert_eq!(value["read_only"], true);
    assert!(value["redeem_by"].as_str().unwrap().ends_with('Z') && value["expires"].as_str().unwrap().ends_with('Z'));
    edge.agent.seen(|seen| assert!(seen.consoles.is_empty(), "the token was redeemed"));

    for (body, more, reason) in [
        (good.clone(), "Origin: https://evil.example\r\n", Reason::OriginRefused),
        ("{}".to_owned(), "", Reason::MissingToken),
        ("not json".to_owned(), "", Reason::BadRequest),
        ("{\"token\":\"a.b.c\"}".to_owned(), "", Reason::BadSignature),
        (format!("{{\"token\":\"{}\"}}", "a".repeat(5000)), "", Reason::BadRequest),
    ] {
        let (status, value) = ask(body, more).await;
        assert_eq!((status, &value["reason"]), (reason.status().as_u16(), &reason.code().into()), "{value}");
        assert_eq!((&value["words"], &value["next_step"]), (&reason.words().into(), &reason.next_step().into()));
    }
    edge.agent.behave(Behaviour::Refuse(Reason::Revoked));
    assert_eq!(ask(good, "").await.1["reason"], "revoked");
}
