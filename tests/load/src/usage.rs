//! What processes use, from `/proc` (proc(5)).

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use porthole_tests::process::children_of;

/// Processor time of these processes and all below them, those that have ended (and were waited for) included.
pub fn processor_time(pids: &[i32]) -> Result<Duration> {
    let mut all = Duration::ZERO;
    for pid in tree(pids) {
        all += threads(pid)? + of_ended_children(pid)?;
    }
    Ok(all)
}

/// Memory of these processes and all below them, each shared page in parts (PSS), in bytes.
pub fn memory(pids: &[i32]) -> Result<u64> {
    let mut all = 0;
    for pid in tree(pids) {
        let path = format!("/proc/{pid}/smaps_rollup");
        let rollup = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        all += kib.with_context(|| format!("{path} has no Pss"))? * 1024;
    }
    Ok(all)
}

fn tree(pids: &[i32]) -> Vec<i32> {
    let mut all = pids.to_vec();
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        all.extend(children_of(*pid));
        next += 1;
    }
    all
}

/// The first figure of schedstat is nanoseconds on a processor: `stat` counts ticks of 10 ms.
fn threads(pid: i32) -> Result<Duration> {
    let path = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&path).with_context(|| format!("reading {path}"))?;
    let nanoseconds = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Ok(Duration::from_nanos(nanoseconds.sum()))
}

fn of_ended_children(pid: i32) -> Result<Duration> {
    /// `USER_HZ` is 100 on all that we run on.
    const TICK: Duration = Duration::from_millis(10);
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // The command's name, in parentheses, may hold anything. Behind it, `cutime` and `cstime` are the 14th and 15th.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u32 = rest.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    Ok(TICK * ticks)
}
