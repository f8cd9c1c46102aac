//! Processes by what `/proc` says of them: identity across pid reuse, children, pids of another PID namespace.

use std::fs;
use std::path::Path;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process and no later one that was given the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its process id.
    pub pid: i32,
    /// When it started, in clock ticks since boot: field 22 of `/proc/PID/stat`.
    pub started: u64,
}

impl Identity {
    /// Of a running process (a zombie counts until it is reaped).
    pub fn of(pid: i32) -> Option<Self> {
        let (_, started) = state_and_start(pid)?;
        Some(Self { pid, started })
    }

    /// Whether it still runs. A zombie does not.
    pub fn is_alive(self) -> bool {
        matches!(state_and_start(self.pid), Some((state, started)) if started == self.started && state != 'Z')
    }

    /// Sends a signal to it, and to no later process of the same pid.
    pub fn signal(self, signal: Signal) -> bool {
        self.is_alive() && signal::kill(Pid::from_raw(self.pid), signal).is_ok()
    }
}

/// The direct children of a process.
pub fn children_of(parent: i32) -> Vec<i32> {
    pids().filter(|pid| status_numbers(*pid, "PPid:").first() == Some(&parent)).collect()
}

/// The pid that a process of another PID namespace has here. `member` is any process of that namespace.
pub fn pid_in_namespace_of(member: i32, inner: i32) -> Option<i32> {
    let namespace = namespace_of(member)?;
    pids().find(|pid| {
        status_numbers(*pid, "NSpid:").last() == Some(&inner) && namespace_of(*pid) == Some(namespace.clone())
    })
}

fn namespace_of(pid: i32) -> Option<std::path::PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir(Path::new("/proc")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn status_numbers(pid: i32, field: &str) -> Vec<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// The state letter and the start time. The name in between may hold anything, so fields count from its last bracket.
fn state_and_start(pid: i32) -> Option<(char, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}
