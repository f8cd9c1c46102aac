//! How long a keystroke takes to its echo: alone, and beside a session that floods.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::time::sleep;

use super::{AGENT, BOTH, EDGE, HAPROXY, TCP_FLOOR, TLS_FLOOR, WEBSOCKIFY, of};
use crate::backend::Manner;
use crate::client::Client;
use crate::compare::Results;
use crate::contender::{Contender, Key, Rig};
use crate::frames::{Block, From, binary};

/// How many keystrokes are timed in a round, and how far apart they are beside a flood: people do not type faster.
const KEYSTROKES: usize = 1000;
const BESIDE_A_FLOOD: usize = 200;
const APART: Duration = Duration::from_millis(5);

/// The first of each is the one to subtract.
const ALONE: [&str; 10] =
    ["none: TLS", "none: TCP", EDGE, HAPROXY, "nginx", TLS_FLOOR, TCP_FLOOR, AGENT, WEBSOCKIFY, BOTH];

const BESIDE: [&str; 8] = [EDGE, "none: TLS", HAPROXY, "nginx", TLS_FLOOR, AGENT, WEBSOCKIFY, BOTH];

pub(super) async fn round(rig: &Rig, results: &mut Results) -> Result<()> {
    for name in ALONE {
        let contender = rig.contender(name, Key::Ecdsa)?;
        let times = of(contender, type_into(rig, contender, KEYSTROKES, Duration::ZERO).await)?;
        add(results, "a keystroke", name, &times);
    }
    for name in BESIDE {
        let contender = rig.contender(name, Key::Ecdsa)?;
        let times = of(contender, beside_a_flood(rig, contender).await)?;
        add(results, "a keystroke beside a flood", name, &times);
    }
    Ok(())
}

fn add(results: &mut Results, what: &str, contender: &'static str, times: &[Duration]) {
    for (called, percent) in [("p50", 50), ("p99", 99)] {
        let at = times[(times.len() - 1) * percent / 100];
        results.add(format!("{what}, {called}"), "µs", contender, at.as_secs_f64() * 1e6);
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
