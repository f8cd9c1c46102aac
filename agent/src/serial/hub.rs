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

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::ready;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use porthole_shared::lifecycle::chain;
use porthole_shared::reason::Reason;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf, ReadHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::joining::Joining;
use super::port::{Input, Key, Link, Port};
use super::source::{self, Source};
use super::spool::Spool;
use super::{Shared, telnet};
use crate::consoles::open::ConsoleStream;
use crate::consoles::{ResolveError, SerialPort};

/// How much is read at once.
const READ: usize = 64 * 1024;

/// How long connecting may take.
const OPEN_PATIENCE: Duration = Duration::from_secs(5);

/// For how long a port that was lost is tried for again before its viewers are told.
const LOST_PATIENCE: Duration = Duration::from_secs(3);

/// Between two attempts: at first, and at most.
const RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

thread_local! {
    /// What is being read. Never borrowed across a turn's end, so ports that say nothing share it.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

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
        let mut opened = match self.open().await {
            Err(_) if self.is_kept() => self.reopen().await,
            first => first,
        };
        let mut spool = match (&mut opened, self.joining().await) {
            (Ok(source), Some(joining)) => joining.begin(&self.port, source, self.fresh).await,
            (Ok(_), None) => {
                self.port.with_history(|history, _| history.mark());
                None
            }
            (Err(_), _) => None,
        };
        loop {
            let mut source = match opened {
                Ok(source) => source,
                Err(reason) => return reason,
            };
            self.port.set_link(Link::Open);
            if let Left::Unwanted = self.carry(&mut source, &mut spool).await {
                return Reason::ConsoleClosed;
            }
            self.port.set_link(Link::Opening);
            opened = self.reopen().await;
            match (&opened, &mut spool) {
                (Ok(_), spool) => {
                    self.port.with_history(|history, _| history.mark());
                    // What was missed is not in it.
                    *spool = None;
                }
                // Where its log ends now, the next start's begins.
                (Err(_), Some(spool)) => drop(spool.end()),
                (Err(_), None) => {}
            }
        }
    }

    /// What others do to a port while nobody is attached is not looked into: only one that is held is joined to its log.
    async fn joining(&self) -> Option<Joining> {
        if !self.is_kept() {
            return None;
        }
        let Shared { state, boot, .. } = &*self.shared;
        let Key { uuid, index } = self.port.key;
        let spool = state.join(format!("{uuid}-{index}.spool"));
        Joining::of(&self.device, self.port.number, boot.clone(), spool).await
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
    async fn carry(&mut self, source: &mut Source, spool: &mut Option<Spool>) -> Left {
        let Self { port, input, .. } = self;
        let Source { reader, writer, telnet } = source;
        let mut held = BytesMut::new();
        loop {
            tokio::select! {
                read = read(port, reader, telnet.as_deref_mut(), spool) => match read {
                    Ok(answer) => held.extend_from_slice(&answer),
                    Err(error) => {
                        tracing::debug!(?port, %error, "a serial port's stream has ended");
                        return Left::Lost;
                    }
                },
                Some(given) = input.recv(), if held.is_empty() => take(&mut held, given, telnet.is_some()),
                written = writer.write(&held), if !held.is_empty() => match written {
                    Ok(taken) if taken > 0 => held.advance(taken),
                    // It may have last words: reading goes on until its end.
                    Ok(_) | Err(_) => held.clear(),
                },
                () = port.unwanted() => return Left::Unwanted,
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

/// Reads once, into the port's history. What telnet wants to be answered is given back.
async fn read(
    port: &Port,
    reader: &mut ReadHalf<ConsoleStream>,
    mut telnet: Option<&mut telnet::Decoder>,
    spool: &mut Option<Spool>,
) -> io::Result<Vec<u8>> {
    std::future::poll_fn(|cx| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *reader).poll_read(cx, &mut buffer))?;
            let bytes = buffer.filled();
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into()).into();
            }
            let mut answer = Vec::new();
            match telnet.as_deref_mut() {
                None => keep(port, bytes, spool),
                Some(decoder) => {
                    let mut data = Vec::with_capacity(bytes.len());
                    decoder.decode(bytes, &mut data, &mut answer);
                    keep(port, &data, spool);
                }
            }
            Ok(answer).into()
        })
    })
    .await
}

fn keep(port: &Port, bytes: &[u8], spool: &mut Option<Spool>) {
    port.append(bytes);
    if let Some(Err(error)) = spool.as_mut().map(|spool| spool.append(bytes)) {
        tracing::warn!(?port, error = chain(&error), "cannot keep what a serial port says for the next run");
        *spool = None;
    }
}
