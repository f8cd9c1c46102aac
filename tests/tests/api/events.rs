//! What happens, as it is told.

use http::Method;
use porthole_tests::agent::Minted;
use porthole_tests::wait::{PATIENCE, within};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::{Caller, NAME, Served};

/// A listener at `/v1/events`.
struct Listener(BufReader<TlsStream<TcpStream>>);

/// What it hears: id, sort, data.
type Heard = (String, String, Value);

impl Listener {
    async fn at(served: &Served, caller: &Caller, after: Option<&str>) -> Self {
        let mut stream = served.connect(caller).await.unwrap();
        let token = caller.bearer.as_ref().map(|token| format!("authorization: Bearer {token}\r\n"));
        let after = after.map(|id| format!("last-event-id: {id}\r\n"));
        let fields = format!("{}{}", token.unwrap_or_default(), after.unwrap_or_default());
        let head = format!("GET /v1/events HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut listener = Self(BufReader::new(stream));
        assert_eq!(listener.line().await, "HTTP/1.1 200 OK");
        while !listener.line().await.is_empty() {}
        listener
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        within(PATIENCE, "a line", self.0.read_line(&mut line)).await.unwrap();
        line.trim_end().to_owned()
    }

    /// The next event; what frames chunks (their lengths) is none of its fields.
    async fn next(&mut self) -> Heard {
        let (mut id, mut sort) = (String::new(), String::new());
        loop {
            let line = self.line().await;
            match line.split_once(": ") {
                Some(("id", text)) => text.clone_into(&mut id),
                Some(("event", text)) => text.clone_into(&mut sort),
                Some(("data", text)) => return (id, sort, serde_json::from_str(text).unwrap()),
                _ => {}
            }
        }
    }
}

async fn mint(served: &Served, caller: &Caller, policy: &str) -> Minted {
    let wanted = json!({"console": NAME, "policy": policy});
    serde_json::from_value(served.ask(caller, Method::POST, "/v1/tokens", Some(&wanted)).await.json).unwrap()
}

#[tokio::test]
async fn sessions_and_refusals_are_told_to_those_whom_they_concern() {
    let served = Served::start().await;
    let (alice, _) = served.token("alice", "minter").await;
    let bob = served.known("minter");
    let mut all = Listener::at(&served, &served.known("operator"), None).await;
    let mut hers = Listener::at(&served, &alice, None).await;
    let (his_link, her_link) = (mint(&served, &bob, "once").await, mint(&served, &alice, "once").await);

    let mut viewer = served.stack.upgrade(&his_link).open().await;
    viewer.binary().await;
    let (_, sort, started) = all.next().await;
    assert_eq!((sort.as_str(), &started["token_id"]), ("session_started", &json!(his_link.id)));
    assert_eq!((&started["name"], &started["minted_by"]), (&json!(NAME), &json!("certificate:minter.example.org")));
    let refused = served.stack.upgrade(&his_link).send().await.unwrap().refusal();
    assert_eq!(refused, (403, "used".to_owned()));
    viewer.close().await;
    let (mut sorts, mut first_id) = (Vec::new(), String::new());
    for _ in 0..2 {
        let (id, sort, data) = all.next().await;
        assert_eq!(data["edge"], "edge-1");
        if sort == "session_ended" {
            assert_eq!((&data["session"], &data["reason"]), (&started["session"], &json!("client_closed")));
        } else {
            assert_eq!(data["reason"], "used");
        }
        sorts.push(sort);
        first_id = if first_id.is_empty() { id } else { first_id };
    }
    sorts.sort();
    assert_eq!(sorts, ["refused", "session_ended"]);

    let viewer = served.stack.upgrade(&her_link).open().await;
    let (_, sort, data) = hers.next().await;
    assert_eq!(
        (sort.as_str(), &data["token_id"]),
        ("session_started", &json!(her_link.id)),
        "hers is the first she hears of"
    );
    drop(viewer);
    assert_eq!(hers.next().await.1, "session_ended");

    // Who was cut off goes on where it was; a place that nobody knows is told to be none.
    let mut later = Listener::at(&served, &served.known("operator"), Some(&first_id)).await;
    let rest = [later.next().await.1, later.next().await.1, later.next().await.1];
    assert!(rest[0] != "gap" && rest[1..] == ["session_started", "session_ended"], "{rest:?}");
    let mut lost = Listener::at(&served, &served.known("operator"), Some("0123456789abcdef-7")).await;
    assert_eq!(lost.next().await.1, "gap");
}

#[tokio::test]
async fn listeners_do_not_keep_an_agent_from_stopping() {
    let mut served = Served::start().await;
    let mut listener = Listener::at(&served, &served.known("admin"), None).await;
    assert!(served.stack.agent.stop().await.success());
    while !listener.line().await.is_empty() {}
}

#[tokio::test]
async fn who_is_not_good_any_more_hears_nothing_more() {
    let served = Served::start().await;
    let (ops, id) = served.token("ops", "operator").await;
    let mut listener = Listener::at(&served, &ops, None).await;
    assert_eq!(served.ask_locally(Method::DELETE, &format!("/v1/api-tokens/{id}"), None).await.status, 204);
    // Its credential is looked at now and then.
    assert_eq!(listener.next().await.1, "cut");
}
