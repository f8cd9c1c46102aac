//! The task that holds a port: reads what the guest says as it comes, whoever looks, and writes what the writer types.
//!
//! ```text
//!  opening ──► open ──── the stream ends ────► opening again, while the guest runs (what was lost is marked)
//!     │          │                                │
//!     │          └─ nobody wants it: over         └─ not within a few seconds: over; one that is held is tried again
//!     └─ not to be opened: over, with the reason
//! ```
//!
//! Over is the end of this start of the guest; the next start is another port. The history of a port that is held stays
//! until then, so that one can read why a guest has died.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use porthole_shared::lifecycle::chain;
use porthole_shared::reason::Reason;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::joining::Joining;
use super::port::{Input, Link, Port};
use super::reading::read;
use super::record::Record;
use super::source::{self, Source};
use super::spool::Spool;
use super::{Shared, telnet};
use crate::consoles::{ResolveError, SerialPort};

/// How long connecting may take.
const OPEN_PATIENCE: Duration = Duration::from_secs(5);

/// For how long a port that was lost is tried for again before its viewers are told.
const LOST_PATIENCE: Duration = Duration::from_secs(3);

/// Between two attempts: at first, and at most.
const RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// A port's task.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) shared: Arc<Shared>,
    pub(super) port: Arc<Port>,
    pub(super) device: SerialPort,
    pub(super) input: mpsc::Receiver<Input>,
    /// A pseudo terminal that somebody else has open is taken from them.
    pub(super) force: bool,
    /// The guest was started just now: nothing was said yet.
    pub(super) fresh: bool,
    /// Its socket, as an earlier run of the agent had it.
    pub(super) waited: Option<OwnedFd>,
}

/// Why a stream was left.
enum Left {
    /// It ended.
    Lost,
    /// Nobody wants it.
    Unwanted,
}

impl Hub {
    /// Holds the port until its guest stops, or nobody wants it.
    pub(super) async fn run(mut self) {
        let reason = self.hold().await;
        self.port.set_link(Link::Over(reason));
        if !self.is_kept() {
            self.shared.forget(&self.port);
        }
        let Self { port, .. } = self;
        tracing::debug!(?port, %reason, "a serial port is left");
    }

    async fn hold(&mut self) -> Reason {
        let record = self.record().await;
        let (mut opened, mut spool) = match self.resume(record.as_ref()) {
            Some((source, spool)) => (Ok(source), Some(spool)),
            None => self.begin(record.as_ref()).await,
        };
        let reason = loop {
            let source = match opened {
                Ok(source) => source,
                Err(reason) => break reason,
            };
            self.port.set_link(Link::Open);
            if let Left::Unwanted = self.carry(source, &mut spool, record.as_ref()).await {
                break Reason::ConsoleClosed;
            }
            record.iter().for_each(Record::give_up);
            self.port.set_link(Link::Opening);
            opened = self.reopen().await;
            match &opened {
                Ok(source) => {
                    // What was missed is not in it.
                    self.port.with_history(|history, _| history.mark());
                    spool = record.as_ref().and_then(|record| record.begin(&self.port, source, 0));
                }
                // Where its log ends now, the next start's begins.
                Err(_) => drop(spool.as_mut().map(Spool::end)),
            }
        };
        record.iter().for_each(Record::give_up);
        reason
    }

    /// Goes on with a socket that has waited.
    fn resume(&mut self, record: Option<&Record>) -> Option<(Source, Spool)> {
        record?.resume(&self.port, &self.device, self.waited.take()?)
    }

    /// Opens it for the first time.
    async fn begin(&mut self, record: Option<&Record>) -> (Result<Source, Reason>, Option<Spool>) {
        let mut opened = match self.open().await {
            Err(_) if self.is_kept() => self.reopen().await,
            first => first,
        };
        let Ok(source) = &mut opened else { return (opened, None) };
        let early = if let (Some(record), Some(joining)) = (record, Joining::of(&self.device)) {
            joining.begin(&self.port, record, source, self.fresh).await
        } else {
            self.port.with_history(|history, _| history.mark());
            0
        };
        let spool = record.and_then(|record| record.begin(&self.port, source, early));
        (opened, spool)
    }

    /// What others do to a port while nobody is attached is not looked into: only one that is held is written down, if the
    /// next run can make something of that.
    async fn record(&self) -> Option<Record> {
        let Shared { state, boot, descriptors, .. } = &*self.shared;
        if !self.is_kept() || !(self.device.log.is_some() || descriptors.are_offered()) {
            return None;
        }
        let guest = (boot.clone(), self.port.number);
        Record::of(self.port.key, &self.device, guest, state.clone(), Arc::clone(descriptors)).await
    }

    async fn open(&self) -> Result<Source, Reason> {
        let hypervisor = self.shared.consoles.hypervisor();
        let deadline = Instant::now() + OPEN_PATIENCE;
        source::open(hypervisor, self.port.key.uuid, &self.device, self.force, deadline).await.map_err(|error| {
            tracing::debug!(port = ?self.port, error = chain(&error), "a serial port does not open");
            error.reason()
        })
    }

    /// Opens it again, as long as its guest runs.
    async fn reopen(&mut self) -> Result<Source, Reason> {
        // Whoever has taken it meanwhile has it.
        self.force = false;
        let (since, mut pause) = (Instant::now(), RETRY);
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_RETRY);
            match self.shared.consoles.serial_ports(self.port.key.uuid).await {
                Ok((_, ports)) if ports.number == self.port.number => {
                    if let Some(device) = ports.ports.into_iter().nth(self.port.key.index.into()) {
                        self.device = device;
                    }
                }
                Ok(_) => return Err(Reason::ConsoleClosed),
                Err(error @ (ResolveError::NotRunning { .. } | ResolveError::NoSuchOwner)) => {
                    return Err(error.reason());
                }
                // libvirt is away; the port need not be.
                Err(
                    ResolveError::NoSuchKind { .. }
                    | ResolveError::OutOfReach(_)
                    | ResolveError::Describe(_)
                    | ResolveError::Xml(_),
                ) => {}
            }
            match self.open().await {
                Ok(source) => return Ok(source),
                Err(reason) if since.elapsed() > LOST_PATIENCE && !self.is_kept() => return Err(reason),
                Err(_) => {}
            }
        }
    }

    /// Carries bytes both ways.
    async fn carry(&mut self, mut source: Source, spool: &mut Option<Spool>, record: Option<&Record>) -> Left {
        let Self { port, input, .. } = self;
        let mut decoder = source.telnet.take();
        let speaks_telnet = decoder.is_some();
        let was_kept = spool.is_some();
        let mut held = BytesMut::new();
        loop {
            tokio::select! {
                read = read(port, &source, decoder.as_deref_mut(), spool) => match read {
                    Ok(answer) => held.extend_from_slice(&answer),
                    Err(error) => {
                        tracing::debug!(?port, %error, "a serial port's stream has ended");
                        return Left::Lost;
                    }
                },
                Some(given) = input.recv(), if held.is_empty() => take(&mut held, given, speaks_telnet),
                written = source.write(&held), if !held.is_empty() => match written {
                    Ok(taken) if taken > 0 => held.advance(taken),
                    // It may have last words: reading goes on until its end.
                    Ok(_) | Err(_) => held.clear(),
                },
                () = port.unwanted() => return Left::Unwanted,
            }
            if was_kept && spool.is_none() {
                // The next run would not know where in its bytes it was.
                record.into_iter().for_each(Record::give_up);
            }
        }
    }

    fn is_kept(&self) -> bool {
        self.port.keep.load(Ordering::Relaxed)
    }
}

/// What a writer does, as it goes over the wire.
fn take(held: &mut BytesMut, given: Input, telnet: bool) {
    match (given, telnet) {
        (Input::Bytes(bytes), false) => held.extend_from_slice(&bytes),
        (Input::Bytes(bytes), true) => {
            let mut encoded = Vec::with_capacity(bytes.len());
            telnet::encode(&bytes, &mut encoded);
            held.extend_from_slice(&encoded);
        }
        (Input::Break, true) => held.extend_from_slice(&telnet::SEND_BREAK),
        (Input::Break, false) => {}
    }
}
