//! Secrets: after a whole life of links at the finest log level, none of them is found anywhere but where it belongs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Request;
use http_body_util::Full;
use porthole_tests::agent::{Agent, Mint, Minted};
use porthole_tests::stack::Stack;
use porthole_tests::ws::Closed;
use serde_json::{Value, json};

use crate::support::{Console, Forge, GREETING, NAME, Porthole, answer_to, parts, refusal, refused, secret};

/// What a person types, and what a guest shows, is nobody's business either.
const TYPED: &str = "correct horse battery staple";

/// All that must not be found.
#[derive(Default)]
struct Secrets(BTreeSet<Vec<u8>>);

impl Secrets {
    fn token(&mut self, token: &str) {
        let [header, payload, signature] = parts(token);
        // Pieces, because a log might cut a text off. (All headers begin alike, which tells nothing but that a token
        // was written.)
        for piece in [&header[..24], &header[24..], &payload[payload.len() - 32..], &signature[..16], &signature[16..]]
        {
            self.0.insert(piece.into());
        }
    }

    fn binding(&mut self, secret: &str) {
        self.0.insert(secret[..16].into());
        self.0.insert(secret[16..].into());
        self.0.insert(URL_SAFE_NO_PAD.decode(secret).unwrap());
    }

    fn text(&mut self, text: &str) {
        self.0.insert(text.into());
    }

    /// The first of them that is in there, with what is around it.
    fn found_in(&self, bytes: &[u8]) -> Option<String> {
        self.0.iter().find_map(|secret| {
            let at = bytes.windows(secret.len()).position(|window| window == secret)?;
            let around = &bytes[at.saturating_sub(300)..bytes.len().min(at + 300)];
            Some(format!("{}: {}", String::from_utf8_lossy(secret), String::from_utf8_lossy(around)))
        })
    }
}

#[tokio::test]
async fn no_secret_is_in_a_log_a_file_or_a_process_list() {
    let console = Console::listen().await;
    let mut stack = Stack::builder().agent(console.configured()).start().await;
    let _console = console.echo();
    let mut secrets = Secrets::default();
    let mut ids = Vec::new();

    live(&mut stack, &mut secrets, &mut ids).await;

    for process in [stack.agent.process(), stack.edge.process()] {
        for file in ["cmdline", "environ"] {
            let place = format!("/proc/{}/{file}", process.pid());
            assert_eq!(secrets.found_in(&fs::read(&place).unwrap()), None, "in {place}");
        }
        let arguments = fs::read_to_string(format!("/proc/{}/cmdline", process.pid())).unwrap();
        assert!(arguments.contains(".toml"), "the positive control");
    }
    // Before SQLite tidies up, and after.
    search(&secrets, &stack, &ids);
    drain(&mut stack, &mut secrets, &mut ids).await;
    assert!(stack.agent.stop().await.success());
    search(&secrets, &stack, &ids);
}

/// Everything that can happen to links.
async fn live(stack: &mut Stack, secrets: &mut Secrets, ids: &mut Vec<String>) {
    let mut noted = |link: Minted, secrets: &mut Secrets| {
        secrets.token(&link.token);
        ids.push(link.id.clone());
        link
    };
    let (mine, theirs) = (secret(), secret());
    secrets.binding(&mine);
    secrets.binding(&theirs);
    secrets.text(TYPED);
    for text in ["?token=", "token=ey", "token%3D", "Bearer", "porthole.bind", "pkcs8", "PRIVATE KEY"] {
        secrets.text(text);
    }
    // Somebody's other secrets, in places that are not ours.
    for text in ["a-password-in-a-query", "a-cookie-of-the-dashboard", "basic-credentials", "a-binding-that-is-none"] {
        secrets.text(text);
    }

    // Made, opened, used.
    let link = noted(stack.mint(Mint::of(NAME).field("requestor", "alice")).await, secrets);
    let bound = |secret: &str| stack.edge.upgrade(&link.url).bound(secret);
    let mut session = bound(&mine).open().await;
    assert_eq!(session.binary().await, GREETING);
    session.send_binary(TYPED.as_bytes()).await.unwrap();
    assert_eq!(session.binary().await, TYPED.as_bytes());
    let printed: Value =
        serde_json::from_str(&Porthole::of(&stack.agent).print(&["--json", "url", NAME, "--policy", "reusable"]).await)
            .unwrap();
    let text = |name: &str| printed[name].as_str().unwrap().to_owned();
    let printed =
        noted(Minted { url: text("url"), token: text("token"), id: text("id"), json: printed.clone() }, secrets);
    let token = printed.token.as_str();
    for request in [
        stack.edge.upgrade(&printed.url).header("Authorization", "Basic basic-credentials"),
        stack.upgrade(&printed).path(&format!("/?path=websockify%3Ftoken%3D{token}&p=a-password-in-a-query")),
        stack.upgrade(&printed).path("/").header("Cookie", &format!("s=a-cookie-of-the-dashboard; token={token}")),
    ] {
        request.open().await.close().await;
    }

    // Refused for every sort of reason, by edge and agent.
    let [header, payload, signature] = parts(token);
    let forge = Forge::of(&stack.agent);
    let forged = forge.sign(&forge.claims());
    secrets.token(&forged);
    let with = |token: &str| stack.edge.upgrade(&format!("{}/?token={token}", stack.edge.url()));
    let elsewhere = forge.sign(&porthole_shared::token::Claims { node: "nowhere".parse().unwrap(), ..forge.claims() });
    secrets.token(&elsewhere);
    for place in [token, &forged, &mine, &format!("{payload}."), &format!("{signature}\n")] {
        assert!(secrets.found_in(place.as_bytes()).is_some(), "the positive control");
    }
    for (request, expected) in [
        (bound(&theirs), refused(403, "not_yours")),
        (stack.upgrade(&link), refused(403, "not_yours")),
        (stack.upgrade(&printed).origin("https://evil.example"), refused(403, "origin_refused")),
        (stack.upgrade(&printed).header("Sec-WebSocket-Version", "8"), refused(400, "bad_request")),
        (
            stack.upgrade(&printed).header("Sec-WebSocket-Protocol", "porthole.bind.a-binding-that-is-none"),
            refused(400, "bad_request"),
        ),
        (
            bound(&mine).header("Sec-WebSocket-Protocol", &format!("porthole.bind.{theirs}")),
            refused(400, "bad_request"),
        ),
        (with(&format!("{token}&token={}", link.token)), refused(400, "token_conflict")),
        (with(&format!("{header}.{payload}")), refused(401, "bad_signature")),
        (with(&format!("{header}.{payload}.{}", parts(&link.token)[2])), refused(401, "bad_signature")),
        (with(&format!("{payload}.{header}.{signature}")), refused(401, "bad_signature")),
        (with(&forged), refused(404, "unknown_token")),
        (with(&elsewhere), refused(404, "unknown_node")),
    ] {
        assert_eq!(refusal(&request).await, expected);
    }
    // Not even by HTTP itself: a head that is none, one that is too long, and one that is cut off.
    let request = stack.upgrade(&printed);
    let head = String::from_utf8(request.head()).unwrap();
    assert!(answer_to(&request, head.replacen("GET ", "GET  \u{1}", 1).as_bytes()).await.starts_with("HTTP/1.1 400"));
    let long = head.replacen("\r\n", &format!("\r\nCookie: token={token}; {}\r\n", "x".repeat(64 * 1024)), 1);
    let mut cut = request.connect().await.unwrap();
    // Its server does not wait for the end of it.
    let _cut = tokio::io::AsyncWriteExt::write_all(&mut cut, long.as_bytes()).await;
    let mut cut = request.connect().await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut cut, &head.as_bytes()[..head.len() - 3]).await.unwrap();
    drop(cut);

    // Asked about, in the right way and in wrong ones; shown as a page.
    for question in [
        json!({"token": link.token, "binding": mine}),
        json!({"token": link.token, "binding": theirs}),
        json!({"token": [token], "binding": mine}),
        json!({"token": token, "binding": "a-binding-that-is-none"}),
        json!({"token": forged, "binding": mine}),
    ] {
        stack.edge.inspect(&question).await.unwrap();
    }
    let plain = Request::post("/api/console").body(Full::from(format!("token={token}"))).unwrap();
    assert_eq!(stack.edge.request(plain).await.unwrap().status(), 400);
    assert_eq!(stack.edge.fetch(&format!("/vnc_auto.html?token={token}")).await.unwrap().status(), 404);

    // The same to the API: what it does not understand it does not repeat.
    for body in [
        json!({"console": NAME, "token": token}),
        json!({"console": [token]}),
        json!({"console": NAME, "policy": mine}),
    ] {
        let (status, _) = stack.agent.api(http::Method::POST, "/v1/tokens", Some(&body)).await.unwrap();
        assert_eq!(status, 400);
    }
    assert_eq!(stack.agent.revoke(token).await.unwrap_err().status, 404);

    // Reconnected, withdrawn, killed; keys changed; agent lost and back.
    let mut again = bound(&mine).open().await;
    assert_eq!(session.closed().await.reason, "superseded");
    assert_eq!(again.binary().await, GREETING);
    let sessions = stack.agent.sessions().await;
    stack.agent.kill_session(sessions[0]["id"].as_str().unwrap()).await.unwrap();
    assert_eq!(again.closed().await.reason, "killed");
    assert_eq!(refusal(&bound(&mine)).await, refused(403, "revoked"));
    stack.agent.rotate_signing_key().await;
    let later = noted(stack.mint(NAME).await, secrets);
    let mut lost = stack.upgrade(&later).open().await;
    assert_eq!(lost.binary().await, GREETING);
    stack.agent.crash();
    assert_eq!(refusal(&stack.upgrade(&printed)).await, refused(502, "agent_unreachable"));
    stack.agent.start_again().await;
    stack.upgrade(&printed).open().await.close().await;
}

/// An edge goes away under a session.
async fn drain(stack: &mut Stack, secrets: &mut Secrets, ids: &mut Vec<String>) {
    let link = stack.mint(NAME).await;
    secrets.token(&link.token);
    ids.push(link.id.clone());
    let mine = secret();
    secrets.binding(&mine);
    let mut session = stack.edge.upgrade(&link.url).bound(&mine).open().await;
    // Told so, the viewer hangs up.
    let (stopped, closed) = tokio::join!(stack.edge.stop(), async move { session.closed().await });
    assert!(stopped.success());
    assert_eq!(closed, Closed { code: Some(1012), reason: "edge_draining".to_owned() });
}

/// Looks into every file of agent and edge, but for the file of the signing keys itself.
fn search(secrets: &Secrets, stack: &Stack, ids: &[String]) {
    let keys = keys_file(&stack.agent);
    let mut looked_into = Vec::new();
    for directory in ["agent", "edge"] {
        for file in files_below(&stack.directory().join(directory)) {
            let bytes = fs::read(&file).unwrap();
            if file == keys {
                assert!(bytes.windows(5).any(|window| window == b"pkcs8"), "the positive control");
                continue;
            }
            assert_eq!(secrets.found_in(&bytes), None, "in {}", file.display());
            looked_into.push(file.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    for name in ["agent.log", "edge.log", "agent.toml", "edge.toml", "nodes.toml", "porthole.db"] {
        assert!(looked_into.iter().any(|seen| seen == name), "{name} among {looked_into:?}");
    }
    // The positive control: what names a token in public is in both logs and in the database.
    let database: Vec<u8> = ["", "-wal"]
        .iter()
        .flat_map(|suffix| fs::read(format!("{}{suffix}", stack.agent.database().display())).unwrap_or_default())
        .collect();
    let (agent, edge) = (stack.agent.log(), stack.edge.log());
    for level in ["TRACE", "DEBUG", "INFO"] {
        assert!(agent.contains(level) && (level == "TRACE" || edge.contains(level)), "{level} is on");
    }
    for id in ids {
        assert!(agent.contains(id) && edge.contains(id), "{id} is in both logs");
        assert!(database.windows(id.len()).any(|window| window == id.as_bytes()), "{id} is in the database");
    }
}

fn keys_file(agent: &Agent) -> PathBuf {
    agent.database().with_file_name("keys").join("signing.json")
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let (directories, others): (Vec<_>, Vec<_>) = entries.partition(|entry| entry.file_type().unwrap().is_dir());
    let files = others.into_iter().filter(|entry| entry.file_type().unwrap().is_file()).map(|entry| entry.path());
    files.chain(directories.into_iter().flat_map(|entry| files_below(&entry.path()))).collect()
}
