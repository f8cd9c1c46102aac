//! Who is believed to be whom.

use http::Method;
use porthole_tests::wait::{PATIENCE, eventually};
use serde_json::json;

use crate::support::{Caller, Clients, Identity, Served};

async fn status_for(served: &Served, caller: &Caller) -> (u16, String) {
    let reply = served.ask(caller, Method::GET, "/v1/status", None).await;
    let (status, code) = reply.refusal();
    (status, code.to_owned())
}

#[tokio::test]
async fn nobody_gets_in_without_saying_who_they_are() {
    let served = Served::start().await;
    for path in ["/v1/status", "/v1/openapi.json", "/v1/tokens", "/v1/nothing", "/"] {
        let reply = served.ask(&Caller::default(), Method::GET, path, None).await;
        assert_eq!(reply.refusal(), (401, "unauthorized"), "{path}");
        assert_eq!(reply.header("www-authenticate"), Some(r#"Bearer realm="porthole""#));
    }
}

#[tokio::test]
async fn a_certificate_is_worth_what_its_name_is() {
    let served = Served::start().await;
    assert_eq!(status_for(&served, &served.known("minter")).await.0, 200);
    let files = served.stack.pki.client("operator.example.org").await.unwrap();
    let made = Caller::with(Identity { certificate: files.certificate, key: files.key });
    assert_eq!(status_for(&served, &made).await.0, 200, "as `porthole pki client` makes it");
    let stranger = Caller::with(served.clients.identity("stranger.example.org"));
    let reply = served.ask(&stranger, Method::GET, "/v1/status", None).await;
    assert_eq!(reply.refusal(), (403, "not_allowed"));
    assert!(reply.json["detail"].as_str().unwrap().contains("stranger.example.org"), "{}", reply.json);

    // By a CA that nobody told the agent of: TLS 1.3 says so after the handshake.
    let theirs = Clients::make();
    let forged = Caller::with(theirs.identity("admin.example.org"));
    if let Ok(mut stream) = served.connect(&forged).await {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        drop(stream.write_all(b"GET /v1/status HTTP/1.1\r\nhost: a\r\n\r\n").await);
        let mut said = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.unwrap();
        assert!(ended.is_err() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    }
}

#[tokio::test]
async fn an_edge_never_calls_the_api() {
    let served = Served::start().await;
    let files = served.stack.pki.edge("edge-1").await.unwrap();
    let edge = Identity { certificate: files.certificate, key: files.key };
    assert_eq!(status_for(&served, &Caller::with(edge.clone())).await, (403, "not_allowed".to_owned()));
    let (Caller { bearer, .. }, _) = served.token("ops", "admin").await;
    let both = Caller { identity: Some(edge), bearer };
    assert_eq!(status_for(&served, &both).await.0, 403, "not even with a token that is good");
}

#[tokio::test]
async fn a_token_is_good_until_it_is_withdrawn_or_expires() {
    let served = Served::start().await;
    let (ops, id) = served.token("ops", "operator").await;
    assert_eq!(status_for(&served, &ops).await.0, 200);
    let (other, _) = served.token("ops", "operator").await;
    assert_eq!(served.ask_locally(Method::DELETE, &format!("/v1/api-tokens/{id}"), None).await.status, 204);
    let reply = served.ask(&ops, Method::GET, "/v1/status", None).await;
    assert_eq!(reply.refusal(), (401, "unauthorized"));
    assert!(reply.header("www-authenticate").unwrap().contains("invalid_token"));
    assert_eq!(status_for(&served, &other).await.0, 200, "another of the same name stays");

    let wanted = json!({"name": "short", "role": "minter", "expires_in": 1});
    let made = served.ask_locally(Method::POST, "/v1/api-tokens", Some(&wanted)).await;
    let short = Caller::showing(made.json["token"].as_str().unwrap());
    eventually(PATIENCE, "the token's end", async || status_for(&served, &short).await.0 == 401).await;

    let (_, list) = served.stack.agent.api(Method::GET, "/v1/api-tokens", None).await.unwrap();
    let text = list.to_string();
    assert!(text.contains("short") && !text.contains("pth_"), "{text}");
    // Fresh rows are in the write-ahead log.
    let file = served.stack.agent.database();
    let log_file = file.with_extension("db-wal");
    let database = [std::fs::read(file).unwrap(), std::fs::read(log_file).unwrap()].concat();
    let holds = |text: &str| database.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(&id), "what is in the database is seen");
    let log = served.stack.agent.log();
    for token in [&ops, &other, &short].map(|caller| caller.bearer.clone().unwrap()) {
        assert!(!log.contains(&token[4..]));
        assert!(!holds(&token[4..]));
    }
}

#[tokio::test]
async fn a_token_that_is_no_good_is_not_made_good_by_a_certificate() {
    let served = Served::start().await;
    let Caller { identity, .. } = served.known("admin");
    for bad in ["pth_x", "", "Basic cm9vdDo="] {
        let caller = Caller { identity: identity.clone(), bearer: Some(bad.to_owned()) };
        assert_eq!(status_for(&served, &caller).await.0, 401, "{bad}");
    }
}

#[tokio::test]
async fn who_guesses_is_told_to_wait() {
    let served = Served::start().await;
    let (good, _) = served.token("ops", "operator").await;
    let (fresh, _) = served.token("fresh", "operator").await;
    assert_eq!(status_for(&served, &good).await.0, 200);
    let wrong = Caller::showing(format!("pth_{}", "A".repeat(43)));
    let mut answers = Vec::new();
    for _ in 0..14 {
        let reply = served.ask(&wrong, Method::GET, "/v1/status", None).await;
        if reply.status == 429 {
            assert_eq!(reply.json["code"], "too_many_failures");
            assert!((1..=6).contains(&reply.header("retry-after").unwrap().parse::<u32>().unwrap()));
        }
        answers.push(reply.status);
    }
    assert_eq!(answers[..10], [401; 10]);
    assert!(answers[10..].contains(&429), "{answers:?}");
    assert_eq!(status_for(&served, &good).await.0, 200, "it is no guess");
    assert_eq!(status_for(&served, &fresh).await.0, 429, "this might be one");
    // Certificates and the socket have nothing to do with it.
    assert_eq!(status_for(&served, &served.known("minter")).await.0, 200);
    assert_eq!(served.ask_locally(Method::GET, "/v1/status", None).await.status, 200);
}
