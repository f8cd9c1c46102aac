//! `porthole`: the operator's commands.
//!
//! ```text
//! args ─► commands/… ─► client (the agent's API over its unix socket) ─► output
//!      └► pki/…      (certificates; speaks to nobody)                 ─► output
//! ```
//!
//! Nothing here links libvirt or opens the agent's database: what an operator may do, the agent's API decides.
#![forbid(unsafe_code)]

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;

mod args;
mod client;
mod commands;
mod failure;
mod output;
mod pki;

use args::CommandLine;
use output::Output;

fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(usage) => return commands::usage(&usage),
    };
    let output = Output::new(line.general.json, colour_wanted());
    match commands::run(line, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            failure.exit.into()
        }
    }
}

/// Only on a terminal that knows colours, and not against the user's wish (<https://no-color.org>).
fn colour_wanted() -> bool {
    #[expect(clippy::disallowed_methods, reason = "this is the environment's one place")]
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    std::io::stdout().is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}
