//! What sessions cost that do nothing: memory, and processor time for pings.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::sleep;

use super::{AGENT, EDGE, HAPROXY, TLS_FLOOR, WEBSOCKIFY, of};
use crate::backend::{Manner, spread};
use crate::client::Client;
use crate::compare::Results;
use crate::contender::{Contender, Key, Rig};
use crate::frames::{Block, From, pong};
use crate::usage;
use crate::wire::Wire;

/// How many sessions memory is counted over, which the system gives by 2 MiB; a process each is counted over fewer.
const SESSIONS: usize = 4000;
const PROCESSES: usize = 20;

/// How many there are with pings, and how far apart the pings of one are. That is looked at for a whole interval, because
/// an agent pings those together that were opened together.
const WITH_PINGS: usize = 4000;
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// How far the farthest client is: pongs do not come back together, as pings go out.
const FAR: Duration = Duration::from_millis(100);

/// How many are opened at once.
const OPENERS: usize = 32;

const CONTENDERS: [&str; 6] = [EDGE, HAPROXY, "nginx", TLS_FLOOR, AGENT, WEBSOCKIFY];

pub(super) async fn memory(rig: &Rig, results: &mut Results) -> Result<()> {
    for name in CONTENDERS {
        let contender = rig.contender(name, Key::Ecdsa)?;
        let count = if name == WEBSOCKIFY { PROCESSES } else { SESSIONS };
        let (fresh, after) = of(contender, sessions(rig, contender, count).await)?;
        results.add("an idle session, fresh", "KiB", name, fresh);
        results.add("an idle session, after traffic", "KiB", name, after);
    }
    Ok(())
}

/// KiB for each of so many sessions, before and after each of them has moved something both ways.
async fn sessions(rig: &Rig, contender: &Contender, count: usize) -> Result<(f64, f64)> {
    let lane = &rig.lanes[0];
    let (asked, answer) = (Block::of(1024, From::Client), Arc::new(Block::of(16 * 1024, From::Server)));
    let question = |length: usize| Manner::Talk { question: length as u64, answer: Arc::clone(&answer) };
    lane.be(&question(asked.bytes.len()), &question(asked.payload));
    // What a contender takes for its first sessions and keeps is not theirs.
    let client = contender.clients[0].clone();
    drop(open(rig, &client, count.min(100)).await?);
    let before = settled(contender).await?;
    let wires = open(rig, &client, count).await?;
    let fresh = settled(contender).await?;
    let wires = lane
        .run(async move {
            let talking = stream::iter(wires).map(|mut wire: Wire| {
                let asked = &asked;
                let answer = &answer;
                async move {
                    for _ in 0..2 {
                        wire.send(&asked.bytes).await?;
                        wire.receive_bytes(answer.bytes.len() as u64).await?;
                    }
                    anyhow::Ok(wire)
                }
            });
            talking.buffer_unordered(OPENERS).try_collect::<Vec<_>>().await
        })
        .await?;
    let after = settled(contender).await?;
    ensure!(wires.len() == count, "sessions were lost");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let each = |now: u64| now.saturating_sub(before) as f64 / 1024.0 / count as f64;
    Ok((each(fresh), each(after)))
}

async fn open(rig: &Rig, client: &Client, count: usize) -> Result<Vec<Wire>> {
    let client = client.clone();
    rig.lanes[0]
        .run(async move {
            let opening = stream::iter(0..count).map(|_| client.open());
            opening.buffer_unordered(OPENERS).try_collect().await
        })
        .await
}

/// Memory once it does not change any more.
async fn settled(contender: &Contender) -> Result<u64> {
    let mut last = 0;
    for _ in 0..40 {
        sleep(Duration::from_millis(250)).await;
        let now = usage::memory(&contender.pids)?;
        if now.abs_diff(last) <= now / 500 {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}

pub(super) async fn pings(rig: &Rig, results: &mut Results) -> Result<()> {
    for name in [EDGE, HAPROXY, "nginx", TLS_FLOOR, AGENT] {
        let contender = rig.contender(name, Key::Ecdsa)?;
        let share = of(contender, with_pings(rig, contender).await)?;
        results.add("4000 idle sessions with pings", "% of a core", name, share);
    }
    Ok(())
}

/// The share of a processor, in percent. An agent pings by itself.
async fn with_pings(rig: &Rig, contender: &Contender) -> Result<f64> {
    let lane = &rig.lanes[0];
    lane.be(&Manner::Idle { interval: Some(PING_INTERVAL) }, &Manner::Idle { interval: None });
    let wires = open(rig, &contender.clients[0], WITH_PINGS).await?;
    let answering = lane.start_on(async move {
        let answering = (0..).zip(wires).map(|(ordinal, mut wire)| async move {
            let far = FAR.mul_f64(spread(ordinal));
            while wire.receive(|_| ()).await.is_some() {
                sleep(far).await;
                wire.send(&pong()).await?;
            }
            anyhow::bail!("a session ended")
        });
        try_join_all(answering).await.map(|_: Vec<()>| ())
    });
    // The first pings of those that were opened first are past.
    sleep(Duration::from_secs(2)).await;
    let (before, began) = (usage::processor_time(&contender.pids)?, Instant::now());
    sleep(PING_INTERVAL).await;
    let spent = usage::processor_time(&contender.pids)?.checked_sub(before).context("time runs backwards")?;
    ensure!(!answering.has_ended(), "a session ended meanwhile");
    Ok(spent.as_secs_f64() / began.elapsed().as_secs_f64() * 100.0)
}
