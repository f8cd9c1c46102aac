//! Joins a port's history to its log, when the port is attached to, and keeps what the next run of the agent needs for
//! that. What is joined with what is said in [`log`](mod@super::log).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use porthole_shared::lifecycle::chain;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use super::log::{self, Place};
use super::port::Port;
use super::source::Source;
use super::spool::{self, Spool};
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

/// A port's log, and where its latest output is kept.
#[derive(Debug)]
pub(super) struct Joining {
    log: PathBuf,
    socket: Option<PathBuf>,
    spool: PathBuf,
    guest: String,
}

/// Where the history goes on.
#[derive(Debug, Clone)]
enum From {
    /// Behind what an earlier run received, under the same start.
    Received { start: String, end: u64, latest: Arc<Vec<u8>> },
    /// Behind the last start's output, with offset 0.
    Behind(Arc<Vec<u8>>),
    /// At a place in the log, with offset 0.
    Place(Place),
}

impl Joining {
    /// For a port that has a log; `spool` is where its latest output is kept.
    pub(super) async fn of(device: &SerialPort, number: Option<u32>, boot: String, spool: PathBuf) -> Option<Self> {
        let log = device.log.clone()?;
        let socket = match &device.backend {
            Backend::Unix(path) => Some(path.clone()),
            Backend::Tcp { .. } | Backend::Pty | Backend::Elsewhere => None,
        };
        let known = socket.clone();
        let guest = spawn_blocking(move || log::guest(&boot, number, known.as_deref())).await.ok()?;
        Some(Self { log, socket, spool, guest })
    }

    /// Writes what was missed into the history of a port that was attached to just now; or, if that is not to be told,
    /// that it was. `fresh`: the guest has started a moment ago. Gives where to keep what comes from now on.
    pub(super) async fn begin(&self, port: &Port, source: &mut Source, fresh: bool) -> Option<Spool> {
        let from = self.from(fresh).await;
        let (mut early, until) = (Vec::new(), Instant::now() + PATIENCE);
        let joined = loop {
            // A guest may go on at any time, so both are looked at again and again until they agree.
            let quiet = gather(source, &mut early).await;
            let Some(from) = &from else { break None };
            if let Some(whole) = self.try_to_join(from, &early, quiet).await {
                break Some(whole);
            }
            if early.len() > MOST_EARLY || Instant::now() > until {
                break None;
            }
        };
        tracing::debug!(?port, joined = joined.is_some(), early = early.len(), "attached to a port that has a log");
        port.with_history(|history, start| match (&joined, &from) {
            (Some(whole), Some(From::Received { start: before, end, latest })) => {
                start.clone_from(before);
                history.skip_to(end - latest.len() as u64);
                history.append(latest);
                history.append(whole);
            }
            (Some(whole), _) => history.append(whole),
            (None, _) => {
                history.mark();
                history.append(&early);
            }
        });
        let (latest, end, start) = port.latest(u64::MAX);
        let mut spool = Spool::create(&self.spool, self.guest.clone(), start, end - latest.len() as u64);
        if let Ok(spool) = &mut spool {
            drop(spool.append(&latest));
        }
        spool
            .inspect_err(|error| {
                tracing::warn!(?port, error = chain(error), "cannot keep what a serial port said for the next run");
            })
            .ok()
    }

    async fn from(&self, fresh: bool) -> Option<From> {
        let (spool, log, socket) = (self.spool.clone(), self.log.clone(), self.socket.clone());
        let guest = self.guest.clone();
        let choose = move || match spool::load(&spool) {
            Some((header, latest)) if header.guest == guest && !header.ended => {
                Some(From::Received { start: header.start, end: header.end, latest: Arc::new(latest) })
            }
            Some((header, latest)) if header.ended && fresh => Some(From::Behind(Arc::new(latest))),
            Some(_) | None => log::born_with(&log, socket.as_deref()?).map(From::Place),
        };
        spawn_blocking(choose).await.ok().flatten()
    }

    async fn try_to_join(&self, from: &From, early: &[u8], quiet: bool) -> Option<Vec<u8>> {
        let log = self.rest(from).await?;
        if let Some(whole) = log::join_by_text(&log, early) {
            return Some(whole);
        }
        if !quiet || !log.ends_with(early) {
            return None;
        }
        // The log is written a moment later, by another process: it must stay as it is.
        sleep(QUIET).await;
        (self.rest(from).await?.len() == log.len()).then_some(log)
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

/// Reads until the port is quiet (true), or has gone on for a while.
async fn gather(source: &mut Source, early: &mut Vec<u8>) -> bool {
    let Source { reader, writer, telnet } = source;
    let (mut buffer, until) = (vec![0; 16 * 1024], Instant::now() + GATHER);
    while Instant::now() < until {
        match timeout(QUIET, reader.read(&mut buffer)).await {
            Err(_elapsed) => return true,
            // Whoever reads next finds the same.
            Ok(Ok(0) | Err(_)) => return true,
            Ok(Ok(length)) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                match telnet {
                    None => early.extend_from_slice(bytes),
                    Some(decoder) => {
                        let mut answer = Vec::new();
                        decoder.decode(bytes, early, &mut answer);
                        // A few bytes, once: they find room.
                        drop(timeout(QUIET, writer.write_all(&answer)).await);
                    }
                }
            }
        }
    }
    false
}
