//! `porthole tokens`: withdrawing links.

use clap::{Args, Subcommand};
use porthole_shared::names::TokenId;
use serde_json::json;

use crate::client::Agent;
use crate::client::api::TOKENS;
use crate::failure::Failure;
use crate::output::Output;

/// What to do with a link.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  porthole tokens revoke 5f0c2f5e-8f0b-4f0e-9a64-3f3b6f1f2a77")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Withdraw a link; sessions that it opened end
    #[command(after_help = "\
Examples:
  porthole tokens revoke 5f0c2f5e-8f0b-4f0e-9a64-3f3b6f1f2a77
  porthole sessions --json | jq -r '.sessions[] | select(.requestor == \"alice\") | .token_id' |
    xargs -n 1 porthole tokens revoke")]
    Revoke {
        /// The token's id: `id` of `porthole url --json`, `token_id` of `porthole sessions --json`
        id: TokenId,
    },
}

/// Does it.
pub(super) fn run(arguments: &Arguments, agent: &Agent, output: Output) -> Result<(), Failure> {
    let Command::Revoke { id } = arguments.command;
    agent.delete(&format!("{TOKENS}/{id}"))?;
    output.result(&json!({ "revoked": id }), || format!("Token {id} was revoked.\n"))
}
