//! `porthole hook`: whether libvirt runs Porthole's hook, and the agent hears of it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use self::daemon::started;
use self::installed::{Found, look};
use crate::client::Agent;
use crate::client::api::{STATUS, Status};
use crate::failure::{Exit, Failure};
use crate::output::{Output, visible};

mod daemon;
mod installed;

/// What about it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  porthole hook status")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say whether the hook is where libvirt looks, may be run, and was run since libvirtd started
    #[command(after_help = "\
Examples:
  porthole hook status
  porthole hook status --json | jq -r .works

libvirtd looks for hooks when it starts, and on SIGHUP: after the first one was installed, restart it (guests go on).
Exit status: 0 if it is installed and was run since; 1 if not.")]
    Status {
        /// Where libvirt looks for hooks
        #[arg(long, value_name = "DIRECTORY", default_value = "/etc/libvirt/hooks")]
        hooks: PathBuf,
        /// libvirtd's pid file; by default the first of libvirt's own that is there
        #[arg(long, value_name = "PATH")]
        pid_file: Option<PathBuf>,
    },
}

/// Does it.
pub(super) fn run(arguments: &Arguments, agent: &Agent, output: Output) -> Result<(), Failure> {
    let Command::Status { hooks, pid_file } = &arguments.command;
    let status = agent.read::<Status>(STATUS)?.parsed;
    let last = status.hook.values().map(|calls| calls.last.as_str()).max();
    let (found, since) = (look(hooks), started(pid_file.as_deref()));
    // The agent counts from its own start on. Both are RFC 3339 in UTC, in which later is greater.
    let called = last.is_some_and(|last| since.as_deref().is_none_or(|since| last >= since));
    let works = matches!(found, Found::Yes(_)) && called;
    let calls: u64 = status.hook.values().map(|calls| calls.count).sum();
    let answer = json!({
        "works": works, "installed": found.path(), "problem": found.problem(), "libvirtd_since": since,
        "calls": calls, "last_call": last,
    });
    let lines = [
        ("Installed", found.path().map_or_else(|| "no".to_owned(), |path| path.display().to_string())),
        ("libvirtd since", since.clone().unwrap_or_else(|| "unknown".to_owned())),
        ("Steps told", calls.to_string()),
        ("The last", last.unwrap_or("none").to_owned()),
    ];
    output.result(&answer, || {
        lines.iter().fold(String::new(), |text, (what, value)| format!("{text}{what:18} {}\n", visible(value)))
    })?;
    if let Some(problem) = found.problem() {
        return Err(Failure::new(Exit::Refused, problem)
            .next(format!("ln -s /usr/libexec/porthole-hook {}/qemu.d/porthole", hooks.display()))
            .next("then restart libvirtd once: it looks for hooks when it starts"));
    }
    if called {
        return Ok(());
    }
    Err(Failure::new(Exit::Refused, "libvirt has not run the hook since it started, or the agent has not heard of it")
        .next("start a guest, and look again: the hook is run at each step of a guest's life only")
        .next("if a guest was started: restart libvirtd, which looks for hooks when it starts"))
}
