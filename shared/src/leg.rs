//! One side of a session: a socket, and TLS on it or none, with no buffer that an idle session would have to own.
//!
//! ```text
//!            poll_receive                        send            poll_flush
//!  socket ──► Scratch::wire ──► TLS ──► plaintext │ bytes ──► TLS ──► socket; what it does not take waits here
//!             lent by the thread                    lent by the thread
//! ```
//!
//! A stream over rustls reads 4 KiB at a time and keeps buffers for each connection; this drives the socket and the TLS
//! state machine itself, from the first byte of the handshake. HTTP runs over it as over any stream (`AsyncRead`,
//! `AsyncWrite`); then the edge's relay and the agent's WebSocket take it over and use what they need: whole reads into
//! memory of the thread. Whoever does keeps to one rule, which bounds what a leg holds: no more is sent while something
//! is unsent.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, CommonState, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

mod scratch;
mod stream;
mod tls;

pub use scratch::{Scratch, WIRE_BYTES};
use tls::{Progress, Records, Tls, Wish};

/// The most that may wait here to become a record, or a handshake message over several records: the 64 KiB that rustls
/// allows for one (RFC 8446 section 4 would allow 16 MiB), and what records of a usual size add to it.
const MAX_UNREAD: usize = 68 * 1024;

/// So much is read of a handshake at once, and at least for a reader that has room for less: what it leaves waits here,
/// for a peer that nobody may have admitted yet.
const READ_AHEAD: usize = 4 * 1024;

thread_local! {
    /// Legs of one thread take turns, so they can share: nothing stays here between turns.
    static RECORDS: RefCell<Records> = RefCell::default();
}

/// A connection, with its TLS state if it has any.
pub struct Leg<S = TcpStream> {
    io: S,
    protection: Protection,
    /// The beginning of a record that has not come whole yet.
    unread: BytesMut,
    /// Plaintext that nobody has asked for yet: it came with the handshake, or was more than a reader had room for.
    early: BytesMut,
    /// What the socket did not take.
    unsent: BytesMut,
    inward: Inward,
    outward: Outward,
    /// Bytes that the socket took, of whatever kind: to see whether it takes any.
    taken: u64,
}

/// What bytes go through.
enum Protection {
    None,
    /// Boxed, because a leg is moved from hand to hand before it rests in its session: each of those places would be as
    /// large as this.
    Tls(Box<Tls>),
    /// TLS that has failed, and has said so. Nothing goes through it any more: it is not to be asked again, and what it
    /// has not protected must not go out.
    Failed,
}

/// What comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inward {
    Open,
    /// The peer said that nothing follows, with `close_notify` or FIN.
    Closed,
    /// It broke off.
    Lost,
}

/// What goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outward {
    Open,
    /// Unsent bytes, `close_notify` and FIN are still to go.
    Closing,
    Closed,
    /// The peer takes nothing any more.
    Broken,
}

impl<S> Leg<S> {
    /// A connection without TLS.
    pub fn plain(io: S) -> Self {
        Self::over(io, Protection::None)
    }

    fn over(io: S, protection: Protection) -> Self {
        Self {
            io,
            protection,
            unread: BytesMut::new(),
            early: BytesMut::new(),
            unsent: BytesMut::new(),
            inward: Inward::Open,
            outward: Outward::Open,
            taken: 0,
        }
    }

    /// What was agreed on in the handshake, and with whom. `None` without TLS, or once it has failed.
    pub fn tls(&self) -> Option<&CommonState> {
        match &self.protection {
            Protection::Tls(tls) => Some(tls.state()),
            Protection::None | Protection::Failed => None,
        }
    }

    /// The peer sends nothing any more, and all that it has sent was received.
    pub fn has_ended(&self) -> bool {
        self.early.is_empty() && matches!(self.inward, Inward::Closed | Inward::Lost)
    }

    /// The connection broke, in one direction or the other.
    pub fn is_lost(&self) -> bool {
        self.inward == Inward::Lost || self.outward == Outward::Broken
    }

    /// Nothing goes out any more, nor is to.
    pub const fn is_shut(&self) -> bool {
        matches!(self.outward, Outward::Closed | Outward::Broken)
    }

    /// Bytes may be sent.
    pub fn is_open(&self) -> bool {
        self.outward == Outward::Open
    }

    /// Something is still to be written.
    pub fn has_unsent(&self) -> bool {
        !self.is_shut() && !self.unsent.is_empty()
    }

    /// How many bytes wait to be written.
    pub fn unsent_bytes(&self) -> usize {
        self.unsent.len()
    }

    /// How many bytes the socket took so far, of whatever kind: to see whether it takes any.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// Ends the outward direction once everything unsent has gone.
    pub fn finish(&mut self) {
        if self.is_open() {
            self.outward = Outward::Closing;
            RECORDS.with_borrow_mut(|records| {
                self.encrypt(Wish::Goodbye, records);
                self.unsent.extend_from_slice(records.filled());
            });
        }
    }

    /// Gives back what memory an idle leg does not need.
    pub fn rest(&mut self) {
        for buffer in [&mut self.unread, &mut self.early, &mut self.unsent] {
            if buffer.is_empty() {
                *buffer = BytesMut::new();
            }
        }
    }

    fn broken(&mut self, error: &io::Error) {
        tracing::debug!(%error, "a side of the session takes nothing any more");
        self.outward = Outward::Broken;
        self.unsent = BytesMut::new();
    }

    /// Makes records of what is wished for. What TLS has to say by itself goes in front.
    fn encrypt(&mut self, wish: Wish<'_>, records: &mut Records) {
        records.clear();
        let Protection::Tls(tls) = &mut self.protection else { return };
        let mut plain = Vec::new();
        let progress = tls.advance(&mut self.unread, wish, &mut plain, records);
        // Nothing, as a rule: whatever was whole has been used as it came.
        self.unread.advance(progress.used);
        self.early.extend_from_slice(&plain);
        if let Err(error) = self.note(progress) {
            tracing::debug!(%error, "a side of the session cannot be written to any more");
        }
    }

    /// What TLS made of its records: an end, or an error that is one.
    fn note(&mut self, progress: Progress) -> io::Result<()> {
        if progress.peer_closed {
            self.inward = Inward::Closed;
        }
        progress.error.map_or(Ok(()), |error| Err(self.failed(error)))
    }

    /// Nothing is read any more, and what TLS has said so far (an alert, if it had one) is the last that goes out.
    fn failed(&mut self, error: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
        self.protection = Protection::Failed;
        self.inward = Inward::Lost;
        if self.is_open() {
            self.outward = Outward::Closing;
        }
        self.unread = BytesMut::new();
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Leg<S> {
    /// Shakes hands with whoever has connected. How long that may take is the caller's to bound.
    pub async fn accept(io: S, config: Arc<ServerConfig>) -> io::Result<Self> {
        let tls = Tls::server(config).map_err(io::Error::other)?;
        Self::over(io, Protection::Tls(Box::new(tls))).shaken().await
    }

    /// Shakes hands with whom it has connected to, who has to prove this name.
    pub async fn connect(io: S, config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Self> {
        let tls = Tls::client(config, name).map_err(io::Error::other)?;
        Self::over(io, Protection::Tls(Box::new(tls))).shaken().await
    }

    async fn shaken(mut self) -> io::Result<Self> {
        // Who connects speaks first.
        poll_fn(|cx| {
            self.send(cx, &[]);
            Poll::Ready(())
        })
        .await;
        let shaken = poll_fn(|cx| self.poll_shaken(cx)).await;
        if shaken.is_err() {
            // The alert, if the socket takes it at once: nobody waits for a peer that did not shake hands.
            poll_fn(|cx| Poll::Ready(self.poll_flush(cx).is_ready())).await;
        }
        shaken.map(|()| self)
    }

    fn poll_shaken(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let flushed = self.poll_flush(cx);
            if self.outward == Outward::Broken {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if self.tls().is_some_and(|tls| !tls.is_handshaking()) {
                return flushed.map(Ok);
            }
            if self.has_ended() {
                let why = "the peer left in the middle of the TLS handshake";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, why)));
            }
            // Also while the peer takes nothing: it may itself be waiting for that.
            ready!(Scratch::lend(|scratch| {
                self.read_socket(cx, scratch, READ_AHEAD)
                    .map_ok(|_count| self.early.extend_from_slice(scratch.plaintext()))
            }))?;
        }
    }

    /// Reads the socket once, and leaves in `scratch` what plaintext that gives. Ready with the count of bytes read,
    /// also when the direction has now ended.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<usize> {
        if !self.early.is_empty() {
            scratch.fill(&std::mem::take(&mut self.early));
            return Poll::Ready(scratch.plaintext().len());
        }
        self.read_socket(cx, scratch, WIRE_BYTES).map(|received| {
            received.unwrap_or_else(|error| {
                tracing::debug!(%error, "a side of the session broke off");
                0
            })
        })
    }

    /// Reads so many bytes at `most`.
    fn read_socket(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch, most: usize) -> Poll<io::Result<usize>> {
        scratch.clear();
        let mut into = ReadBuf::new(scratch.wire_mut(self.unread.len(), most));
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, &mut into));
        let count = into.filled().len();
        if let Err(error) = read {
            self.inward = Inward::Lost;
            self.broken(&error);
            return Poll::Ready(Err(error));
        }
        if count == 0 {
            self.inward = Inward::Closed;
            return Poll::Ready(Ok(0));
        }
        Poll::Ready(self.decrypt(cx, count, scratch).map(|()| count))
    }

    /// Turns what was read into plaintext, and sends what TLS has to say to it.
    fn decrypt(&mut self, cx: &mut Context<'_>, count: usize, scratch: &mut Scratch) -> io::Result<()> {
        RECORDS.with_borrow_mut(|records| {
            records.clear();
            let progress = match &mut self.protection {
                Protection::None => {
                    scratch.take_direct(count);
                    return Ok(());
                }
                Protection::Tls(tls) => scratch.decrypt(&mut self.unread, count, tls, records),
                Protection::Failed => return Ok(()),
            };
            let noted = self.note(progress);
            self.write_socket(cx, records.filled());
            noted
        })?;
        if self.unread.len() > MAX_UNREAD {
            return Err(self.failed("a handshake message of the peer is longer than any may be"));
        }
        Ok(())
    }

    /// Takes bytes to send. To be asked only while nothing is unsent, which bounds what waits here.
    pub fn send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) {
        if matches!(self.protection, Protection::None) {
            return self.write_socket(cx, bytes);
        }
        RECORDS.with_borrow_mut(|records| {
            self.encrypt(Wish::Bytes(bytes), records);
            self.write_socket(cx, records.filled());
        });
    }

    /// Gives the socket what it takes; the rest waits.
    fn write_socket(&mut self, cx: &mut Context<'_>, mut bytes: &[u8]) {
        if self.is_shut() {
            return;
        }
        while self.unsent.is_empty()
            && !bytes.is_empty()
            && let Poll::Ready(written) = Pin::new(&mut self.io).poll_write(cx, bytes)
        {
            match written.and_then(some) {
                Ok(count) => {
                    self.taken += count as u64;
                    bytes = bytes.get(count..).unwrap_or_default();
                }
                Err(error) => return self.broken(&error),
            }
        }
        self.unsent.extend_from_slice(bytes);
    }

    /// Writes what is unsent, and FIN behind it if the direction is to end. Ready when nothing is left to do.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.has_unsent() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.unsent)).and_then(some) {
                Ok(count) => {
                    self.taken += count as u64;
                    self.unsent.advance(count);
                }
                Err(error) => self.broken(&error),
            }
        }
        if self.outward == Outward::Closing {
            match ready!(Pin::new(&mut self.io).poll_shutdown(cx)) {
                Ok(()) => self.outward = Outward::Closed,
                Err(error) => self.broken(&error),
            }
        }
        Poll::Ready(())
    }
}

/// A write of nothing, where there is something to write, will not get better.
fn some(count: usize) -> io::Result<usize> {
    if count == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(count) }
}

impl<S> fmt::Debug for Leg<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leg")
            .field("tls", &!matches!(self.protection, Protection::None))
            .field("inward", &self.inward)
            .field("outward", &self.outward)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
