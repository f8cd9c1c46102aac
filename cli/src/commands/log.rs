//! `porthole log`: what a serial port said.

use std::io::Write as _;

use clap::Args;
use porthole_shared::names::ConsoleName;
use serde_json::json;

use super::serial::{Heard, Port, Said, path};
use crate::client::Agent;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// How many bytes come first when it is followed.
const RECENT: u64 = 8 * 1024;

/// Which part of which port's output.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  porthole log web-01
  porthole log web-01 --lines 1000 > web-01.txt
  porthole log web-01 -f
  porthole log web-01 --port 1 --since-offset 0

The output is the guest's own bytes, as it sent them.")]
pub(crate) struct Arguments {
    /// The guest: its name or UUID
    #[arg(value_name = "NAME")]
    console: ConsoleName,
    /// Which of its serial ports, from 0
    #[arg(long, default_value_t = 0)]
    port: u8,
    /// The last so many lines
    #[arg(long, value_name = "COUNT", default_value_t = 100, conflicts_with_all = ["bytes", "since_offset", "follow"])]
    lines: u32,
    /// The last so many bytes
    #[arg(long, value_name = "COUNT", conflicts_with = "since_offset")]
    bytes: Option<u64>,
    /// From this byte on, counted since the guest's start, as far as it is kept
    #[arg(long, value_name = "OFFSET")]
    since_offset: Option<u64>,
    /// Go on with what comes; the last 8 KiB come first, if nothing else is said
    #[arg(short, long)]
    follow: bool,
}

/// Prints it.
pub(super) fn run(arguments: &Arguments, agent: &Agent, output: Output) -> Result<(), Failure> {
    let Arguments { console, port, lines, bytes, since_offset, follow } = arguments;
    if since_offset.is_none() && !follow {
        let (count, lines) = (bytes.map(|count| count.to_string()), lines.to_string());
        let asked = match &count {
            Some(count) => [("bytes", Some(count.as_str()))],
            None => [("lines", Some(lines.as_str()))],
        };
        let said = agent.bytes(&path(console, *port, "/output", &asked))?;
        return if output.is_json() {
            output.result(&json!({ "output": String::from_utf8_lossy(&said) }), String::new)
        } else {
            print(&said)
        };
    }
    let read_only = [("read_only", Some("true"))];
    let recent = bytes.unwrap_or(RECENT);
    agent.with_socket(&path(console, *port, "/attach", &read_only), async |socket| {
        read(Port(socket), *since_offset, recent, *follow).await
    })?
}

/// Prints from an offset on, or the most recent bytes; and what comes, if that is wanted.
async fn read(mut port: Port, since: Option<u64>, recent: u64, follow: bool) -> Result<(), Failure> {
    let (start, end) = loop {
        if let Heard::Said(Said::State { start, end }) = port.next().await? {
            break (start, end);
        }
    };
    if let Some(from) = since.filter(|from| *from > end) {
        return Err(Failure::new(
            Exit::Refused,
            format!("the port has said {end} bytes; there is none of offset {from}"),
        ));
    }
    port.ask(&json!({ "type": "history", "start": start, "from": since, "last": recent })).await?;
    let mut offset = since.unwrap_or_default();
    while follow || offset < end {
        match port.next().await? {
            Heard::Bytes(bytes) => {
                offset += bytes.len() as u64;
                print(&bytes)?;
            }
            Heard::Said(Said::At { offset: at }) => offset = at,
            Heard::Said(Said::Skipped { from, to }) => {
                offset = to;
                note(&skipped(from, to));
            }
            Heard::Said(Said::State { .. } | Said::Refused { .. } | Said::Unknown) => {}
        }
    }
    Ok(())
}

/// What is told of bytes that do not come.
pub(super) fn skipped(from: u64, to: u64) -> String {
    match to - from {
        0 => "porthole: output was lost here".to_owned(),
        bytes => format!("porthole: {bytes} bytes are not kept"),
    }
}

/// Bytes of a guest's, as they are.
pub(super) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(|error| Failure::new(Exit::Internal, format!("cannot write to standard output: {error}")))
}

/// A line beside the output.
pub(super) fn note(text: &str) {
    // Where it cannot be said, the output must do.
    drop(write!(std::io::stderr(), "\r\n{text}\r\n"));
}
