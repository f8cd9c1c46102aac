use axum::extract::State;
use http::Method;
use porthole_shared::names::{SessionId, TokenId};
use porthole_shared::reason::Reason;
use porthole_shared::token::Token;
use porthole_shared::tunnel::MAX_BODY_BYTES;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use self::served::{Served, api, root};
use super::extract::{Asked, Id};
use super::*;
use crate::callers::Scope;
use crate::fixture::Fixture;

mod served;

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
        let mut revoking =
            std::pin::pin!(tokens::revoke(State(api.clone()), root(), Id(token), Asked(tokens::RevokeHow::default())));
        assert!(futures_util::poll!(revoking.as_mut()).is_pending());
        let mut killing = std::pin::pin!(sessions::kill(State(api), root(), Id(killed.session())));
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
        (Method::GET, "/v1/sessions?limit=0", "", 400, "bad_request"),
        (Method::GET, "/v1/sessions?limit=x", "", 400, "bad_request"),
        (Method::GET, "/v1/sessions?after=x", "", 400, "bad_request"),
        (Method::GET, "/v1/consoles?lmit=1", "", 400, "bad_request"),
        (Method::DELETE, "/v1/sessions/%ff", "", 404, "no_such_session"),
        (Method::DELETE, "/v1/api-tokens/x", "", 404, "no_such_api_token"),
        (Method::POST, "/v1/api-tokens", r#"{"name": "a b", "role": "admin"}"#, 400, "bad_request"),
        (Method::POST, "/v1/api-tokens", r#"{"name": "a", "role": "root"}"#, 400, "bad_request"),
        (Method::POST, "/v1/api-tokens", r#"{"name": "a", "role": "admin", "expires_in": 0}"#, 400, "bad_request"),
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

#[tokio::test]
async fn what_is_wrong_with_a_body_is_said_with_its_place() {
    let served = Served::new().await;
    let (_, problem) = served.ask(Method::POST, "/v1/tokens", "{\"console\": \"bmc\",\n  \"index\": \"one\"}").await;
    assert_eq!((&problem["line"], &problem["column"]), (&json!(2), &json!(16)), "{problem}");
    let form = [("content-type", "text/plain")];
    let (status, problem) = served.ask_with(Method::POST, "/v1/tokens", r#"{"console": "bmc"}"#, &form).await;
    assert_eq!((status, &problem["code"]), (415, &json!("unsupported_media_type")));
}

#[tokio::test]
async fn who_shows_a_token_is_its_holder_and_may_what_its_role_may() {
    let served = Served::new().await;
    let mut bearers = Vec::new();
    for role in Role::ALL {
        let wanted = format!(r#"{{"name": "{role}", "role": "{role}"}}"#);
        let (status, made) = served.ask(Method::POST, "/v1/api-tokens", &wanted).await;
        assert_eq!((status, &made["created_by"]), (201, &json!(format!("uid:{}", geteuid()))));
        bearers.push((role, format!("Bearer {}", made["token"].as_str().unwrap())));
    }
    for (role, bearer) in &bearers {
        for (operation, method, path, good) in [
            (Operation::ShowStatus, Method::GET, "/v1/status", 200),
            (Operation::ReadDescription, Method::GET, "/v1/openapi.json", 200),
            (Operation::ListConsoles, Method::GET, "/v1/consoles", 200),
            (Operation::ListExternalConsoles, Method::GET, "/v1/external-consoles", 200),
            (Operation::MintToken, Method::POST, "/v1/tokens", 400),
            (Operation::RevokeToken, Method::DELETE, "/v1/tokens/x", 404),
            (Operation::ListSessions, Method::GET, "/v1/sessions", 200),
            (Operation::KillSession, Method::DELETE, "/v1/sessions/x", 404),
            (Operation::RotateSigningKeys, Method::POST, "/v1/signing-keys/rotate", 200),
            (Operation::ListApiTokens, Method::GET, "/v1/api-tokens", 200),
            (Operation::CreateApiToken, Method::POST, "/v1/api-tokens", 400),
            (Operation::RevokeApiToken, Method::DELETE, "/v1/api-tokens/x", 404),
        ] {
            let (status, answer) = served.ask_with(method, path, "", &[("authorization", bearer)]).await;
            if role.scope(operation) == Scope::Nothing {
                assert_eq!((status, &answer["code"]), (403, &json!("not_allowed")), "{role} {path}");
                assert_eq!(answer["needed_role"], operation.least_role().as_str());
            } else {
                assert_eq!(status, good, "{role} {path} {answer}");
            }
        }
    }
    for bad in ["Bearer pth_x", "Basic cm9vdDo=", "Bearer"] {
        let (status, problem) = served.ask_with(Method::GET, "/v1/status", "", &[("authorization", bad)]).await;
        assert_eq!((status, &problem["code"]), (401, &json!("unauthorized")));
    }
}

#[test]
fn at_the_socket_the_group_has_the_role_that_is_configured() {
    let own = geteuid().as_raw();
    for role in Role::ALL {
        assert_eq!(local_caller(0, role).role, Role::Admin);
        assert_eq!(local_caller(own, role).role, Role::Admin);
        let member = local_caller(own + 4711, role);
        assert_eq!((member.role, member.name), (role, CallerName::User(own + 4711)));
    }
}

#[tokio::test]
async fn an_idempotency_key_makes_one_token() {
    let served = Served::new().await;
    let (wanted, other) = (r#"{"console": "bmc", "ttl": 60}"#, r#"{"console": "bmc", "ttl": 61}"#);
    let key = [("idempotency-key", "k-1")];
    let (status, made) = served.ask_with(Method::POST, "/v1/tokens", wanted, &key).await;
    assert_eq!(status, 201);
    assert_eq!(served.ask_with(Method::POST, "/v1/tokens", wanted, &key).await, (201, made.clone()));
    let (status, problem) = served.ask_with(Method::POST, "/v1/tokens", other, &key).await;
    assert_eq!((status, &problem["code"]), (422, &json!("idempotency_key_mismatch")));
    let (status, another) = served.ask(Method::POST, "/v1/tokens", wanted).await;
    assert!(status == 201 && another["id"] != made["id"]);

    let key = [("idempotency-key", "k-2")];
    let (status, _) = served.ask_with(Method::POST, "/v1/tokens", r#"{"console": "nobody"}"#, &key).await;
    assert_eq!(status, 404);
    let (status, _) = served.ask_with(Method::POST, "/v1/tokens", wanted, &key).await;
    assert_eq!(status, 201, "what was not made may be asked for again, even otherwise");
}

#[tokio::test]
async fn lists_come_in_pieces() {
    let served = Served::new().await;
    let (_, first) = served.ask(Method::GET, "/v1/consoles?limit=1", "").await;
    assert_eq!((first["consoles"].as_array().unwrap().len(), &first["consoles"][0]["name"]), (1, &json!("bmc")));
    let rest = format!("/v1/consoles?limit=1&after={}", first["next"].as_str().unwrap());
    let (_, second) = served.ask(Method::GET, &rest, "").await;
    assert_eq!((&second["consoles"][0]["name"], second.get("next")), (&json!("raw"), None));
    let (_, external) = served.ask(Method::GET, "/v1/external-consoles", "").await;
    assert_eq!(
        external["external_consoles"][0],
        json!({"uuid": "00000000-0000-4000-8000-000000000001", "name": "bmc", "kind": "vnc", "host": "127.0.0.1",
               "port": 5900})
    );
}

#[tokio::test]
async fn every_resource_is_described_with_its_answers() {
    let served = Served::new().await;
    let (_, description) = served.ask(Method::GET, "/v1/openapi.json", "").await;
    assert_eq!(description["openapi"], "3.1.0");
    let problem = json!({"$ref": "#/components/schemas/Problem"});
    let (mut operations, mut ids) = (0, std::collections::HashSet::new());
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations += 1;
            assert!(ids.insert(operation["operationId"].to_string()), "{path}: {}", operation["operationId"]);
            assert!(operation["summary"].is_string() && operation["tags"][0].is_string(), "{method} {path}");
            assert!(operation["description"].as_str().unwrap().contains("Roles: `admin`"), "{method} {path}");
            for (status, answer) in operation["responses"].as_object().unwrap() {
                assert!(answer["description"].as_str().is_some_and(|text| text.ends_with('.')), "{path} {status}");
                if status.as_str() >= "400" {
                    assert_eq!(answer["content"]["application/problem+json"]["schema"], problem, "{path} {status}");
                }
            }
            for status in ["400", "401", "403", "500", "503"] {
                assert!(operation["responses"][status].is_object(), "{method} {path} {status}");
            }
        }
    }
    assert!(operations >= 13, "{operations}");
    let properties = &description["components"]["schemas"]["Problem"];
    for name in ["type", "title", "status", "detail", "code"] {
        assert!(properties.to_string().contains(&format!("\"{name}\"")), "{properties}");
    }
}

#[tokio::test]
async fn events_are_heard_by_those_whom_they_concern() {
    let served = Served::new().await;
    let mut listening = UnixStream::connect(&served.path).await.unwrap();
    listening.write_all(b"GET /v1/events HTTP/1.1\r\nhost: agent\r\n\r\n").await.unwrap();
    let mut heard = String::new();
    read_until(&mut listening, &mut heard, "\r\n\r\n").await;
    assert!(heard.contains("200 OK") && heard.contains("text/event-stream"), "{heard}");
    served.feed.tell(crate::feed::Kind::SessionEnded, None, json!({"token": "t"}));
    read_until(&mut listening, &mut heard, "\n\n").await;
    assert!(heard.contains("event: session_ended\ndata: {\"token\":\"t\"}\n"), "{heard}");
    served.shutdown.soft.cancel();
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), listening.read_to_end(&mut rest)).await.unwrap().unwrap();
}

async fn read_until(stream: &mut UnixStream, heard: &mut String, end: &str) {
    let already = heard.len();
    let mut bytes = [0; 4096];
    while !heard.get(already..).unwrap().contains(end) {
        let count = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut bytes)).await.unwrap().unwrap();
        assert_ne!(count, 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
}
