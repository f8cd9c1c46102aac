//! What a relay costs: processor time for bytes, connections and idling, memory, round trips.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use porthole_tests::bench::Noise;
use tokio::time::sleep;

use crate::compare::{Aim, Results};
use crate::contender::{Contender, Rig};
use crate::usage;

mod connect;
mod idle;
mod latency;
mod transfer;

/// What is measured, by the names that the command line takes.
pub const PARTS: [&str; 5] = ["transfer", "connect", "latency", "memory", "pings"];

/// What is to be reached.
pub const AIMS: &[Aim] = &[
    Aim { what: "down, frames of 16 KiB", of: EDGE, over: Some(HAPROXY), at_most: 0.6 },
    Aim { what: "up, frames of 16 KiB", of: EDGE, over: Some(HAPROXY), at_most: 0.7 },
    Aim { what: "a new connection, ECDSA, full", of: EDGE, over: Some(HAPROXY), at_most: 1.0 },
    Aim { what: "a new connection, ECDSA, resumed", of: EDGE, over: Some(HAPROXY), at_most: 1.0 },
    Aim { what: "a new connection, RSA, full", of: EDGE, over: Some(HAPROXY), at_most: 1.0 },
    Aim { what: "a new connection, RSA, resumed", of: EDGE, over: Some(HAPROXY), at_most: 1.0 },
    Aim { what: "an idle session, fresh", of: EDGE, over: None, at_most: 12.0 },
    Aim { what: "an idle session, after traffic", of: EDGE, over: None, at_most: 12.0 },
    Aim { what: "4000 idle sessions with pings", of: EDGE, over: None, at_most: 1.0 },
    Aim { what: "a keystroke beside a flood, p50", of: EDGE, over: None, at_most: 500.0 },
    Aim { what: "a keystroke beside a flood, p99", of: EDGE, over: None, at_most: 6000.0 },
    Aim { what: "down, as the console sends", of: AGENT, over: Some(WEBSOCKIFY), at_most: 0.8 },
    Aim { what: "up to a console, frames of 1 KiB", of: AGENT, over: Some(WEBSOCKIFY), at_most: 0.3 },
    Aim { what: "an idle session, fresh", of: AGENT, over: None, at_most: 24.0 },
    Aim { what: "an idle session, after traffic", of: AGENT, over: None, at_most: 24.0 },
];

const EDGE: &str = "porthole-edge";
const AGENT: &str = "porthole-agent";
const HAPROXY: &str = "haproxy";
const WEBSOCKIFY: &str = "websockify";
const BOTH: &str = "edge + agent";
const TLS_FLOOR: &str = "floor: TLS relay";
const TCP_FLOOR: &str = "floor: TCP relay";

/// Measures so many rounds of the named parts (of all, if none is named), each contender once a round.
pub async fn measure(rounds: usize, parts: &[&str], noise: &mut Noise) -> Result<Results> {
    let wanted = |part| parts.is_empty() || parts.contains(&part);
    let rig = Arc::new(Rig::start().await?);
    let mut results = Results::default();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        if wanted("transfer") {
            transfer::round(&rig, &mut results).await?;
        }
        if wanted("connect") {
            connect::round(&rig, &mut results).await?;
        }
        if wanted("latency") {
            latency::round(&rig, &mut results).await?;
        }
        noise.look().await?;
    }
    // Once: a process that keeps what its sessions took would need nothing for the next ones.
    if wanted("memory") {
        idle::memory(&rig, &mut results).await?;
    }
    // Once: it takes its time, and a share of a processor over seconds does not vary much.
    if wanted("pings") {
        idle::pings(&rig, &mut results).await?;
    }
    Ok(results)
}

/// What was measured of somebody, or how it failed.
fn of<T>(contender: &Contender, result: Result<T>) -> Result<T> {
    result.with_context(|| format!("measuring {}", contender.name))
}

/// Processor time that the contender takes while this runs, and for what is left to do right after it.
async fn cost<T>(contender: &Contender, work: impl Future<Output = Result<T>>) -> Result<(T, Duration)> {
    let before = usage::processor_time(&contender.pids)?;
    let done = work.await?;
    sleep(Duration::from_millis(50)).await;
    let after = usage::processor_time(&contender.pids)?;
    Ok((done, after.checked_sub(before).context("a process has gone, and its time with it")?))
}
