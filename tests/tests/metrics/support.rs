//! Scraping, and a console that says what it hears.

use std::net::SocketAddr;

use porthole_tests::agent::Agent;
use porthole_tests::edge::Edge;
use porthole_tests::stack::{Builder, Stack};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use crate::exposition::Exposition;

/// The name of the external console that [`stack`] has.
pub(crate) const CONSOLE: &str = "some-machine";

pub(crate) async fn agent(agent: &Agent) -> Exposition {
    let answer = agent.admin_fetch("/metrics").await.expect("a scrape");
    scraped(&answer)
}

pub(crate) async fn edge(edge: &Edge) -> Exposition {
    let answer = edge.admin_fetch("/metrics").await.expect("a scrape");
    scraped(&answer)
}

fn scraped(answer: &http::Response<bytes::Bytes>) -> Exposition {
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"].to_str().unwrap();
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    Exposition::parse(std::str::from_utf8(answer.body()).unwrap())
}

/// What `/readyz` answers: the status, and the words.
pub(crate) fn words(answer: &http::Response<bytes::Bytes>) -> (u16, String) {
    (answer.status().as_u16(), String::from_utf8(answer.body().to_vec()).unwrap())
}

pub(crate) async fn agent_ready(agent: &Agent) -> (u16, String) {
    words(&agent.admin_fetch("/readyz").await.expect("an answer"))
}

pub(crate) async fn edge_ready(edge: &Edge) -> (u16, String) {
    words(&edge.admin_fetch("/readyz").await.expect("an answer"))
}

/// A TCP server that says what it hears.
pub(crate) async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = TcpStream::split(&mut stream);
                tokio::io::copy(&mut from, &mut to).await.map(drop)
            });
        }
    });
    address
}

/// A stack without libvirt that has this console.
pub(crate) fn stack(console: SocketAddr) -> Builder {
    Stack::builder().agent(move |agent| agent.external(Uuid::new_v4(), CONSOLE, "tcp", console))
}
