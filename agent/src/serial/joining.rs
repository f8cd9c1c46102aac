//! Joins a port's history to its log, when the port is attached to. What is joined with what is said in
//! [`log`](mod@super::log).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use porthole_shared::lifecycle::chain;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use super::doubling::{Doubts, room};
use super::log::{self, Place};
use super::port::Port;
use super::record::Record;
use super::source::Source;
use crate::consoles::{Backend, SerialPort};

/// So long without a byte, and a port is quiet.
const QUIET: Duration = Duration::from_millis(100);

/// How long joining may take. Viewers wait for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// For how long a port is read that does not become quiet, before its log is looked at.
const GATHER: Duration = Duration::from_millis(250);

/// How much is read of a port before it is joined.
const MOST_EARLY: usize = 4 * 1024 * 1024;

/// How much of the end of a log is searched.
const SEARCHED: u64 = 16 * 1024 * 1024;

/// A port's log.
#[derive(Debug)]
pub(super) struct Joining {
    log: PathBuf,
    socket: Option<PathBuf>,
}

/// Where the history goes on.
#[derive(Debug, Clone)]
enum From {
    /// Behind what an earlier run received, under the same start.
    Received { start: String, end: u64, latest: Arc<Vec<u8>>, doubts: Doubts },
    /// Behind the last start's output, with offset 0.
    Behind(Arc<Vec<u8>>),
    /// At a place in the log, with offset 0.
    Place(Place),
}

/// What was said until now and not received before.
#[derive(Debug)]
struct Missed {
    /// Between two of them a byte may be missing.
    parts: Vec<Vec<u8>>,
}

impl Joining {
    /// For a port that has a log.
    pub(super) fn of(device: &SerialPort) -> Option<Self> {
        let socket = match &device.backend {
            Backend::Unix(path) => Some(path.clone()),
            Backend::Tcp { .. } | Backend::Pty | Backend::Elsewhere => None,
        };
        Some(Self { log: device.log.clone()?, socket })
    }

    /// Writes what was missed into the history of a port that was attached to just now; or, if that is not to be told,
    /// that it was. `fresh`: the guest has started a moment ago. How many bytes were read.
    pub(super) async fn begin(&self, port: &Port, record: &Record, source: &mut Source, fresh: bool) -> usize {
        let from = self.from(record, fresh).await;
        let (mut early, until) = (Vec::new(), Instant::now() + PATIENCE);
        let missed = loop {
            // A guest may go on at any time, so both are looked at again and again until they agree.
            let quiet = gather(source, &mut early).await;
            let Some(from) = &from else { break None };
            if let Some(missed) = self.try_to_join(from, &early, quiet).await {
                break Some(missed);
            }
            if early.len() > MOST_EARLY || Instant::now() > until {
                break None;
            }
        };
        tracing::debug!(?port, joined = missed.is_some(), early = early.len(), "attached to a port that has a log");
        port.with_history(|history, start| {
            if let (Some(_), Some(From::Received { start: before, end, latest, .. })) = (&missed, &from) {
                start.clone_from(before);
                history.skip_to(end - latest.len() as u64);
                history.append(latest);
            }
            match &missed {
                None => history.mark(),
                Some(Missed { parts }) => {
                    for (index, part) in parts.iter().enumerate() {
                        if index > 0 {
                            history.mark();
                        }
                        history.append(part);
                    }
                }
            }
            history.append(&early);
        });
        early.len()
    }

    async fn from(&self, record: &Record, fresh: bool) -> Option<From> {
        let (log, socket, record) = (self.log.clone(), self.socket.clone(), record.clone());
        let choose = move || {
            let left = record.left();
            let room = socket.as_ref().and_then(|_| room());
            let doubts = |mark| Doubts::behind(&mark, room);
            match left {
                Some(left) if record.is_of_this_start(&left) => Some(From::Received {
                    start: left.header.start,
                    end: left.mark.end,
                    latest: Arc::new(left.latest),
                    doubts: doubts(left.mark),
                }),
                Some(left) if left.header.ended && fresh => Some(From::Behind(Arc::new(left.latest))),
                Some(_) | None => log::born_with(&log, socket.as_deref()?).map(From::Place),
            }
        };
        spawn_blocking(choose).await.ok().flatten()
    }

    async fn try_to_join(&self, from: &From, early: &[u8], quiet: bool) -> Option<Missed> {
        let log = self.rest(from).await?;
        if let Some(place) = log::begin_of(&log, early) {
            return missed(from, log.get(..place)?);
        }
        if !quiet || !log.ends_with(early) {
            return None;
        }
        // The log is written a moment later, by another process: it must stay as it is.
        sleep(QUIET).await;
        if self.rest(from).await?.len() != log.len() {
            return None;
        }
        missed(from, log.get(..log.len() - early.len())?)
    }

    /// What stands in the log from there on.
    async fn rest(&self, from: &From) -> Option<Vec<u8>> {
        let (path, socket, from) = (self.log.clone(), self.socket.clone(), from.clone());
        let read = spawn_blocking(move || match from {
            From::Place(place) => log::since(&path, place),
            From::Received { latest, .. } | From::Behind(latest) => {
                let all = log::last(&path, SEARCHED)?;
                if let Some(place) = log::behind(&all, &latest) {
                    return Ok(all.get(place..).map(<[u8]>::to_vec));
                }
                // It has said too little for its text to tell, but then it is all there is.
                let born = socket.and_then(|socket| log::born_with(&path, &socket));
                let whole = born.map(|place| log::since(&path, place)).transpose()?.flatten();
                Ok(whole.and_then(|whole| whole.strip_prefix(latest.as_slice()).map(<[u8]>::to_vec)))
            }
        });
        match read.await.ok()? {
            Ok(rest) => rest,
            Err(error) => {
                tracing::info!(log = %self.log.display(), error = chain(&error), "a serial port's log cannot be read");
                None
            }
        }
    }
}

/// What was missed, if a log says this of it.
fn missed(from: &From, log: &[u8]) -> Option<Missed> {
    let parts = match from {
        From::Received { latest, doubts, .. } => doubts.parts(latest, log)?,
        From::Behind(_) | From::Place(_) => vec![log],
    };
    Some(Missed { parts: parts.into_iter().map(<[u8]>::to_vec).collect() })
}

/// Reads until the port is quiet (true), or has gone on for a while.
async fn gather(source: &mut Source, early: &mut Vec<u8>) -> bool {
    let (mut buffer, until) = (vec![0; 16 * 1024], Instant::now() + GATHER);
    while Instant::now() < until {
        match timeout(QUIET, source.readable()).await {
            Err(_elapsed) => return true,
            Ok(Ok(())) => {}
            // Whoever reads next finds the same.
            Ok(Err(_)) => return true,
        }
        match source.try_read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return true,
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                let Some(mut decoder) = source.telnet.take() else {
                    early.extend_from_slice(bytes);
                    continue;
                };
                let mut answer = Vec::new();
                decoder.decode(bytes, early, &mut answer);
                source.telnet = Some(decoder);
                // A few bytes, once: they find room.
                drop(timeout(QUIET, source.write(&answer)).await);
            }
        }
    }
    false
}
