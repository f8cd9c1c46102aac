//! `porthole sessions`: who is connected, and ending it.

use clap::{Args, Subcommand};
use porthole_shared::names::SessionId;
use serde_json::json;

use crate::client::Agent;
use crate::client::api::{SESSIONS, Session, Sessions};
use crate::failure::Failure;
use crate::output::{Cell, Output, Table, Tone};

/// List, or end one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  porthole sessions
  porthole sessions --json | jq -r '.sessions[] | select(.requestor == \"alice\") | .id'
  porthole sessions kill 0b9ff6b5-6d4f-4d4c-8f5e-7e1f3a2b1c0d")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List live sessions (as without a word)
    #[command(after_help = "\
Examples:
  porthole sessions list")]
    List,
    /// End a session: its viewer is told that the operator did it
    #[command(after_help = "\
Examples:
  porthole sessions kill 0b9ff6b5-6d4f-4d4c-8f5e-7e1f3a2b1c0d

Its link is withdrawn with it, so that the viewer does not come back.")]
    Kill {
        /// The session, as `porthole sessions` shows it
        id: SessionId,
    },
}

/// Does it.
pub(super) fn run(arguments: &Arguments, agent: &Agent, output: Output) -> Result<(), Failure> {
    match arguments.command {
        None | Some(Command::List) => list(agent, output),
        Some(Command::Kill { id }) => {
            agent.delete(&format!("{SESSIONS}/{id}"))?;
            output.result(&json!({ "killed": id }), || format!("Session {id} was ended.\n"))
        }
    }
}

fn list(agent: &Agent, output: Output) -> Result<(), Failure> {
    let answer = agent.read::<Sessions>(SESSIONS)?;
    let mut table =
        Table::new(["ID", "CONSOLE", "KIND", "REQUESTOR", "CLIENT", "EDGE", "STARTED", "IN", "OUT", "CONNECTIONS"]);
    for session in &answer.parsed.sessions {
        table.row(row(session));
    }
    output.table(&answer.json, &table, "Nobody is connected.")
}

fn row(session: &Session) -> [Cell; 10] {
    let or_none = |text: &Option<String>| Cell::from(text.as_deref().unwrap_or("-"));
    // A session without a connection waits for its viewer to come back.
    let tone = if session.connections == 0 { Tone::Warning } else { Tone::Plain };
    [
        (&session.id).into(),
        (&session.name).into(),
        (if session.read_only { format!("{} (watching)", session.kind) } else { session.kind.clone() }).into(),
        or_none(&session.requestor),
        or_none(&session.client_address),
        or_none(&session.edge),
        (&session.started).into(),
        amount(session.bytes_in).into(),
        amount(session.bytes_out).into(),
        Cell::toned(session.connections.to_string(), tone),
    ]
}

/// Bytes as people read them: `812 B`, `1.2 KiB`, `3.0 GiB`.
fn amount(bytes: u64) -> String {
    let (mut whole, mut rest) = (bytes, 0);
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if whole < 1024 || unit == "TiB" {
            return if unit == "B" { format!("{whole} B") } else { format!("{whole}.{} {unit}", rest * 10 / 1024) };
        }
        (whole, rest) = (whole / 1024, whole % 1024);
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1023.9 KiB"),
            (5 * 1024 * 1024 * 1024, "5.0 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(amount(bytes), text);
        }
    }
}
