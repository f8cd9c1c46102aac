//! `porthole keys`: the keys that links are signed with.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::client::Agent;
use crate::client::api::{ROTATE, Rotated};
use crate::failure::Failure;
use crate::output::{Output, visible};

/// What to do with the keys.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  porthole keys rotate")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sign with another key; links of before stay good
    #[command(after_help = "\
Examples:
  porthole keys rotate

The agent rotates its keys by itself ([tokens] key_rotation). By hand this is for a key that may have leaked.")]
    Rotate,
}

/// Does it.
pub(super) fn run(arguments: &Arguments, agent: &Agent, output: Output) -> Result<(), Failure> {
    let Command::Rotate = arguments.command;
    let answer = agent.post::<Rotated>(ROTATE, &json!({}))?;
    output.result(&answer.json, || format!("Links are signed with key {} from now on.\n", visible(&answer.parsed.kid)))
}
