//! How busy the machine was with other things before a run: what makes its figures worth less.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use tokio::time::sleep;

/// How long it is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Above this share of all processors' time somebody else is at work.
const QUIET: f64 = 0.05;

/// What else the machine did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Noise {
    /// The share of all processors' time that was in use before anything was measured, from 0 to 1.
    pub busy_before: f64,
    /// How many processors there are.
    pub processors: usize,
}

impl Noise {
    /// Looks at the machine while nothing of ours runs.
    pub async fn now() -> Result<Self> {
        let before = times()?;
        sleep(LOOK).await;
        let after = times()?;
        let (all, idle) = (after.0 - before.0, after.1 - before.1);
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self { busy_before: if all > 0.0 { 1.0 - idle / all } else { 0.0 }, processors })
    }
}

/// The processors' time since boot, in all and idle, in ticks (proc(5), `/proc/stat`).
fn times() -> Result<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest times are part of user's.
    let ticks = ticks.get(..8).context("/proc/stat has too few columns")?;
    Ok((ticks.iter().sum(), ticks[3] + ticks[4]))
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { busy_before, processors } = self;
        let verdict = if *busy_before > QUIET { "NOISY: run it again on a quiet machine" } else { "quiet" };
        write!(
            f,
            "{processors} processors, {:.0} % busy with other things before the run: {verdict}",
            busy_before * 100.0
        )
    }
}
