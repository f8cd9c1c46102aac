//! What serial ports cost: bytes that a processor's second carries from a guest through hub and page protocol to one viewer
//! and to twenty, how long a key takes to its echo through edge and agent, and memory for 500 ports that are held.
//!
//! The built agent and edge, on libvirt's test driver; the guests are unix sockets of this process. `make bench-serial`.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::{SysconfVar, sysconf};
use porthole_tests::agent::Mint;
use porthole_tests::bench::{Figure, Noise, Report};
use porthole_tests::stack::Stack;
use porthole_tests::wait::eventually;
use porthole_tests::ws::{Event, WsClient};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use uuid::Uuid;

const ROUNDS: usize = 5;
const PORTS: usize = 500;

/// What a guest says in a round, and how far it may be ahead of its viewers: less than is kept, so nothing is left out.
const SAID: usize = 64 * 1024 * 1024;
const AHEAD: usize = 512 * 1024;
const PIECE: usize = 4096;

const KEYS: usize = 2_000;

const MIB: f64 = 1024.0 * 1024.0;
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::main]
async fn main() -> Result<()> {
    // As a test of all targets, it is only built.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let mut noise = Noise::before().await?;
    let (mut one, mut twenty) = (Vec::new(), Vec::new());
    let (mut half, mut tail) = (Vec::new(), Vec::new());
    {
        let mut node = Node::start(1).await?;
        for _ in 0..ROUNDS {
            one.push(node.carried(1).await?);
            noise.look().await?;
            twenty.push(node.carried(20).await?);
            noise.look().await?;
            let (p50, p99) = node.echoed().await?;
            half.push(p50);
            tail.push(p99);
            noise.look().await?;
        }
    }
    let (mut held, mut filled) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (silent, beyond) = memory().await?;
        held.push(silent);
        filled.push(beyond);
        noise.look().await?;
    }
    let figures = vec![
        Figure::of("guest to 1 viewer, per second of the agent's processor", "MiB", one),
        Figure::of("guest to 20 viewers, sum, likewise", "MiB", twenty),
        Figure::of("key to echo, p50", "us", half),
        Figure::of("… p99", "us", tail),
        Figure::of("500 ports held, silent", "MiB", held),
        Figure::of("… 64 KiB said on each, beyond these", "MiB", filled),
    ];
    std::io::stdout().write_all(Report { figures, noise }.table().as_bytes())?;
    Ok(())
}

/// A host whose guests are sockets.
struct Node {
    stack: Stack,
    guests: Vec<Guest>,
    /// Of the sockets.
    _directory: TempDir,
}

struct Guest {
    uuid: Uuid,
    port: UnixStream,
}

impl Node {
    /// With so many guests, whose ports are held.
    async fn start(count: usize) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("ph-").tempdir_in("/tmp")?;
        let path = |number: usize| directory.path().join(number.to_string());
        let listeners = (0..count).map(|number| UnixListener::bind(path(number))).collect::<Result<Vec<_>, _>>()?;
        let uuids: Vec<Uuid> = (0..count).map(|_| Uuid::new_v4()).collect();
        let node = directory.path().join("node.xml");
        fs::write(&node, describe(&uuids, directory.path())?)?;
        let (uri, spool) = (format!("test://{}", node.display()), directory.path().display().to_string());
        let builder = Stack::builder().edge(|edge| edge.set("log.level", "info")).agent(move |agent| {
            let agent = agent.set("libvirt.enabled", true).set("libvirt.uri", uri).set("hook.spool", spool);
            agent.set("log.level", "info").set("serial.max_watchers", 100_i64).set("sessions.max_per_console", 100_i64)
        });
        let stack = builder.try_start().await?;
        let mut guests = Vec::new();
        for (listener, uuid) in listeners.iter().zip(uuids) {
            let accepted = tokio::time::timeout(PATIENCE, listener.accept()).await.context("the port is not held")?;
            guests.push(Guest { uuid, port: accepted?.0 });
        }
        Ok(Self { stack, guests, _directory: directory })
    }

    async fn view(&self, read_only: bool) -> Result<WsClient> {
        let uuid = self.guests.first().context("no guest")?.uuid;
        let link = self.stack.mint(Mint::of(uuid).kind("serial").field("read_only", read_only)).await;
        let upgrade = self.stack.edge.upgrade(&link.url).protocols(&["porthole.serial.v1"]);
        let mut viewer = upgrade.open().await;
        viewer.send_text(r#"{"type":"history","last":0}"#).await?;
        // Its answer: from here on all comes.
        while !matches!(viewer.next().await?, Event::Text(text) if text.contains(r#""type":"at""#)) {}
        Ok(viewer)
    }

    fn agent_cpu(&self) -> Result<f64> {
        cpu_seconds(self.stack.agent.process().pid())
    }

    /// How many MiB reach all viewers together for each second of the agent's processor time.
    async fn carried(&mut self, viewers: usize) -> Result<f64> {
        let mut reading = JoinSet::new();
        let mut seen = Vec::new();
        for _ in 0..viewers {
            let mut viewer = self.view(true).await?;
            let (told, now) = tokio::sync::watch::channel(0_usize);
            seen.push(now);
            reading.spawn(async move {
                let mut read = 0;
                while read < SAID {
                    match viewer.next().await? {
                        Event::Binary(bytes) => {
                            read += bytes.len();
                            told.send_replace(read);
                        }
                        Event::Text(text) => ensure!(!text.contains("skipped") || text.contains("lost"), "{text}"),
                        Event::Ping(_) | Event::Pong(_) => {}
                        other @ (Event::Close(_) | Event::End) => anyhow::bail!("{other:?}"),
                    }
                }
                viewer.close().await;
                Ok(())
            });
        }
        let before = self.agent_cpu()?;
        let guest = self.guests.first_mut().context("no guest")?;
        let piece = [b'x'; PIECE];
        let mut said = 0;
        'saying: while said < SAID {
            guest.port.write_all(&piece).await?;
            said += PIECE;
            for seen in &mut seen {
                if seen.wait_for(|seen| seen + AHEAD >= said).await.is_err() {
                    // A viewer left: it says why.
                    break 'saying;
                }
            }
        }
        while let Some(read) = reading.join_next().await {
            read??;
        }
        let spent = self.agent_cpu()? - before;
        Ok(as_float(SAID) / MIB * as_float(viewers) / spent)
    }

    /// From a key to its echo, in microseconds: half of them take less, and all but a hundredth.
    async fn echoed(&mut self) -> Result<(f64, f64)> {
        let mut viewer = self.view(false).await?;
        let guest = self.guests.first_mut().context("no guest")?;
        let echoing = async {
            let mut byte = [0; 1];
            for _ in 0..KEYS {
                guest.port.read_exact(&mut byte).await?;
                guest.port.write_all(&byte).await?;
            }
            anyhow::Ok(())
        };
        let typing = async {
            let mut took = Vec::new();
            for _ in 0..KEYS {
                let start = Instant::now();
                viewer.send_binary(b"k").await?;
                while !matches!(viewer.next().await?, Event::Binary(_)) {}
                took.push(start.elapsed().as_secs_f64() * 1e6);
            }
            anyhow::Ok(took)
        };
        let ((), mut took) = tokio::try_join!(echoing, typing)?;
        viewer.close().await;
        took.sort_by(f64::total_cmp);
        let at = |percent: usize| took.get(took.len() * percent / 100).copied().context("no measurement");
        Ok((at(50)?, at(99)?))
    }
}

/// What ports take that are held, in MiB: of an agent that holds 500 silent ones beyond one that holds one; and once each
/// has said 64 KiB beyond that and these bytes.
async fn memory() -> Result<(f64, f64)> {
    let alone = Node::start(1).await?;
    let resident =
        |node: &Node| as_float(usize::try_from(node.stack.agent.process().resident_memory()).unwrap_or(0)) / MIB;
    let base = resident(&alone);
    drop(alone);
    let mut node = Node::start(PORTS).await?;
    let silent = resident(&node) - base;
    let said = vec![b'x'; 64 * 1024];
    for guest in &mut node.guests {
        guest.port.write_all(&said).await?;
    }
    for guest in &node.guests {
        let path = format!("/v1/serial/{}/0", guest.uuid);
        eventually(PATIENCE, "a port to be read", async || {
            let answer = node.stack.agent.api(http::Method::GET, &path, None).await;
            answer.is_ok_and(|(_, port)| port.get("end").and_then(serde_json::Value::as_u64) == Some(said.len() as u64))
        })
        .await;
    }
    let histories = as_float(PORTS * said.len()) / MIB;
    Ok((silent, resident(&node) - base - silent - histories))
}

/// The test driver's file: domains of Porthole's that run, each with a serial port on a socket.
fn describe(guests: &[Uuid], sockets: &Path) -> Result<String> {
    let mut xml = "<node>".to_owned();
    for (number, uuid) in guests.iter().enumerate() {
        write!(
            xml,
            "<domain type='test'><name>guest-{number}</name><uuid>{uuid}</uuid>\
             <metadata><porthole:consoles xmlns:porthole='https://porthole.dev/xmlns/consoles/1.0' transport='sealed'/>\
             </metadata><memory>8192</memory><vcpu>1</vcpu><os><type>hvm</type></os><devices>\
             <serial type='unix'><source mode='bind' path='{}'/></serial></devices></domain>",
            sockets.join(number.to_string()).display(),
        )?;
    }
    xml.push_str("</node>");
    Ok(xml)
}

/// Processor time that a process has used.
fn cpu_seconds(pid: i32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no name in it")?;
    let ticks: usize = fields.split_whitespace().skip(11).take(2).map(str::parse::<usize>).sum::<Result<_, _>>()?;
    let per_second = sysconf(SysconfVar::CLK_TCK)?.and_then(|ticks| usize::try_from(ticks).ok()).unwrap_or(100);
    Ok(as_float(ticks) / as_float(per_second))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
const fn as_float(number: usize) -> f64 {
    number as f64
}
