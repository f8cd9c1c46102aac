//! A day's mixture in some minutes, through an edge and an agent: what must not grow, and who must not wait.
//!
//! | sessions | do |
//! |---|---|
//! | most | a keystroke every two seconds, and its echo |
//! | many | come, type a little and go, all the time |
//! | some | take nothing of a flood until they are given up, then come again |
//! | few | read a flood as fast as they can |
//!
//! The mixture runs twice, first a fifth of the time. When all sessions of a run have ended, descriptors and memory are
//! counted: what the second run leaves beyond the first is growth. Tasks are looked at by what they hold: a session that
//! is left over holds two descriptors in each daemon.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::backend::Manner;
use crate::client::Client;
use crate::contender::{Key, Rig};
use crate::frames::{Block, From, binary};
use crate::lane::Lane;
use crate::usage;

/// How many of each sort there are at any time: a thousand in all.
const TYPING: usize = 700;
const CHURNING: usize = 246;
const STUCK: usize = 50;
const FLOODING: usize = 4;

/// How long somebody waits between keystrokes, and how many a short session has.
const BETWEEN_KEYS: Duration = Duration::from_secs(2);
const SHORT: usize = 3;

/// A stuck client is given up by the agent after a ping interval and a timeout, a minute in all.
const GIVEN_UP: Duration = Duration::from_secs(65);

/// Whoever waits so long for an echo is not served.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a process may keep of a run beyond what it kept of the one before: the allocator's, not sessions'.
const MAY_GROW: u64 = 6 << 20;
const MORE_DESCRIPTORS: usize = 16;

/// A flood gets at least this part of what floods get on average.
const SHARE: f64 = 0.5;

/// What a run of the mixture did.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// How long it ran.
    pub seconds: u64,
    /// Sessions opened.
    pub opened: u64,
    /// Keystrokes, and how long half and nearly all of them waited for their echo, in milliseconds.
    pub keystrokes: usize,
    /// Half.
    pub p50: f64,
    /// 99 of 100.
    pub p99: f64,
    /// The longest.
    pub longest: f64,
    /// What each flood moved, in MiB.
    pub floods: Vec<u64>,
    /// What edge and agent hold when all sessions have ended: descriptors.
    pub descriptors: [usize; 2],
    /// And memory, in KiB.
    pub memory: [u64; 2],
}

#[derive(Debug, Default)]
struct Seen {
    opened: u64,
    echoes: Vec<Duration>,
    floods: Vec<u64>,
    failure: Option<anyhow::Error>,
}

type Shared = Arc<Mutex<Seen>>;

/// Runs the mixture for a fifth of this time and then for all of it. Fails where something grew, or somebody waited.
pub async fn run(time: Duration) -> Result<[Outcome; 2]> {
    let rig = Rig::start().await?;
    let warm = mixture(&rig, time / 5).await.context("the first, short run")?;
    let long = mixture(&rig, time).await.context("the long run")?;
    for (index, daemon) in ["edge", "agent"].into_iter().enumerate() {
        let (before, after) = (warm.memory[index], long.memory[index]);
        ensure!((after.saturating_sub(before)) * 1024 <= MAY_GROW, "the {daemon} went from {before} to {after} KiB");
        let (before, after) = (warm.descriptors[index], long.descriptors[index]);
        ensure!(after <= before + MORE_DESCRIPTORS, "the {daemon} went from {before} to {after} descriptors");
    }
    Ok([warm, long])
}

async fn mixture(rig: &Rig, time: Duration) -> Result<Outcome> {
    let both = rig.contender("edge + agent", Key::Ecdsa)?;
    let [bulk, quick] = &rig.lanes;
    let flood = Manner::Flood { block: Arc::new(Block::raw()), total: u64::MAX };
    bulk.be(&flood, &flood);
    quick.be(&Manner::Echo, &Manner::Echo);
    let seen = Shared::default();
    let (over, until) = watch::channel(false);
    let mut running = Vec::new();
    for number in 0..TYPING {
        let (client, seen) = (both.clients[1].clone(), Arc::clone(&seen));
        running.push(go_on(quick, &until, &seen.clone(), async move || {
            sleep(BETWEEN_KEYS.mul_f64(number as f64 / TYPING as f64)).await;
            type_into(&client, usize::MAX, &seen).await
        }));
    }
    for _ in 0..CHURNING {
        let (client, seen) = (both.clients[1].clone(), Arc::clone(&seen));
        running.push(go_on(quick, &until, &seen.clone(), async move || type_into(&client, SHORT, &seen).await));
    }
    for _ in 0..STUCK {
        let (client, seen) = (both.clients[0].clone(), Arc::clone(&seen));
        running.push(go_on(bulk, &until, &seen.clone(), async move || {
            let _unread = open(&client, &seen).await?;
            sleep(GIVEN_UP).await;
            Ok(())
        }));
    }
    for index in 0..FLOODING {
        with(&seen, |seen| seen.floods.push(0));
        let (client, seen) = (both.clients[0].clone(), Arc::clone(&seen));
        running.push(go_on(bulk, &until, &seen.clone(), async move || {
            let mut wire = open(&client, &seen).await?;
            while let Some(length) = wire.receive(|bytes| bytes.len() as u64).await {
                with(&seen, |seen| seen.floods[index] += length);
            }
            bail!("a flood ended by itself")
        }));
    }
    let began = Instant::now();
    while began.elapsed() < time && with(&seen, |seen| seen.failure.is_none()) {
        sleep(Duration::from_millis(200).min(time)).await;
    }
    let seconds = began.elapsed().as_secs();
    over.send(true)?;
    for session in running {
        session.await?;
    }
    let (descriptors, memory) = left(&both.pids).await?;
    let mut seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    if let Some(failure) = seen.failure {
        return Err(failure);
    }
    seen.echoes.sort();
    ensure!(!seen.echoes.is_empty(), "nobody could type");
    let at = |percent: usize| seen.echoes[(seen.echoes.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    let least = seen.floods.iter().min().copied().unwrap_or_default() as f64;
    let mean = seen.floods.iter().sum::<u64>() as f64 / seen.floods.len() as f64;
    ensure!(least >= mean * SHARE, "floods moved {:?} bytes: one had less than its share", seen.floods);
    Ok(Outcome {
        seconds,
        opened: seen.opened,
        keystrokes: seen.echoes.len(),
        p50: at(50),
        p99: at(99),
        longest: at(100),
        floods: seen.floods.iter().map(|bytes| bytes >> 20).collect(),
        descriptors,
        memory,
    })
}

/// Does it again and again until all is over. What fails ends the run.
fn go_on(
    lane: &Lane,
    until: &watch::Receiver<bool>,
    seen: &Shared,
    mut once: impl AsyncFnMut() -> Result<()> + Send + 'static,
) -> tokio::task::JoinHandle<()>
where
    // What an async closure gives cannot be named yet.
{
    let (mut until, seen) = (until.clone(), Arc::clone(seen));
    lane.spawn_local_like(async move {
        loop {
            tokio::select! {
                _over = until.wait_for(|over| *over) => return,
                done = once() => if let Err(error) = done {
                    with(&seen, |seen| { seen.failure.get_or_insert(error); });
                    return;
                },
            }
        }
    })
}
