//! How busy the machine was with other things: what makes figures worth less.
//!
//! Looked at before a run, and between its rounds, when what a run leaves on (a stack and a guest) idles.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use tokio::time::sleep;

/// How long one look takes.
const LOOK: Duration = Duration::from_millis(500);

/// Above this share of all processors' time somebody else is at work; an idle guest takes less.
const QUIET: f64 = 0.1;

/// What else the machine did: shares of all processors' time, from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Noise {
    /// How much of it was in use, on average of all looks.
    pub busy: f64,
    /// How much was at most.
    pub busy_at_most: f64,
    /// How often it was looked at.
    pub looks: usize,
    /// How many processors there are.
    pub processors: usize,
}

impl Noise {
    /// Looks at the machine while nothing of ours runs.
    pub async fn before() -> Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut noise = Self { busy: 0.0, busy_at_most: 0.0, looks: 0, processors };
        noise.look().await?;
        Ok(noise)
    }

    /// Looks at it once more. Between rounds.
    pub async fn look(&mut self) -> Result<()> {
        let before = times()?;
        sleep(LOOK).await;
        let after = times()?;
        let (all, idle) = (after.0 - before.0, after.1 - before.1);
        self.add(if all > 0.0 { 1.0 - idle / all } else { 0.0 });
        Ok(())
    }

    fn add(&mut self, busy: f64) {
        self.looks += 1;
        #[expect(clippy::cast_precision_loss, reason = "a handful of looks")]
        let looks = self.looks as f64;
        self.busy += (busy - self.busy) / looks;
        self.busy_at_most = self.busy_at_most.max(busy);
    }

    /// Whether it was quiet the whole time.
    fn is_quiet(&self) -> bool {
        self.busy_at_most <= QUIET
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
        let (busy, most) = (self.busy * 100.0, self.busy_at_most * 100.0);
        let verdict = if self.is_quiet() { "quiet" } else { "NOISY: run it again on a quiet machine" };
        let processors = self.processors;
        write!(
            f,
            "{processors} processors, busy with other things: {busy:.0} % on average, {most:.0} % at most: {verdict}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_busy_moment_is_noise() {
        let mut noise = Noise { busy: 0.0, busy_at_most: 0.0, looks: 0, processors: 2 };
        noise.add(0.0);
        noise.add(0.06);
        assert!(noise.is_quiet(), "{noise:?}");
        noise.add(0.9);
        assert!(!noise.is_quiet() && noise.to_string().contains("32 % on average, 90 % at most: NOISY"), "{noise}");
    }
}
