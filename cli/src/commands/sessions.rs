//! `porthole sessions`: who is connected, and ending it.

use std::net::IpAddr;

use clap::{Args, Subcommand};
use porthole_shared::names::SessionId;
use serde_json::json;

use super::tokens::Which;
use crate::client::api::{Ended, SESSIONS, Session, Sessions};
use crate::client::{Agent, query};
use crate::failure::Failure;
use crate::output::{Cell, Output, Table, Tone};

/// List, or end some.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  porthole sessions
  porthole sessions --console web-01
  porthole sessions --json --requestor alice | jq -r '.sessions[].id'
  porthole sessions kill 0b9ff6b5-6d4f-4d4c-8f5e-7e1f3a2b1c0d")]
pub(crate) struct Arguments {
    #[command(flatten)]
    of: Of,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Which sessions.
#[derive(Debug, Args)]
struct Of {
    #[command(flatten)]
    which: Which,
    /// Those whose viewer has this address
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List live sessions (as without a word)
    #[command(after_help = "\
Examples:
  porthole sessions list
  porthole sessions list --client 192.0.2.7")]
    List(Of),
    /// End sessions: their viewers are told that the operator did it
    #[command(after_help = "\
Examples:
  porthole sessions kill 0b9ff6b5-6d4f-4d4c-8f5e-7e1f3a2b1c0d
  porthole sessions kill --console web-01
  porthole sessions kill --requestor alice

Their links are withdrawn with them, so that the viewers do not come back.")]
    Kill {
        /// The session, as `porthole sessions` shows it
        #[arg(required_unless_present_any = ["console", "requestor"], conflicts_with_all = ["console", "requestor"])]
        id: Option<SessionId>,
        #[command(flatten)]
        which: Which,
    },
}

/// Does it.
pub(super) fn run(arguments: &Arguments, agent: &Agent, output: Output) -> Result<(), Failure> {
    match &arguments.command {
        None => list(&arguments.of, agent, output),
        Some(Command::List(of)) => list(of, agent, output),
        Some(Command::Kill { id: Some(id), .. }) => {
            agent.delete(&format!("{SESSIONS}/{id}"))?;
            output.result(&json!({ "killed": id }), || format!("Session {id} was ended.\n"))
        }
        Some(Command::Kill { id: None, which }) => {
            let answer = agent.remove::<Ended>(&query(SESSIONS, &which.pairs()))?;
            let Ended { tokens, connections } = answer.parsed;
            output.result(&answer.json, || format!("Connections ended: {connections}. Tokens revoked: {tokens}.\n"))
        }
    }
}

fn list(of: &Of, agent: &Agent, output: Output) -> Result<(), Failure> {
    let client = of.client.map(|client| client.to_string());
    let [console, requestor] = of.which.pairs();
    let answer =
        agent.list::<Sessions>(&query(SESSIONS, &[console, requestor, ("client", client.as_deref())]), "sessions")?;
    let mut table = Table::new([
        "ID",
        "CONSOLE",
        "KIND",
        "REQUESTOR",
        "CLIENT",
        "EDGE",
        "STARTED",
        "IN",
        "OUT",
        "CONNECTIONS",
        "RIGHTS",
        "IDLE",
        "UNTIL",
    ]);
    for session in &answer.parsed.sessions {
        table.row(row(session));
    }
    output.table(&answer.json, &table, "Nobody is connected.")
}

fn row(session: &Session) -> [Cell; 13] {
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
        if session.read_only { "read-only" } else { "all" }.into(),
        session.idle_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds}s")).into(),
        or_none(&session.until),
    ]
}

/// Bytes as people read them: `812 B`, `1.2 KiB`, `3.0 GiB`.
pub(super) fn amount(bytes: u64) -> String {
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
