//! Joins a port's history to its log, when the port is attached to, and keeps what the next run of the agent needs for
//! that. What is joined with what is said in [`log`](super::log).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use porthole_shared::lifecycle::chain;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use super::log::{self, Place, Record};
use super::port::Port;
use super::source::Source;
use crate::consoles::{Backend, SerialPort};

/// So long without a byte, and a port is quiet.
pub(super) const QUIET: Duration = Duration::from_millis(100);

/// After so many bytes, or so long, an anchor is looked for although the port is not quiet.
pub(super) const ANCHOR_EVERY: u64 = 1024 * 1024;
pub(super) const ANCHOR_AFTER: Duration = Duration::from_secs(2);

/// How long joining may take. Viewers wait for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// For how long a port is read that does not become quiet, before its log is looked at.
const GATHER: Duration = Duration::from_millis(250);

/// How much is read of a port before it is joined.
const MOST_EARLY: usize = 4 * 1024 * 1024;

/// How much of the latest output an anchor is found by.
const LATEST: u64 = 4096;

/// A port's log, and what is known of it. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Joining(Arc<About>);

#[derive(Debug)]
struct About {
    log: PathBuf,
    socket: Option<PathBuf>,
    record: PathBuf,
    guest: String,
    origin: Mutex<Option<Place>>,
}

/// A place in the log from which the history can be written, and what offset it has.
#[derive(Debug)]
struct Candidate {
    place: Place,
    base: u64,
    start: Option<String>,
    origin: Option<Place>,
}

impl Joining {
    /// For a port that has a log; `record` is where what is known of it is kept.
    pub(super) async fn of(device: &SerialPort, number: Option<u32>, boot: String, record: PathBuf) -> Option<Self> {
        let log = device.log.clone()?;
        let socket = match &device.backend {
            Backend::Unix(path) => Some(path.clone()),
            Backend::Tcp { .. } | Backend::Pty | Backend::Elsewhere => None,
        };
        let known = socket.clone();
        let guest = spawn_blocking(move || log::guest(&boot, number, known.as_deref())).await.ok()?;
        Some(Self(Arc::new(About { log, socket, record, guest, origin: Mutex::default() })))
    }

    /// Writes what was missed into the history of a port that was attached to just now; or, if that is not to be told,
    /// that it was. `fresh`: the guest has started a moment ago.
    pub(super) async fn begin(&self, port: &Port, source: &mut Source, fresh: bool) {
        let this = self.clone();
        let candidates = spawn_blocking(move || this.candidates(fresh)).await.unwrap_or_default();
        let (mut early, until) = (Vec::new(), Instant::now() + PATIENCE);
        let joined = loop {
            // A guest may go on at any time, so both are looked at again and again until they agree.
            let quiet = gather(source, &mut early).await;
            if let Some(joined) = self.try_to_join(&candidates, &early, quiet).await {
                break Some(joined);
            }
            if candidates.is_empty() || early.len() > MOST_EARLY || Instant::now() > until {
                break None;
            }
        };
        let Some((Candidate { place, base, start, origin }, whole)) = joined else {
            tracing::debug!(?port, "cannot be joined to its log");
            return port.with_history(|history, _| {
                history.mark();
                history.append(&early);
            });
        };
        tracing::debug!(?port, base, missed = whole.len() - early.len(), "joined to the log");
        *self.0.origin.lock().unwrap_or_else(PoisonError::into_inner) = *origin;
        port.with_history(|history, name| {
            if let Some(start) = start {
                name.clone_from(start);
            }
            history.skip_to(*base);
            history.append(&whole);
        });
        // Known already, however long the next anchor takes.
        self.write_down(port, Record { offset: *base, ..self.record(port.latest(0).2, *place) }).await;
    }

    fn record(&self, start: String, anchor: Place) -> Record {
        let origin = *self.0.origin.lock().unwrap_or_else(PoisonError::into_inner);
        Record { guest: self.0.guest.clone(), start, origin, anchor, offset: 0, ended: false }
    }

    async fn write_down(&self, port: &Port, record: Record) {
        let path = self.0.record.clone();
        if let Ok(Err(error)) = spawn_blocking(move || log::store(&path, &record)).await {
            tracing::warn!(?port, error = chain(&error), "cannot write down where a serial port's log is");
        }
    }

    /// Where the history could begin, the best first.
    fn candidates(&self, fresh: bool) -> Vec<Candidate> {
        let About { log, socket, record, guest, .. } = &*self.0;
        let born = || {
            let place = log::born_with(log, socket.as_deref()?)?;
            Some(Candidate { place, base: 0, start: None, origin: Some(place) })
        };
        match log::load(record) {
            Some(Record { guest: same, start, origin, anchor, offset, ended: false }) if same == *guest => {
                let whole = origin.map(|place| Candidate { place, base: 0, start: Some(start.clone()), origin });
                let rest = Candidate { place: anchor, base: offset, start: Some(start), origin };
                whole.into_iter().chain([rest]).collect()
            }
            // It went on where the last start had ended.
            Some(Record { anchor, ended: true, .. }) if fresh => {
                vec![Candidate { place: anchor, base: 0, start: None, origin: Some(anchor) }]
            }
            Some(_) | None => born().into_iter().collect(),
        }
    }

    async fn try_to_join<'a>(
        &self,
        candidates: &'a [Candidate],
        early: &[u8],
        quiet: bool,
    ) -> Option<(&'a Candidate, Vec<u8>)> {
        for candidate in candidates {
            let Some(log) = self.since(candidate.place).await else { continue };
            if let Some(whole) = log::join_by_text(&log, early) {
                return Some((candidate, whole));
            }
            if !quiet || !log.ends_with(early) {
                continue;
            }
            // The log is written a moment later, by another process: it must stay as it is.
            sleep(QUIET).await;
            if self.since(candidate.place).await.is_some_and(|later| later.len() == log.len()) {
                return Some((candidate, log));
            }
        }
        None
    }

    async fn since(&self, place: Place) -> Option<Vec<u8>> {
        let path = self.0.log.clone();
        match spawn_blocking(move || log::since(&path, place)).await.ok()? {
            Ok(log) => log,
            Err(error) => {
                tracing::info!(log = %self.0.log.display(), error = chain(&error), "a serial port's log cannot be read");
                None
            }
        }
    }

    /// Looks for a place in the log that the end of the history is at, and writes it down. A port that is quiet, or has
    /// `ended`, must stay so meanwhile.
    pub(super) async fn anchor(&self, port: &Port, quiet: bool, ended: bool) {
        let (latest, offset, start) = port.latest(LATEST);
        if latest.is_empty() {
            return;
        }
        let (mut before, latest) = (None, Arc::new(latest));
        for _attempt in 0..10 {
            let (path, wanted) = (self.0.log.clone(), Arc::clone(&latest));
            let found = spawn_blocking(move || log::anchor(&path, &wanted, quiet)).await;
            let found = found.ok().and_then(Result::ok).flatten();
            if quiet && port.end() != offset {
                return;
            }
            match found {
                // A quiet port's log may still be behind, and end in the same way by chance: it must stay as it is.
                Some(anchor) if !quiet || before == Some(anchor) => {
                    return self.write_down(port, Record { offset, ended, ..self.record(start, anchor) }).await;
                }
                // Under a flood it may be somewhere else by now: there will be another time.
                None if !quiet => return,
                found => before = found,
            }
            sleep(QUIET).await;
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
