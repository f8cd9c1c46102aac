//! What the tests here have in common: a ground to build on, and what must hold at the end of each.

use std::time::Duration;

use porthole_tests::agent::AgentBuilder;
use porthole_tests::edge::{Edge, EdgeBuilder};
use porthole_tests::pki::Pki;
use porthole_tests::process::Process;
use porthole_tests::stack::{self, Stack};
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) mod console;
pub(crate) mod raw;
pub(crate) mod reply;
pub(crate) mod stub;

use console::Console;

/// The name of the external console that [`stack`] has.
pub(crate) const CONSOLE: &str = "far-end";

/// A directory and a CA, for tests that put daemons together themselves.
pub(crate) struct Ground {
    pub(crate) directory: TempDir,
    pub(crate) pki: Pki,
}

impl Ground {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("ph-").tempdir_in("/tmp").unwrap();
        let pki = Pki::open(&directory.path().join("pki")).await.unwrap();
        Self { directory, pki }
    }

    /// An edge without nodes, not started.
    pub(crate) async fn edge(&self, name: &str) -> EdgeBuilder {
        Edge::builder(&self.directory.path().join(name), name, &self.pki).await.unwrap()
    }
}

/// An agent whose one console is this one, and an edge.
pub(crate) fn stack(console: &Console) -> stack::Builder {
    let address = console.address();
    Stack::builder().agent(move |agent| with_console(agent, CONSOLE, address))
}

pub(crate) fn with_console(agent: AgentBuilder, name: &str, address: std::net::SocketAddr) -> AgentBuilder {
    agent.external(Uuid::new_v4(), name, "tcp", address)
}

/// The process runs, and nothing in it has panicked.
pub(crate) fn assert_unharmed(process: &Process) {
    assert!(process.is_running(), "it has ended");
    assert_no_panic(&process.log());
}

pub(crate) fn assert_no_panic(log: &str) {
    let panicked = log.lines().find(|line| line.contains("panicked"));
    assert_eq!(panicked, None);
}

/// Both daemons are unharmed, and a console can be opened and used.
pub(crate) async fn assert_serves(stack: &Stack) {
    assert_unharmed(stack.edge.process());
    assert_unharmed(stack.agent.process());
    let mut session = stack.open(CONSOLE).await;
    echo_through(&mut session, b"still here").await;
    session.close().await;
}

/// Sends bytes, and waits until the console has sent the same back.
pub(crate) async fn echo_through(session: &mut porthole_tests::ws::WsClient, bytes: &[u8]) {
    session.send_binary(bytes).await.unwrap();
    let mut came = Vec::new();
    while came.len() < bytes.len() {
        came.extend(session.binary().await);
    }
    assert!(came == bytes, "the echo is not what was sent");
}

/// Long enough for a file watch (2 s) and then some, on a busy machine.
pub(crate) const NOTICED: Duration = Duration::from_secs(30);
