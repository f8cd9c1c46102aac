//! The terminal that a demo runs at: what is typed there, and whether anybody is still there.

use std::fs;
use std::io::{BufRead as _, IsTerminal as _};

use tokio::sync::mpsc;

use crate::process::Identity;

/// Lines that are typed. By a thread of its own, which nothing waits for: reading a terminal cannot be broken off.
/// In the background of a shell nothing is read, for that would stop this process.
pub(super) fn lines_of_input() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    let input = std::io::stdin();
    let foreground = Stat::of("self").is_some_and(|stat| stat.terminal == 0 || stat.group == stat.foreground_group);
    if foreground || !input.is_terminal() {
        std::thread::spawn(move || {
            for line in input.lock().lines() {
                let Ok(line) = line else { return };
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// The processes between us and the terminal: make, sudo, a shell. A terminal that closes sends SIGHUP to the first of
/// them only, and not each passes it on (make does not, where `ssh -t HOST make demo` makes it the first).
pub(super) struct Company {
    parent: i32,
    at_terminal: Vec<Identity>,
}

impl Company {
    pub(super) fn now() -> Self {
        let parent = Stat::of("self").map_or(0, |stat| stat.parent);
        let mut at_terminal = Vec::new();
        let mut pid = i32::try_from(std::process::id()).unwrap_or_default();
        while let Some(stat) = Stat::of(&pid.to_string())
            && stat.terminal != 0
        {
            at_terminal.extend(Identity::of(pid));
            pid = stat.parent;
        }
        Self { parent, at_terminal }
    }

    /// Whether our parent has ended, or one of them has lost its terminal.
    pub(super) fn has_left(&self) -> bool {
        let lost = |process: &Identity| {
            process.is_alive() && Stat::of(&process.pid.to_string()).is_some_and(|stat| stat.terminal == 0)
        };
        Stat::of("self").is_some_and(|stat| stat.parent != self.parent) || self.at_terminal.iter().any(lost)
    }
}

/// Fields 4, 5, 7 and 8 of `/proc/PID/stat`.
struct Stat {
    parent: i32,
    group: i32,
    terminal: i32,
    foreground_group: i32,
}

impl Stat {
    fn of(pid: &str) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before may hold anything, so fields count from its last bracket.
        let numbers: Vec<i32> =
            stat.rsplit_once(')')?.1.split_whitespace().skip(1).map_while(|n| n.parse().ok()).collect();
        let [parent, group, _session, terminal, foreground_group, ..] = *numbers.as_slice() else { return None };
        Some(Self { parent, group, terminal, foreground_group })
    }
}
