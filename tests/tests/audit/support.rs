//! What these tests share.

use std::net::SocketAddr;
use std::path::PathBuf;

use http::{Method, StatusCode};
use porthole_shared::binding::BindingSecret;
use porthole_tests::agent::{Agent, AgentBuilder};
use porthole_tests::command::porthole;
use porthole_tests::stack::Stack;
use serde_json::Value;
use tokio::net::TcpListener;
use uuid::Uuid;

/// The UUID of the console `raw`.
pub(crate) const RAW: &str = "00000000-0000-4000-8000-00000000000a";

/// A stack with two TCP consoles, `raw` and `other`, that say what they hear; and these settings.
pub(crate) async fn stack(change: impl FnOnce(AgentBuilder) -> AgentBuilder + Send + 'static) -> Stack {
    let console = echo().await;
    let consoles = move |agent: AgentBuilder| {
        let raw = RAW.parse().expect("a UUID");
        change(agent.external(raw, "raw", "tcp", console).external(Uuid::new_v4(), "other", "tcp", console))
    };
    Stack::builder().agent(consoles).start().await
}

async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    address
}

/// A binding secret, as a page makes it.
pub(crate) fn secret() -> String {
    BindingSecret::random().expect("random bytes").to_text().expose().clone()
}

/// What `porthole audit --json` says with these arguments: an entry each line.
pub(crate) async fn audit(agent: &Agent, arguments: &[&str]) -> Vec<Value> {
    let printed = porthole(agent, &[&["--json", "audit"], arguments].concat()).await.ok();
    printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// What the API says of it.
pub(crate) async fn ask(agent: &Agent, query: &str) -> Value {
    let (status, answer) = agent.api(Method::GET, &format!("/v1/audit{query}"), None).await.expect("an answer");
    assert_eq!(status, StatusCode::OK, "{query}: {answer}");
    answer
}

/// What happened, in order.
pub(crate) fn events(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["event"].as_str().expect("a word")).collect()
}

/// The only entry of a sort.
pub(crate) fn only<'a>(entries: &'a [Value], event: &str) -> &'a Value {
    let mut found = entries.iter().filter(|entry| entry["event"] == event);
    match (found.next(), found.next()) {
        (Some(entry), None) => entry,
        (first, _) => panic!("{event}: {first:?} of {entries:?}"),
    }
}

/// The audit's file, and what SQLite has beside it.
pub(crate) fn files(agent: &Agent) -> Vec<PathBuf> {
    let names = ["audit.db", "audit.db-wal", "audit.db-shm"];
    names.iter().map(|name| agent.database().with_file_name(name)).filter(|path| path.exists()).collect()
}
