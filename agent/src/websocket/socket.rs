//! A client's WebSocket, server's side, on a [`Leg`]: no buffer of its own, whatever went through it.
//!
//! ```text
//!  poll_receive: leg ──► Scratch (the thread's) ──► Frames: data stays where it lies, the rest is an event
//!  send:         [room│payload] ──head put in front──► leg        one buffer, one write, nothing copied
//! ```
//!
//! Pings are answered here, the latest only, as RFC 6455 section 5.5.3 allows: a client that asks without reading the
//! answers makes nothing grow. Whether a client is there, what its bytes mean and when it has to leave is decided above.

use std::future::poll_fn;
use std::ops::Range;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use porthole_shared::leg::{Leg, Scratch};
use porthole_shared::reason::Reason;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::MAX_CHUNK;
use super::frames::{Event, Frames};

/// How long a goodbye may take: sending what is still under way, the close frame, the client's answer.
const GOODBYE: Duration = Duration::from_secs(3);

/// A head of the server's side is at most so long: it has no mask.
const MAX_HEAD: usize = 10;

/// A client whose handshake is over.
#[derive(Debug)]
pub struct Socket<S = TcpStream> {
    leg: Leg<S>,
    /// What came with the handshake.
    early: Bytes,
    frames: Frames,
    /// A ping that was not answered yet.
    pong: Option<Vec<u8>>,
}

/// A message to be sent, with room for its head in front.
#[derive(Debug)]
pub(crate) struct Outgoing(Box<[u8]>);

impl Default for Outgoing {
    fn default() -> Self {
        Self(vec![0; MAX_HEAD + MAX_CHUNK].into_boxed_slice())
    }
}

impl Outgoing {
    /// Where its payload is put, [`MAX_CHUNK`] bytes at most.
    pub(crate) fn payload_mut(&mut self) -> &mut [u8] {
        self.0.get_mut(MAX_HEAD..).unwrap_or_default()
    }

    /// The frame with the first `length` bytes of payload.
    fn frame(&mut self, opcode: OpCode, length: usize) -> &[u8] {
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        let start = MAX_HEAD - header.len(length as u64).min(MAX_HEAD);
        let mut head = self.0.get_mut(start..MAX_HEAD).unwrap_or_default();
        // The slice is as long as the head: this cannot fail.
        let _whole = header.format(length as u64, &mut head);
        self.0.get(start..MAX_HEAD + length).unwrap_or_default()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// On this leg. `early` came behind the handshake; text messages may be so long, or may not be at all.
    pub fn new(leg: Leg<S>, early: Bytes, max_text: Option<usize>) -> Self {
        // An empty part of a buffer would keep all of it.
        let early = if early.is_empty() { Bytes::new() } else { early };
        Self { leg, early, frames: Frames::new(max_text), pong: None }
    }

    /// Receives once. Ready when there may be something for [`Self::next`] in `scratch`, or the client has gone.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        if !self.early.is_empty() {
            scratch.fill(&std::mem::take(&mut self.early));
            return Poll::Ready(());
        }
        if self.leg.has_ended() {
            scratch.fill(&[]);
            return Poll::Ready(());
        }
        let received = self.leg.poll_receive(cx, scratch).map(|_count| ());
        if received.is_pending() {
            self.leg.rest();
        }
        received
    }

    /// Whether nothing comes any more. To be asked once what was received is used up.
    pub(super) fn has_ended(&self) -> bool {
        self.leg.has_ended()
    }

    /// The next event in what was received.
    pub(super) fn next(&mut self, bytes: &mut [u8], at: &mut usize) -> Result<Option<Event>, Reason> {
        loop {
            match self.frames.next(bytes, at)? {
                Some(Event::Ping(payload)) => self.pong = Some(payload),
                other => return Ok(other),
            }
        }
    }

    /// Writes what is under way, answers to pings included. Ready when all of it is written.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        loop {
            ready!(self.leg.poll_flush(cx));
            if !self.leg.is_open() {
                return Poll::Ready(Err(Reason::ClientGone));
            }
            match self.pong.take() {
                None => return Poll::Ready(Ok(())),
                Some(payload) => self.send_control(cx, Control::Pong, &payload),
            }
        }
    }

    /// Sends the first `length` bytes of its payload as one binary message. Only once all before it is flushed.
    pub(super) fn send(&mut self, cx: &mut Context<'_>, message: &mut Outgoing, length: usize) {
        self.leg.send(cx, message.frame(OpCode::Data(Data::Binary), length));
    }

    /// Asks whether the client is there. Only once all before it is flushed.
    pub(super) fn send_ping(&mut self, cx: &mut Context<'_>) {
        self.send_control(cx, Control::Ping, &[]);
    }

    fn send_control(&mut self, cx: &mut Context<'_>, control: Control, payload: &[u8]) {
        let header = FrameHeader { opcode: OpCode::Control(control), ..FrameHeader::default() };
        let mut frame = Vec::with_capacity(2 + payload.len());
        // Writing to memory does not fail.
        let _whole = header.format(payload.len() as u64, &mut frame);
        frame.extend_from_slice(payload);
        self.leg.send(cx, &frame);
    }

    /// Tells the client why its session ends, and closes. Takes a few seconds at most, whatever the client does.
    pub(crate) async fn close(mut self, goodbye: Goodbye) {
        // Nobody is there to hear.
        if goodbye.reason == Reason::ClientGone {
            return;
        }
        let reason = goodbye.reason;
        match timeout(GOODBYE, self.say_goodbye(goodbye)).await {
            Ok(Ok(())) => {}
            Ok(Err(_gone)) => tracing::debug!(%reason, "the client did not wait for its close frame"),
            Err(_elapsed) => tracing::debug!(%reason, "the client did not take its close frame, or did not answer"),
        }
    }

    async fn say_goodbye(&mut self, Goodbye { reason, theirs }: Goodbye) -> Result<(), Reason> {
        // What was read of the console goes out first.
        poll_fn(|cx| self.poll_flush(cx)).await?;
        let mut payload = Vec::new();
        if reason == Reason::ClientClosed {
            // RFC 6455 section 5.5.1: typically echoes the code that it got.
            payload.extend(theirs.into_iter().flat_map(u16::to_be_bytes));
        } else {
            payload.extend(reason.close_code().to_be_bytes());
            payload.extend(reason.code().bytes());
        }
        poll_fn(|cx| {
            self.send_control(cx, Control::Close, &payload);
            Poll::Ready(())
        })
        .await;
        poll_fn(|cx| self.poll_flush(cx)).await?;
        // The client answers with a close frame of its own. After a protocol error there is nothing to be made out, and
        // from a stuck client nothing is to be expected.
        let mut answered = matches!(reason, Reason::ClientClosed | Reason::ClientStuck);
        while !answered {
            answered = poll_fn(|cx| self.poll_answered(cx)).await;
        }
        self.leg.finish();
        poll_fn(|cx| self.leg.poll_flush(cx)).await;
        // Closing a TCP connection with bytes unread resets it, and a reset may overtake the close frame.
        poll_fn(|cx| {
            Scratch::lend(|scratch| {
                while !self.leg.has_ended() {
                    let _rest = ready!(self.leg.poll_receive(cx, scratch));
                }
                Poll::Ready(())
            })
        })
        .await;
        Ok(())
    }

    fn poll_answered(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        Scratch::lend(|scratch| {
            ready!(self.poll_receive(cx, scratch));
            let mut at = 0;
            loop {
                match self.next(scratch.plaintext_mut(), &mut at) {
                    Ok(Some(Event::Close(_))) | Err(_) => return Poll::Ready(true),
                    Ok(Some(_)) => {}
                    Ok(None) => return Poll::Ready(self.has_ended()),
                }
            }
        })
    }
}

/// How a session ends, for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Goodbye {
    /// Why.
    pub(crate) reason: Reason,
    /// The code that the client left with.
    pub(crate) theirs: Option<u16>,
}

/// Moves a piece of data up to those before it, and tells where they end now.
pub(super) fn join(bytes: &mut [u8], joined: usize, piece: Range<usize>) -> usize {
    let length = piece.len();
    if piece.start != joined && piece.end <= bytes.len() {
        bytes.copy_within(piece, joined);
    }
    joined + length
}
