use std::path::{Path, PathBuf};

use axum::extract::{Path as PathOf, Query, State};
use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1 as client;
use porthole_shared::names::{SessionId, TokenId};
use porthole_shared::reason::Reason;
use porthole_shared::token::Token;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::fixture::Fixture;
use crate::tunnel::Tunnel;

/// A core with its API served on a socket.
struct Served {
    fixture: Fixture,
    path: PathBuf,
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<Result<(), Infallible>>,
}

impl Served {
    async fn new() -> Self {
        let fixture = Fixture::new().await;
        let path = fixture.dir.path().join("agent.sock");
        let api = api(&fixture);
        let socket = Socket::bind(&Config { socket: path.clone(), group: None }).unwrap();
        let shutdown = Shutdown::default();
        let task = tokio::spawn(run(socket, api, shutdown.clone()));
        Self { fixture, path, shutdown, task }
    }

    /// Asks, and checks the form that every answer has.
    async fn ask(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        let stream = UnixStream::connect(&self.path).await.unwrap();
        let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let body = Full::new(Bytes::from(body.to_owned()));
        let request = http::Request::builder().method(method).uri(path).header("host", "agent").body(body).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status();
        let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        connection.abort();
        if status == StatusCode::NO_CONTENT {
            assert_eq!((kind, body.len()), (None, 0));
            return (204, Value::Null);
        }
        assert!(!body.contains(&b'\n'), "one line");
        let json: Value = serde_json::from_slice(&body).unwrap();
        if status.is_success() {
            assert_eq!(kind.as_deref(), Some("application/json"));
        } else {
            assert_eq!(kind.as_deref(), Some("application/problem+json"));
            assert_eq!(json["status"], status.as_u16());
            assert!(json["detail"].as_str().unwrap().len() > 5 && json["title"].is_string());
        }
        (status.as_u16(), json)
    }
}

fn api(fixture: &Fixture) -> Api {
    let node: NodeName = "compute-1".parse().unwrap();
    Api {
        id: NodeId::derived_from(&node),
        node,
        trust: trust(fixture.dir.path()),
        consoles: fixture.consoles.clone(),
        tokens: fixture.tokens.clone(),
        sessions: fixture.sessions.clone(),
        audit: fixture.audit.clone(),
    }
}

fn trust(dir: &Path) -> Trust {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["compute-1".to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), signing_key.serialize_pem()).unwrap();
    let config = json!({"listen": ["127.0.0.1:0"], "certificate": dir.join("cert.pem"), "key": dir.join("key.pem"),
                        "ca": dir.join("cert.pem")});
    Tunnel::bind(&serde_json::from_value(config).unwrap()).unwrap().trust().clone()
}

#[tokio::test]
async fn a_token_is_made_used_seen_and_withdrawn() {
    let served = Served::new().await;
    let (status, minted) =
        served.ask(Method::POST, "/v1/tokens", r#"{"console": "bmc", "ttl": 60, "requestor": "alice"}"#).await;
    assert_eq!((status, &minted["kind"], &minted["policy"]), (201, &json!("vnc"), &json!("bound")));
    assert_eq!(minted["redeem_by"], "2027-01-15T08:01:00Z");
    assert_eq!((&minted["console"]["name"], &minted["console"]["source"]), (&json!("bmc"), &json!("external")));
    let text = minted["token"].as_str().unwrap();
    assert_eq!(minted["url"], format!("https://c.example.org/vnc.html?token={text}"));

    let token = Token::parse(text).unwrap();
    let connection = served.fixture.connect(&token, None).await.unwrap();
    connection.meter().counters.add_out(7);
    let (_, list) = served.ask(Method::GET, "/v1/sessions", "").await;
    let session = &list["sessions"][0];
    assert_eq!(session["token_id"], minted["id"]);
    assert_eq!((&session["requestor"], &session["name"]), (&json!("alice"), &json!("bmc")));
    assert_eq!((&session["bytes_out"], &session["connections"]), (&json!(7), &json!(1)));
    assert_eq!((&session["client_address"], &session["edge"]), (&json!("192.0.2.7:40000"), &json!("edge-1")));
    assert_eq!(session["started"], "2027-01-15T08:00:00Z");
    assert!(!list.to_string().contains(text));

    let path = format!("/v1/tokens/{}", minted["id"].as_str().unwrap());
    assert_eq!(served.ask(Method::DELETE, &path, "").await.0, 204);
    assert_eq!(connection.ended().await, Reason::Revoked);
    assert_eq!(served.fixture.redeem(&token, None).await.unwrap_err(), Reason::Revoked);
}

#[tokio::test]
async fn a_killed_session_does_not_come_back() {
    let served = Served::new().await;
    let token = served.fixture.mint(crate::tokens::Policy::Reusable).await.token;
    let connection = served.fixture.connect(&token, None).await.unwrap();
    let path = format!("/v1/sessions/{}", connection.session());
    assert_eq!(served.ask(Method::DELETE, &path, "").await.0, 204);
    assert_eq!(connection.ended().await, Reason::Killed);
    assert_eq!(served.fixture.redeem(&token, None).await.unwrap_err(), Reason::Revoked);
    connection.finish(Reason::Killed);
    let (status, problem) = served.ask(Method::DELETE, &path, "").await;
    assert_eq!((status, &problem["code"]), (404, &json!("no_such_session")));
}

#[tokio::test]
async fn a_session_is_killed_between_two_connections_too() {
    let served = Served::new().await;
    let token = served.fixture.mint(crate::tokens::Policy::Bound).await.token;
    let mine = porthole_shared::binding::BindingSecret::random().unwrap();
    let connection = served.fixture.connect(&token, Some(&mine)).await.unwrap();
    let path = format!("/v1/sessions/{}", connection.session());
    connection.finish(Reason::ClientGone);
    served.fixture.settle().await;

    assert_eq!(served.ask(Method::DELETE, &path, "").await.0, 204);
    assert_eq!(served.fixture.redeem(&token, Some(&mine)).await.unwrap_err(), Reason::Revoked);
    assert_eq!(served.ask(Method::DELETE, &path, "").await.0, 404, "nobody can continue it any more");
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_stop_a_withdrawal_half_way() {
    let fixture = Fixture::new().await;
    let api = api(&fixture);
    let mut connections = Vec::new();
    for _ in 0..2 {
        let minted = fixture.mint(crate::tokens::Policy::Once).await;
        connections.push((minted.id, fixture.connect(&minted.token, None).await.unwrap()));
    }
    let [(token, withdrawn), (_, killed)] = connections.try_into().unwrap();
    // What hyper does with a handler when its caller hangs up: it has begun, and is dropped.
    {
        let mut revoking = std::pin::pin!(tokens::revoke(
            State(api.clone()),
            PathOf(token.to_string()),
            Ok(Query(tokens::RevokeHow::default()))
        ));
        assert!(futures_util::poll!(revoking.as_mut()).is_pending());
        let mut killing = std::pin::pin!(sessions::kill(State(api), PathOf(killed.session().to_string())));
        assert!(futures_util::poll!(killing.as_mut()).is_pending());
    }
    for (connection, reason) in [(withdrawn, Reason::Revoked), (killed, Reason::Killed)] {
        let told = tokio::time::timeout(Duration::from_secs(5), connection.ended()).await;
        assert_eq!(told, Ok(reason));
    }
}

#[tokio::test]
async fn consoles_status_and_keys_are_shown() {
    let served = Served::new().await;
    let (_, list) = served.ask(Method::GET, "/v1/consoles", "").await;
    assert_eq!(
        list["consoles"][0],
        json!({"source": "external", "uuid": "00000000-0000-4000-8000-000000000001", "name": "bmc",
               "state": "unknown", "kinds": [{"kind": "vnc", "index": 0}]})
    );
    let (_, before) = served.ask(Method::GET, "/v1/status", "").await;
    assert_eq!(
        (&before["node"], &before["libvirt"], &before["sessions"]),
        (&json!("compute-1"), &json!("disabled"), &json!(0))
    );
    assert!(before["certificate_expires"].as_str().unwrap().ends_with('Z'));
    let (status, rotated) = served.ask(Method::POST, "/v1/signing-keys/rotate", "").await;
    let (_, after) = served.ask(Method::GET, "/v1/status", "").await;
    assert_eq!((status, &after["signing_key"]), (200, &rotated["kid"]));
    assert_ne!(after["signing_key"], before["signing_key"]);
}

#[tokio::test]
async fn every_refusal_is_a_problem_with_its_code() {
    let served = Served::new().await;
    let (token, session) =
        (format!("/v1/tokens/{}", TokenId::random()), format!("/v1/sessions/{}", SessionId::random()));
    let too_long = format!("{{\"console\": \"{}\"}}", "a".repeat(MAX_BODY_BYTES));
    for (method, path, body, status, code) in [
        (Method::POST, "/v1/tokens", r#"{"console": "nobody"}"#, 404, "no_such_console"),
        (Method::POST, "/v1/tokens", r#"{"console": "bmc", "kind": "spice-html5"}"#, 400, "no_such_kind"),
        (Method::POST, "/v1/tokens", r#"{"console": "bmc", "kind": "rdp"}"#, 400, "bad_request"),
        (Method::POST, "/v1/tokens", r#"{"console": "bmc", "policy": "twice"}"#, 400, "bad_request"),
        (Method::POST, "/v1/tokens", r#"{"console": "bmc", "ttl": 100000}"#, 400, "bad_request"),
        (Method::POST, "/v1/tokens", r#"{"console": "bmc", "ttl": -1}"#, 400, "bad_request"),
        (Method::POST, "/v1/tokens", r#"{"console": "bmc", "tll": 60}"#, 400, "bad_request"),
        (Method::POST, "/v1/tokens", r#"{"console": "raw"}"#, 409, "no_base_url"),
        (Method::POST, "/v1/tokens", "", 400, "bad_request"),
        (Method::POST, "/v1/tokens", &too_long, 413, "bad_request"),
        (Method::DELETE, &token, "", 404, "unknown_token"),
        (Method::DELETE, "/v1/tokens/x", "", 404, "unknown_token"),
        (Method::DELETE, &session, "", 404, "no_such_session"),
        (Method::DELETE, "/v1/sessions/x", "", 404, "no_such_session"),
        (Method::GET, "/v1", "", 404, "no_such_resource"),
        (Method::GET, "/tunnel/v1/jwks", "", 404, "no_such_resource"),
        (Method::PUT, "/v1/tokens", "", 405, "method_not_allowed"),
    ] {
        let (got, problem) = served.ask(method, path, body).await;
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{path} {body:.60}: {problem}");
    }
}

#[tokio::test]
async fn an_endless_head_is_cut_off() {
    let served = Served::new().await;
    let mut stream = UnixStream::connect(&served.path).await.unwrap();
    // The agent may stop reading, and close, before all is sent.
    let _cut = stream.write_all(format!("GET / HTTP/1.1\r\nx: {}", "a".repeat(40_000)).as_bytes()).await;
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn told_to_stop_it_takes_its_socket_away_and_ends() {
    let served = Served::new().await;
    let idle = UnixStream::connect(&served.path).await.unwrap();
    served.ask(Method::GET, "/v1/status", "").await;
    served.shutdown.soft.cancel();
    tokio::time::timeout(Duration::from_secs(5), served.task).await.unwrap().unwrap().unwrap();
    assert!(!served.path.exists());
    drop(idle);
}

#[tokio::test]
async fn tokens_are_listed_page_by_page_and_withdrawn_together() {
    let served = Served::new().await;
    let mut ids = Vec::new();
    for who in ["alice", "alice", "bob"] {
        let body =
            json!({"console": "bmc", "requestor": who, "read_only": true, "idle": 60, "longest": 600, "grace": 0});
        let (status, minted) = served.ask(Method::POST, "/v1/tokens", &body.to_string()).await;
        assert_eq!((status, &minted["read_only"], &minted["idle"]), (201, &json!(true), &json!(60)));
        assert_eq!(minted["expires"], "2027-01-15T08:20:00Z");
        ids.push((minted["id"].as_str().unwrap().to_owned(), Token::parse(minted["token"].as_str().unwrap()).unwrap()));
    }
    let (_, page) = served.ask(Method::GET, "/v1/tokens?limit=2", "").await;
    assert_eq!(page["tokens"].as_array().unwrap().len(), 2);
    let next = page["next"].as_str().unwrap();
    let (_, rest) = served.ask(Method::GET, &format!("/v1/tokens?limit=2&after={next}"), "").await;
    assert_eq!((rest["tokens"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
    let mut listed: Vec<_> = [&page, &rest].into_iter().flat_map(|page| page["tokens"].as_array().unwrap()).collect();
    listed.sort_by_key(|token| token["id"].as_str().unwrap().to_owned());
    assert!(listed.iter().all(|token| token["read_only"] == true && token["usable"] == true && token["uses"] == 0));
    ids.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(listed.iter().zip(&ids).all(|(listed, (id, _))| listed["id"] == **id));
    assert!(!page.to_string().contains(ids[0].1.expose()));

    let (_, of_bob) = served.ask(Method::GET, "/v1/tokens?requestor=bob&console=bmc", "").await;
    let bobs = of_bob["tokens"][0]["id"].as_str().unwrap();
    let token_of = |id: &str| ids.iter().find(|(known, _)| known == id).unwrap().1.clone();
    let bob = served.fixture.connect(&token_of(bobs), None).await.unwrap();
    let alices = ids.iter().find(|(id, _)| id != bobs).unwrap().1.clone();
    let alice = served.fixture.connect(&alices, None).await.unwrap();
    for (query, expected) in [("requestor=alice", 1), ("console=bmc", 2), ("client=192.0.2.7", 2), ("client=::1", 0)] {
        let (_, list) = served.ask(Method::GET, &format!("/v1/sessions?{query}"), "").await;
        assert_eq!(list["sessions"].as_array().unwrap().len(), expected, "{query}");
    }
    let (_, list) = served.ask(Method::GET, "/v1/sessions?requestor=bob", "").await;
    let session = &list["sessions"][0];
    assert_eq!((&session["read_only"], &session["idle_limit"]), (&json!(true), &json!(60)));
    assert_eq!((&session["until"], &session["idle_seconds"]), (&json!("2027-01-15T08:10:00Z"), &json!(0)));

    let (status, ended) = served.ask(Method::DELETE, "/v1/tokens?requestor=alice", "").await;
    assert_eq!((status, ended), (200, json!({"tokens": 2, "connections": 1})));
    assert_eq!(alice.ended().await, Reason::Revoked);
    let (_, ended) = served.ask(Method::DELETE, "/v1/tokens?console=bmc&keep_sessions=true", "").await;
    assert_eq!(ended, json!({"tokens": 1, "connections": 0}));
    let (_, ended) = served.ask(Method::DELETE, "/v1/sessions?requestor=bob", "").await;
    assert_eq!(ended, json!({"tokens": 0, "connections": 1}));
    assert_eq!(bob.ended().await, Reason::Killed);

    let (_, list) = served.ask(Method::GET, "/v1/tokens", "").await;
    assert_eq!(list["tokens"], json!([]));
    let (_, list) = served.ask(Method::GET, "/v1/tokens?all=true", "").await;
    assert!(list["tokens"].as_array().unwrap().iter().all(|token| token["void_reason"] == "revoked"));
}

#[tokio::test]
async fn what_is_meant_must_be_said_and_understood() {
    let served = Served::new().await;
    for (method, path) in [
        (Method::DELETE, "/v1/tokens"),
        (Method::DELETE, "/v1/tokens?keep_sessions=true"),
        (Method::DELETE, "/v1/tokens?requester=alice"),
        (Method::DELETE, "/v1/tokens/00000000-0000-4000-8000-000000000001?requestor=alice"),
        (Method::DELETE, "/v1/sessions"),
        (Method::DELETE, "/v1/sessions?client=192.0.2.7"),
        (Method::GET, "/v1/sessions?client=somewhere"),
        (Method::GET, "/v1/tokens?console=a/b"),
        (Method::GET, "/v1/tokens?limit=0"),
        (Method::GET, "/v1/tokens?limit=1001"),
        (Method::GET, "/v1/tokens?after=x"),
    ] {
        let (status, problem) = served.ask(method.clone(), path, "").await;
        assert_eq!((status, &problem["code"]), (400, &json!("bad_request")), "{method} {path}");
    }
}
