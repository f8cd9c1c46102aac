//! One side of a session: a socket, and TLS on it or none, with no buffer that an idle session would have to own.
//!
//! ```text
//!            poll_receive                        send           poll_flush
//!  socket ──► Scratch::wire ──► TLS ──► plaintext │ bytes ──► TLS (256 KiB at most) ──► socket
//!             64 KiB, lent by the thread
//! ```
//!
//! A stream over rustls reads 4 KiB at a time and keeps buffers for each connection; this drives the socket and the TLS
//! state machine itself. Whoever owns a leg keeps to one rule, which bounds its memory: no more is sent while something
//! is unsent. The edge's relay and the agent's WebSocket stand on it; handshakes are over before it begins.

use std::fmt;
use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use rustls::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

mod scratch;

use scratch::NothingThere;
pub use scratch::{Scratch, WIRE_BYTES};

/// How much a TLS connection may hold unsent. More than a turn can make, so that a turn is always taken whole; never
/// unlimited.
const UNSENT_LIMIT: usize = 256 * 1024;

/// A connection whose handshake is done, with its TLS state if it has any.
pub struct Leg<S = TcpStream> {
    io: S,
    /// Boxed, because a leg is moved from hand to hand before it rests in its session: each of those places would be as
    /// large as this.
    tls: Option<Box<Connection>>,
    /// Without TLS: what the socket did not take. (With TLS, rustls holds it.)
    unsent: BytesMut,
    inward: Inward,
    outward: Outward,
    /// TLS was given records since it last gave memory back.
    fed: bool,
    /// Bytes that the socket took, of whatever kind: to see whether it takes any.
    taken: u64,
}

/// What comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inward {
    /// TLS may hold bytes that were read with the handshake.
    Fresh,
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

impl Leg {
    /// A TCP connection without TLS.
    pub fn plain(stream: TcpStream) -> Self {
        without_delay(&stream);
        Self::over(stream, None)
    }

    /// A TCP connection with a TLS session whose handshake is done.
    pub fn tls(stream: TcpStream, tls: impl Into<Connection>) -> Self {
        without_delay(&stream);
        Self::over(stream, Some(tls.into()))
    }
}

impl From<TcpStream> for Leg {
    fn from(stream: TcpStream) -> Self {
        Self::plain(stream)
    }
}

impl From<server::TlsStream<TcpStream>> for Leg {
    fn from(stream: server::TlsStream<TcpStream>) -> Self {
        let (stream, tls) = stream.into_inner();
        Self::tls(stream, tls)
    }
}

impl From<client::TlsStream<TcpStream>> for Leg {
    fn from(stream: client::TlsStream<TcpStream>) -> Self {
        let (stream, tls) = stream.into_inner();
        Self::tls(stream, tls)
    }
}

impl<S> Leg<S> {
    /// Any socket, with the TLS session on it whose handshake is done.
    pub fn over(io: S, tls: Option<Connection>) -> Self {
        let mut tls = tls.map(Box::new);
        if let Some(tls) = &mut tls {
            tls.set_buffer_limit(Some(UNSENT_LIMIT));
        }
        Self {
            io,
            inward: if tls.is_some() { Inward::Fresh } else { Inward::Open },
            tls,
            unsent: BytesMut::new(),
            outward: Outward::Open,
            // By the handshake.
            fed: true,
            taken: 0,
        }
    }

    /// The peer sends nothing any more.
    pub const fn has_ended(&self) -> bool {
        matches!(self.inward, Inward::Closed | Inward::Lost)
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
        !self.is_shut() && (!self.unsent.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write()))
    }

    /// How many bytes the socket took so far, of whatever kind: to see whether it takes any.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// Ends the outward direction once everything unsent has gone.
    pub fn finish(&mut self) {
        if self.is_open() {
            if let Some(tls) = &mut self.tls {
                tls.send_close_notify();
            }
            self.outward = Outward::Closing;
        }
    }

    /// Gives back what memory an idle leg does not need.
    pub fn rest(&mut self) {
        if std::mem::take(&mut self.fed)
            && let Some(tls) = &mut self.tls
        {
            let _nothing = tls.read_tls(&mut NothingThere);
        }
        if self.unsent.is_empty() {
            self.unsent = BytesMut::new();
        }
    }

    fn broken(&mut self, error: &io::Error) {
        tracing::debug!(%error, "a side of the session takes nothing any more");
        self.outward = Outward::Broken;
        self.unsent = BytesMut::new();
    }

    /// How many bytes wait to be written. For tests of what a stuck peer costs.
    pub fn unsent_bytes(&mut self) -> usize {
        let tls = self.tls.as_mut().map_or(0, |tls| tls.process_new_packets().map_or(0, |io| io.tls_bytes_to_write()));
        self.unsent.len() + tls
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Leg<S> {
    /// Reads the socket once, and leaves in `scratch` what plaintext that gives. Ready with the count of bytes read,
    /// also when the direction has now ended.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<usize> {
        scratch.clear();
        if self.inward == Inward::Fresh {
            self.inward = Inward::Open;
            if let Some(tls) = &mut self.tls {
                let collected = scratch.collect(tls);
                self.note(collected);
            }
            if !scratch.plaintext().is_empty() || self.has_ended() {
                return Poll::Ready(scratch.plaintext().len());
            }
        }
        let mut into = ReadBuf::new(scratch.wire_mut());
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, &mut into));
        let count = into.filled().len();
        match (read, &mut self.tls) {
            (Err(error), _) => {
                tracing::debug!(%error, "a side of the session broke off");
                self.inward = Inward::Lost;
                self.broken(&error);
            }
            (Ok(()), _) if count == 0 => self.inward = Inward::Closed,
            (Ok(()), None) => scratch.take_direct(count),
            (Ok(()), Some(tls)) => {
                self.fed = true;
                let decrypted = scratch.decrypt(count, tls);
                self.note(decrypted);
            }
        }
        Poll::Ready(count)
    }

    /// What TLS made of its records: an end, or an error that is one.
    fn note(&mut self, peer_has_closed: Result<bool, rustls::Error>) {
        match peer_has_closed {
            Ok(false) => {}
            Ok(true) => self.inward = Inward::Closed,
            Err(error) => {
                tracing::debug!(%error, "a side of the session broke the TLS protocol");
                self.inward = Inward::Lost;
                // rustls has queued the alert that tells the peer.
                self.finish();
            }
        }
    }

    /// Takes bytes to send. To be asked only while nothing is unsent, which bounds what waits here.
    pub fn send(&mut self, cx: &mut Context<'_>, mut bytes: &[u8]) {
        let Some(tls) = &mut self.tls else {
            if self.unsent.is_empty() {
                while !bytes.is_empty()
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
            }
            self.unsent.extend_from_slice(bytes);
            return;
        };
        while !bytes.is_empty() {
            match tls.writer().write(bytes).and_then(some) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) => return self.broken(&error),
            }
        }
    }

    /// Writes what is unsent, and FIN behind it if the direction is to end. Ready when nothing is left to do.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.has_unsent() {
            let mut socket = Socket { io: &mut self.io, cx };
            let written = match &mut self.tls {
                Some(tls) => tls.write_tls(&mut socket),
                None => socket.write(&self.unsent),
            };
            match written.and_then(some) {
                Ok(count) => {
                    self.taken += count as u64;
                    if self.tls.is_none() {
                        self.unsent.advance(count);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
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

fn without_delay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
}

/// A socket as rustls wants to write to it.
struct Socket<'s, 'c, 'w, S> {
    io: &'s mut S,
    cx: &'c mut Context<'w>,
}

impl<S: AsyncWrite + Unpin> Write for Socket<'_, '_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        now(Pin::new(&mut *self.io).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        now(Pin::new(&mut *self.io).poll_write_vectored(self.cx, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn now(written: Poll<io::Result<usize>>) -> io::Result<usize> {
    match written {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<S> fmt::Debug for Leg<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leg")
            .field("tls", &self.tls.is_some())
            .field("inward", &self.inward)
            .field("outward", &self.outward)
            .finish_non_exhaustive()
    }
}
