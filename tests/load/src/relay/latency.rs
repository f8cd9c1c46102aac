//! How long a keystroke takes to its echo: alone, and beside a session that floods.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::time::sleep;

use super::{AGENT, BOTH, EDGE, HAPROXY, TCP_FLOOR, TLS_FLOOR, WEBSOCKIFY, of};
use crate::backend::Manner;
use crate::client::Client;
use crate::compare::Results;
use crate::contender::{Contender, Far, Key, Rig};
use crate::frames::{Block, From, binary};

/// How many keystrokes are timed in a round, and how far apart they are beside a flood: people do not type faster.
const KEYSTROKES: usize = 1000;
const BESIDE_A_FLOOD: usize = 200;
const APART: Duration = Duration::from_millis(5);

/// Nobody between the two ends, as those have it who lead to tunnels and to consoles.
const DIRECT: [(&str, Far); 2] = [("none: TLS", Far::Tunnel), ("none: TCP", Far::Console)];

const ALONE: [&str; 8] = [EDGE, HAPROXY, "nginx", TLS_FLOOR, TCP_FLOOR, AGENT, WEBSOCKIFY, BOTH];

const BESIDE: [&str; 8] = [EDGE, "none: TLS", HAPROXY, "nginx", TLS_FLOOR, AGENT, WEBSOCKIFY, BOTH];

pub(super) async fn round(rig: &Rig, results: &mut Results) -> Result<()> {
    let what = "a keystroke";
    let mut direct = Vec::new();
    for (name, far) in DIRECT {
        let contender = rig.contender(name, Key::Ecdsa)?;
        let times = of(contender, type_into(rig, contender, KEYSTROKES, Duration::ZERO).await)?;
        add(results, what, name, &times, &[]);
        direct.push((far, times));
    }
    for name in ALONE {
        let contender = rig.contender(name, Key::Ecdsa)?;
        let times = of(contender, type_into(rig, contender, KEYSTROKES, Duration::ZERO).await)?;
        let without = direct.iter().find(|(far, _)| *far == contender.far).map_or(&[][..], |(_, times)| times);
        add(results, "a keystroke, added", name, &times, without);
    }
    for name in BESIDE {
        let contender = rig.contender(name, Key::Ecdsa)?;
        let times = of(contender, beside_a_flood(rig, contender).await)?;
        add(results, "a keystroke beside a flood", name, &times, &[]);
    }
    Ok(())
}

/// What half and nearly all of them took, less what they take without the contender.
fn add(results: &mut Results, what: &str, contender: &'static str, times: &[Duration], without: &[Duration]) {
    for (called, percent) in [("p50", 50), ("p99", 99)] {
        let at = |times: &[Duration]| {
            let last = times.len().saturating_sub(1);
            times.get(last * percent / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6)
        };
        results.add(format!("{what}, {called}"), "µs", contender, at(times) - at(without));
    }
}

/// Gives the times from each keystroke to its echo, in order of length.
async fn type_into(rig: &Rig, contender: &Contender, strokes: usize, apart: Duration) -> Result<Vec<Duration>> {
    let lane = &rig.lanes[1];
    lane.be(&Manner::Echo, &Manner::Echo);
    let client = contender.clients[1].clone();
    lane.run(async move { keystrokes(&client, strokes, apart).await }).await
}

async fn keystrokes(client: &Client, strokes: usize, apart: Duration) -> Result<Vec<Duration>> {
    let mut wire = client.open().await?;
    let stroke = binary(b"k", From::Client);
    let mut times = Vec::with_capacity(strokes);
    for _ in 0..strokes {
        if !apart.is_zero() {
            sleep(apart).await;
        }
        let began = Instant::now();
        wire.send(&stroke).await?;
        wire.receive_bytes(1).await?;
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times)
}

async fn beside_a_flood(rig: &Rig, contender: &Contender) -> Result<Vec<Duration>> {
    let lane = &rig.lanes[0];
    let flood = |block| Manner::Flood { block: Arc::new(block), total: u64::MAX };
    lane.be(&flood(Block::of(16 * 1024, From::Server)), &flood(Block::raw()));
    let client = contender.clients[0].clone();
    let flooding = lane.start_on(async move {
        let mut wire = client.open().await?;
        while wire.receive(|_| ()).await.is_some() {}
        Ok(())
    });
    sleep(Duration::from_millis(200)).await;
    let times = type_into(rig, contender, BESIDE_A_FLOOD, APART).await?;
    ensure!(!flooding.has_ended(), "the flood ended meanwhile");
    Ok(times)
}
