//! A day's mixture in some minutes, through an edge and an agent: what must not grow, and who must not wait.
//!
//! | sessions | do |
//! |---|---|
//! | most | a keystroke every two seconds, and its echo |
//! | many | come, type a little and go, all the time |
//! | some | take nothing of a flood until they are given up, then come again |
//! | few | read a flood as fast as they can |
//!
//! The mixture runs twice, first a fifth of the time. What the second run takes beyond the first is growth: of memory
//! while it runs, towards its end (how much of it an allocator gives back when all have left is chance); of descriptors
//! when all sessions have ended: one that were left over would hold two in each daemon, and its task with them.

use std::future::Future;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_tests::bench::Figure;
use serde::Serialize;
use tokio::time::{sleep, timeout};

use crate::backend::{ANSWER, Manner};
use crate::client::Client;
use crate::contender::{Key, Rig};
use crate::frames::{Block, From, binary, pong};
use crate::lane::Running;
use crate::usage;
use crate::wire::Wire;

/// How many of each sort there are at any time: a thousand in all.
const TYPING: u32 = 700;
const CHURNING: u32 = 246;
const STUCK: u32 = 50;
const FLOODING: usize = 4;

/// How long somebody waits between keystrokes, and how many a short session has.
const BETWEEN_KEYS: Duration = Duration::from_secs(2);
const SHORT: usize = 3;

/// All of them come within this time: a day does not begin with everybody at once.
const COMING: Duration = Duration::from_secs(10);

/// A stuck client is given up by the agent after a ping interval and a timeout, a minute in all.
const GIVEN_UP: Duration = Duration::from_secs(65);

/// How often a flood's reader says that it is there.
const STILL_HERE: Duration = Duration::from_secs(5);

/// Whoever waits so long for an echo, or for a session, is not served.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often memory is looked at in the last quarter of a run.
const LOOK: Duration = Duration::from_secs(2);

/// What a process may take in the second run beyond the first: the allocator's and SQLite's, not sessions'.
const MAY_GROW_KIB: f64 = 6.0 * 1024.0;
const MORE_DESCRIPTORS: usize = 16;

/// A flood gets at least this part of what floods get on average.
const SHARE: f64 = 0.5;

/// What a run of the mixture did, and left.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// How long it ran.
    pub seconds: u64,
    /// Sessions opened.
    pub opened: u64,
    /// Keystrokes.
    pub keystrokes: usize,
    /// Half of them had their echo so soon, in milliseconds.
    pub p50: f64,
    /// 99 of 100.
    pub p99: f64,
    /// All.
    pub longest: f64,
    /// What each flood moved, in MiB.
    pub floods: Vec<u64>,
    /// What edge and agent hold when all sessions have ended: descriptors.
    pub descriptors: Vec<usize>,
    /// Memory before that, in KiB: the median of what was seen towards the end.
    pub memory: Vec<f64>,
}

#[derive(Debug, Default)]
struct Seen {
    opened: u64,
    echoes: Vec<Duration>,
    floods: Vec<u64>,
    failure: Option<anyhow::Error>,
}

/// What one session of the mixture has to do with.
#[derive(Debug, Clone)]
struct Part {
    client: Client,
    seen: Arc<Mutex<Seen>>,
}

/// Runs the mixture for a fifth of this time and then for all of it. Fails where something grew, or somebody waited.
pub async fn run(time: Duration) -> Result<[Outcome; 2]> {
    let rig = Rig::start().await?;
    let warm = mixture(&rig, time / 5).await.context("the first, short run")?;
    let long = mixture(&rig, time).await.context("the long run")?;
    for (index, daemon) in ["edge", "agent"].into_iter().enumerate() {
        let (before, after) = (warm.memory[index], long.memory[index]);
        ensure!(after <= before + MAY_GROW_KIB, "the {daemon} went from {before} to {after} KiB");
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
    let nothing = || Seen { floods: vec![0; FLOODING], ..Seen::default() };
    let seen = Arc::new(Mutex::new(nothing()));
    let part = |client: usize| Part { client: both.clients[client].clone(), seen: Arc::clone(&seen) };
    let mut running: Vec<Running> = Vec::new();
    for index in 0..FLOODING {
        let part = part(0);
        running.push(bulk.start_on(part.clone().or_fail(async move { part.flood(index).await })));
    }
    for _ in 0..STUCK {
        let part = part(0);
        running.push(bulk.start_on(part.clone().or_fail(async move { part.be_stuck().await })));
    }
    for number in 0..TYPING {
        let part = part(1);
        let later = COMING * number / TYPING;
        running.push(quick.start_on(part.clone().or_fail(async move {
            sleep(later).await;
            part.type_into(usize::MAX).await
        })));
    }
    for number in 0..CHURNING {
        let part = part(1);
        let later = COMING * number / CHURNING;
        running.push(quick.start_on(part.clone().or_fail(async move {
            sleep(later).await;
            loop {
                part.type_into(SHORT).await?;
            }
        })));
    }
    let began = Instant::now();
    let mut looks = vec![Vec::new(); both.pids.len()];
    while began.elapsed() < time && part(0).seen(|seen| seen.failure.is_none()) {
        sleep(LOOK.min(time / 16)).await;
        if began.elapsed() > time * 3 / 4 {
            for (looks, pid) in looks.iter_mut().zip(&both.pids) {
                looks.push(u32::try_from(usage::memory(&[*pid])? / 1024).map(f64::from)?);
            }
        }
    }
    let seconds = began.elapsed().as_secs();
    drop(running);
    let Seen { opened, mut echoes, floods, failure } = part(0).seen(|seen| std::mem::replace(seen, nothing()));
    if let Some(failure) = failure {
        return Err(failure);
    }
    let descriptors = left(&both.pids).await?;
    let memory = looks.into_iter().map(|looks| Figure::of("memory", "KiB", looks).median).collect();
    echoes.sort();
    ensure!(!echoes.is_empty(), "nobody could type");
    let at = |percent: usize| echoes[(echoes.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    let floods: Vec<u64> = floods.into_iter().map(|bytes| bytes >> 20).collect();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let (least, mean) = (
        floods.iter().min().copied().unwrap_or_default() as f64,
        floods.iter().sum::<u64>() as f64 / floods.len() as f64,
    );
    ensure!(least >= mean * SHARE, "the floods moved {floods:?} MiB: one had less than its share");
    let (keystrokes, p50, p99, longest) = (echoes.len(), at(50), at(99), at(100));
    Ok(Outcome { seconds, opened, keystrokes, p50, p99, longest, floods, descriptors, memory })
}

impl Part {
    fn seen<T>(&self, see: impl FnOnce(&mut Seen) -> T) -> T {
        see(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does it; what fails ends the run.
    async fn or_fail(self, what: impl Future<Output = Result<()>>) -> Result<()> {
        if let Err(error) = what.await {
            self.seen(|seen| {
                seen.failure.get_or_insert(error);
            });
        }
        Ok(())
    }

    async fn open(&self) -> Result<Wire> {
        let wire = timeout(PATIENCE, self.client.open()).await.context("a session does not open")??;
        self.seen(|seen| seen.opened += 1);
        Ok(wire)
    }

    async fn type_into(&self, strokes: usize) -> Result<()> {
        let mut wire = self.open().await?;
        let stroke = binary(b"k", From::Client);
        for _ in 0..strokes {
            sleep(BETWEEN_KEYS).await;
            let began = Instant::now();
            wire.send(&stroke).await?;
            // Past what it is asked between: typing says that somebody is there.
            let echo = wire.receive_until(|bytes| {
                if bytes.contains(&ANSWER) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            timeout(PATIENCE, echo).await.context("an echo does not come")??;
            self.seen(|seen| seen.echoes.push(began.elapsed()));
        }
        Ok(())
    }

    async fn be_stuck(&self) -> Result<()> {
        loop {
            let _unread = self.open().await?;
            sleep(GIVEN_UP).await;
        }
    }

    async fn flood(&self, index: usize) -> Result<()> {
        let mut wire = self.open().await?;
        let mut said = Instant::now();
        while let Some(length) = wire.receive(|bytes| bytes.len() as u64).await {
            self.seen(|seen| seen.floods[index] += length);
            // Whoever is asked whether it is there has to say so; what it is asked between is not looked at.
            if said.elapsed() > STILL_HERE {
                said = Instant::now();
                wire.send(&pong()).await?;
            }
        }
        bail!("a flood ended by itself")
    }
}

/// The descriptors that the processes hold once they do not become less any more.
async fn left(pids: &[i32]) -> Result<Vec<usize>> {
    let count = |pid: &i32| std::fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count);
    let descriptors = || pids.iter().map(count).collect::<Result<Vec<_>, _>>();
    let mut last = descriptors()?;
    let mut same = 0;
    // Those who say goodbye have some seconds for it.
    while same < 8 {
        sleep(Duration::from_secs(1)).await;
        let now = descriptors()?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}
