//! What an agent manages for control planes: links made per second, by its API, with a database that survives SIGKILL;
//! sessions begun per second, through edge and tunnel; the list of many sessions among many links.
//!
//! The agent has one core, by `taskset`; whoever asks has the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, UnixStream};
use uuid::Uuid;

use super::{Figure, Noise};
use crate::stack::Stack;

/// How many ask for links at once, each on a connection that is kept.
const CALLERS: usize = 8;

/// How many are opened at once.
const OPENERS: usize = 8;

/// How much there is when sessions are listed.
const LINKS: usize = 10_000;
const SESSIONS: usize = 2_000;

/// Links per round where only their rate is measured.
const LINKS_PER_ROUND: usize = 2_000;

/// Measures so many rounds of each, and looks between them whether the machine is quiet.
pub async fn measure(rounds: usize, noise: &mut Noise) -> Result<Vec<Figure>> {
    let console = TcpListener::bind("127.0.0.1:0").await?;
    let (uuid, address) = (Uuid::new_v4(), console.local_addr()?);
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = console.accept().await {
            held.push(stream);
        }
    });
    let stack =
        Stack::builder().edge(|edge| edge.set("log.level", "info").set("public.max_connections_per_address", 10_000));
    let stack = stack.agent(move |agent| {
        let agent = agent.external(uuid, "raw", "tcp", address).set("log.level", "info");
        let agent = agent.set("sessions.max", 10_000).set("sessions.max_per_console", 10_000);
        agent.under(["taskset", "--cpu-list", "0"])
    });
    let stack = stack.try_start().await?;

    let (mut minted, mut opened, mut listed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        minted.push(rate(LINKS_PER_ROUND, mint(&stack, LINKS_PER_ROUND)).await?.0);
        noise.look().await?;
    }
    let links = mint(&stack, LINKS.saturating_sub(rounds * LINKS_PER_ROUND).max(SESSIONS)).await?;
    let mut sessions = Vec::new();
    let per_round = SESSIONS / rounds.min(SESSIONS);
    for chunk in links[..SESSIONS].chunks(per_round) {
        let (per_second, clients) = rate(chunk.len(), open(&stack, chunk)).await?;
        opened.push(per_second);
        sessions.extend(clients);
        noise.look().await?;
    }
    for _ in 0..rounds {
        let start = Instant::now();
        let count = stack.agent.sessions().await.len();
        listed.push(start.elapsed().as_secs_f64() * 1000.0);
        ensure!(count == SESSIONS, "{count} sessions are listed, and {SESSIONS} are open");
    }
    silent.abort();
    Ok(vec![
        Figure::of("links made by the API, agent on one core", "/s", minted),
        Figure::of("sessions begun through edge and tunnel, agent on one core", "/s", opened),
        Figure::of("2,000 sessions listed, among 10,000 links", "ms", listed),
    ])
}

async fn rate<T>(count: usize, work: impl Future<Output = Result<T>>) -> Result<(f64, T)> {
    let start = Instant::now();
    let done = work.await?;
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let count = count as f64;
    Ok((count / start.elapsed().as_secs_f64(), done))
}

/// Makes so many links; their URLs.
pub(super) async fn mint(stack: &Stack, count: usize) -> Result<Vec<String>> {
    let left = Arc::new(AtomicUsize::new(count));
    let caller = async || {
        let stream = UnixStream::connect(stack.agent.socket()).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut urls = Vec::new();
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            urls.push(mint_one(&mut sender).await?);
        }
        connection.abort();
        Ok::<_, anyhow::Error>(urls)
    };
    Ok(try_join_all((0..CALLERS).map(|_| caller())).await?.concat())
}

async fn mint_one(sender: &mut SendRequest<Full<Bytes>>) -> Result<String> {
    let body = json!({"console": "raw", "policy": "once"}).to_string();
    let request = Request::post("/v1/tokens").header("host", "localhost").header("content-type", "application/json");
    sender.ready().await?;
    let answer = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    ensure!(status == StatusCode::CREATED, "{status}: {}", String::from_utf8_lossy(&body));
    let value: Value = serde_json::from_slice(&body)?;
    Ok(value["url"].as_str().context("a URL")?.to_owned())
}

/// Opens each link; what holds the sessions.
async fn open(stack: &Stack, links: &[String]) -> Result<Vec<crate::ws::WsClient>> {
    let shares = links.chunks(links.len().div_ceil(OPENERS)).map(async |share| {
        let mut clients = Vec::new();
        for url in share {
            clients.push(stack.edge.upgrade(url).send().await?.opened());
        }
        Ok::<_, anyhow::Error>(clients)
    });
    Ok(try_join_all(shares).await?.into_iter().flatten().collect())
}
