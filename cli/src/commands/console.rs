//! `porthole console`: a serial port in this terminal.

use std::io::{IsTerminal as _, Read as _, stdin};
use std::os::fd::AsFd as _;
use std::thread;

use bytes::Bytes;
use clap::Args;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use porthole_shared::names::ConsoleName;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::Message;

use super::log::{note, print, skipped};
use super::serial::{Heard, Port, Said, path};
use crate::client::Agent;
use crate::failure::{Exit, Failure};

/// Ctrl-].
const LEAVE: u8 = 0x1d;

/// How much of what was said before is shown first.
const HISTORY: u64 = 16 * 1024;

/// Which port.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  porthole console web-01
  porthole console web-01 --port 1
  porthole console web-01 --read-only
  porthole console web-01 --force

Ctrl-] leaves. What the port said last comes first. Somebody else may be attached at the same time: one types, others
watch.")]
pub(crate) struct Arguments {
    /// The guest: its name or UUID
    #[arg(value_name = "NAME")]
    console: ConsoleName,
    /// Which of its serial ports, from 0
    #[arg(long, default_value_t = 0)]
    port: u8,
    /// Only watch
    #[arg(long, conflicts_with = "force")]
    read_only: bool,
    /// Take over from whoever types there
    #[arg(long)]
    force: bool,
}

/// Attaches, until Ctrl-] or the end of the port.
pub(super) fn run(arguments: &Arguments, agent: &Agent) -> Result<(), Failure> {
    let Arguments { console, port, read_only, force } = arguments;
    let yes = |wanted: &bool| wanted.then_some("true");
    let asked = [("read_only", yes(read_only)), ("force", yes(force))];
    agent.with_socket(&path(console, *port, "/attach", &asked), async |socket| {
        note(&format!("Attached to {console}, serial port {port}. Ctrl-] leaves."));
        let raw = Raw::begin()?;
        let ended = carry(Port(socket), typed()?).await;
        drop(raw);
        note("");
        ended
    })?
}

async fn carry(mut port: Port, mut typed: mpsc::Receiver<Vec<u8>>) -> Result<(), Failure> {
    port.ask(&json!({ "type": "history", "last": HISTORY })).await?;
    let mut listening = true;
    loop {
        tokio::select! {
            heard = port.next() => match heard? {
                Heard::Bytes(bytes) => print(&bytes)?,
                Heard::Said(Said::Skipped { from, to }) => note(&skipped(from, to)),
                Heard::Said(Said::Refused { why }) => note(&format!("porthole: {why}")),
                Heard::Said(Said::State { .. } | Said::At { .. } | Said::Unknown) => {}
            },
            keys = typed.recv(), if listening => {
                let Some(mut keys) = keys else {
                    // The end of a file or pipe: what it has caused is still shown.
                    listening = false;
                    continue;
                };
                let leave = keys.iter().position(|key| *key == LEAVE);
                keys.truncate(leave.unwrap_or(keys.len()));
                if !keys.is_empty() {
                    port.send(Message::Binary(Bytes::from(keys))).await?;
                }
                if leave.is_some() {
                    return port.send(Message::Close(None)).await;
                }
            }
        }
    }
}

/// What is typed, read by a thread that ends with the process: a read of a terminal cannot be called off.
fn typed() -> Result<mpsc::Receiver<Vec<u8>>, Failure> {
    let (keys, typed) = mpsc::channel(16);
    let reading = move || {
        let mut buffer = vec![0; 4096];
        while let Ok(length) = stdin().lock().read(&mut buffer) {
            let piece = buffer.get(..length).unwrap_or_default().to_vec();
            if piece.is_empty() || keys.blocking_send(piece).is_err() {
                return;
            }
        }
    };
    let started = thread::Builder::new().name("keys".to_owned()).spawn(reading);
    started.map(|_running| typed).map_err(|error| Failure::new(Exit::Internal, format!("cannot start: {error}")))
}

/// The terminal hands every key on as it is, until this is dropped.
#[derive(Debug)]
struct Raw(Option<Termios>);

impl Raw {
    fn begin() -> Result<Self, Failure> {
        if !stdin().is_terminal() {
            return Ok(Self(None));
        }
        let failed = |error| Failure::new(Exit::Internal, format!("cannot set the terminal: {error}"));
        let before = tcgetattr(stdin().as_fd()).map_err(failed)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin().as_fd(), SetArg::TCSADRAIN, &raw).map_err(failed)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // A terminal that is gone needs nothing any more.
            let _gone = tcsetattr(stdin().as_fd(), SetArg::TCSADRAIN, before);
        }
    }
}
