//! Carries bytes between a client's WebSocket and its console, both ways in one task, until either ends or somebody
//! else ends it.
//!
//! Work is done in turns. A turn moves at most one buffer each way and then lets other sessions have theirs, so a flood
//! does not starve a keystroke.
//!
//! ```text
//!  up:    one receive ──► its frames' payloads, joined ──► one write to the console ──not taken──► held (no more is read)
//!  down:  all flushed? ──► one read of the console ──► one message ──► flush                (else the console is not read)
//! ```
//!
//! What a turn works on lies in buffers of the thread, not of the session: bytes rest in a session only while the side
//! that they go to does not take them. While both sides keep up no message costs an allocation here, and none is copied
//! but to stand beside its neighbours; what TLS takes is a buffer for each record (16 KiB) that it writes. What the client
//! may not send is taken out before it is written.

use std::future::{Future, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use porthole_shared::leg::Scratch;
use porthole_shared::reason::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::yield_now;
use tokio::time::{Instant, Sleep, sleep_until};

use super::frames::Event;
use super::liveness::Liveness;
use super::socket::{Goodbye, Outgoing, Socket, join};
use super::{Inbound, OUTGOING, Pings};
use crate::sessions::{Activity, Counters};

/// How often one turn looks for more after it moved little. A little nearly always was all there was.
const ROUNDS: usize = 4;

/// So many bytes are a turn's share.
const SHARE: usize = 48 * 1024;

/// What one look at one direction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing: it waits for somebody.
    Nothing,
    /// It moved something.
    Little,
    /// It moved a turn's share.
    Much,
}

impl Step {
    const fn of(bytes: usize) -> Self {
        if bytes >= SHARE { Self::Much } else { Self::Little }
    }
}

/// Where a relay writes down what goes on.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    /// Bytes, of this connection.
    pub counters: Arc<Counters>,
    /// Input, of the session.
    pub activity: Arc<Activity>,
}

/// One connection of a session.
#[derive(Debug)]
pub struct Relay<S, C> {
    socket: Socket<S>,
    console: C,
    inbound: Inbound,
    meter: Meter,
    liveness: Liveness,
    look: Pin<Box<Sleep>>,
    /// A ping is due and was not sent yet.
    ping: bool,
    /// What the client sent and the console has not taken.
    held: Bytes,
    /// The console takes nothing any more. It may still have last words.
    console_deaf: bool,
    /// The code that the client left with.
    theirs: Option<u16>,
}

impl<S, C> Relay<S, C>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: AsyncRead + AsyncWrite + Unpin,
{
    /// Between `socket` and `console`, whose writes must need no flush, as a socket's.
    pub fn new(socket: Socket<S>, console: C, inbound: Inbound, meter: Meter, pings: Pings) -> Self {
        let liveness = Liveness::new(pings, Instant::now());
        let look = Box::pin(sleep_until(liveness.next_moment()));
        let (held, theirs) = (Bytes::new(), None);
        Self { socket, console, inbound, meter, liveness, look, ping: false, held, console_deaf: false, theirs }
    }

    /// Carries bytes until the session ends: by client, by console ([`Reason::ConsoleClosed`]; the caller may know more),
    /// or because `ended` says so.
    pub async fn run(&mut self, ended: impl Future<Output = Reason>) -> Reason {
        let mut ended = pin!(ended);
        loop {
            let turn = poll_fn(|cx| {
                if let Poll::Ready(reason) = ended.as_mut().poll(cx) {
                    return Poll::Ready(Some(reason));
                }
                match self.turn(cx) {
                    Err(reason) => Poll::Ready(Some(reason)),
                    Ok(true) => Poll::Ready(None),
                    Ok(false) => Poll::Pending,
                }
            });
            match turn.await {
                Some(reason) => return reason,
                // Not a wake of its own: this one waits until the runtime has looked at all sockets and run all others.
                None => yield_now().await,
            }
        }
    }

    /// Lets go of the console, tells the client why, and closes. Takes a few seconds at most, whatever the client does.
    pub async fn close(self, reason: Reason) {
        let Self { socket, console, theirs, .. } = self;
        drop(console);
        socket.close(Goodbye { reason, theirs }).await;
    }

    /// Moves what can be moved now. True: there may be more; false: whoever has more will wake this task.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, Reason> {
        let now = Instant::now();
        let more =
            Scratch::lend(|incoming| OUTGOING.with_borrow_mut(|outgoing| self.rounds(cx, incoming, outgoing, now)))?;
        // Last, so that nobody is blamed for what has just arrived.
        while self.look.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if self.liveness.is_stuck(now) {
                return Err(Reason::ClientStuck);
            }
            self.ping |= self.liveness.take_ping(now);
            self.look.as_mut().reset(self.liveness.next_moment());
        }
        Ok(more || (self.ping && !self.liveness.is_blocked()))
    }

    /// Looks both ways until both have nothing, or one has much. True: there may be more.
    fn rounds(
        &mut self,
        cx: &mut Context<'_>,
        incoming: &mut Scratch,
        outgoing: &mut Outgoing,
        now: Instant,
    ) -> Result<bool, Reason> {
        for _ in 0..ROUNDS {
            match (self.up(cx, incoming, now)?, self.down(cx, outgoing, now)?) {
                (Step::Nothing, Step::Nothing) => return Ok(false),
                (Step::Much, _) | (_, Step::Much) => return Ok(true),
                (Step::Little | Step::Nothing, Step::Little | Step::Nothing) => {}
            }
        }
        Ok(true)
    }

    /// From the client to the console.
    fn up(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch, now: Instant) -> Result<Step, Reason> {
        let mut held = mem::take(&mut self.held);
        let taken = self.write(cx, &held);
        held.advance(taken);
        self.liveness.listen(held.is_empty());
        if !held.is_empty() {
            self.held = held;
            return Ok(Step::Nothing);
        }
        if self.socket.poll_receive(cx, scratch).is_pending() {
            return Ok(Step::Nothing);
        }
        let bytes = scratch.plaintext_mut();
        let length = bytes.len();
        if length > 0 {
            self.liveness.hear();
        }
        let (joined, end) = self.join_frames(bytes);
        let joined = bytes.get_mut(..joined).unwrap_or_default();
        self.meter.counters.add_in(joined.len());
        let seen = self.inbound.see(joined)?;
        if seen.input {
            self.meter.activity.note(now);
        }
        let passed = joined.get(..seen.passed).unwrap_or_default();
        let taken = self.write(cx, passed);
        self.held = Bytes::copy_from_slice(passed.get(taken..).unwrap_or_default());
        match end {
            Some(reason) => Err(reason),
            None if self.socket.has_ended() => Err(Reason::ClientGone),
            None => Ok(Step::of(length)),
        }
    }

    /// Puts the data of all frames side by side at the front; gives its length, and why there will be no more.
    fn join_frames(&mut self, bytes: &mut [u8]) -> (usize, Option<Reason>) {
        let (mut joined, mut at) = (0, 0);
        loop {
            match self.socket.next(bytes, &mut at) {
                Ok(Some(Event::Data(piece))) => joined = join(bytes, joined, piece),
                Ok(Some(Event::Close(code))) => {
                    self.theirs = code;
                    return (joined, Some(Reason::ClientClosed));
                }
                Ok(Some(Event::Text(_))) => return (joined, Some(Reason::TextFrame)),
                Ok(Some(Event::Ping(_) | Event::Pong)) => {}
                Ok(None) => return (joined, None),
                Err(reason) => return (joined, Some(reason)),
            }
        }
    }

    /// How much of it the console takes now. What a deaf console is sent vanishes.
    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() && !self.console_deaf {
            match Pin::new(&mut self.console).poll_write(cx, rest) {
                Poll::Pending => return bytes.len() - rest.len(),
                Poll::Ready(Ok(taken)) if taken > 0 => rest = rest.get(taken..).unwrap_or_default(),
                // It may have said why before it hung up: reading goes on until its end.
                Poll::Ready(Ok(_) | Err(_)) => self.console_deaf = true,
            }
        }
        bytes.len()
    }

    /// From the console to the client.
    fn down(&mut self, cx: &mut Context<'_>, message: &mut Outgoing, now: Instant) -> Result<Step, Reason> {
        if !self.flush(cx, now)? {
            return Ok(Step::Nothing);
        }
        if mem::take(&mut self.ping) {
            self.socket.send_ping(cx);
            self.liveness.ask(now);
            if !self.flush(cx, now)? {
                return Ok(Step::Nothing);
            }
        }
        let mut into = ReadBuf::new(message.payload_mut());
        let read = Pin::new(&mut self.console).poll_read(cx, &mut into);
        match (read, into.filled().len()) {
            (Poll::Pending, _) => Ok(Step::Nothing),
            (Poll::Ready(Ok(())), length @ 1..) => {
                self.socket.send(cx, message, length);
                self.meter.counters.add_out(length);
                self.flush(cx, now)?;
                Ok(Step::of(length))
            }
            (Poll::Ready(Ok(()) | Err(_)), _) => Err(Reason::ConsoleClosed),
        }
    }

    /// Whether the client has taken all that was sent to it.
    fn flush(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, Reason> {
        let flushed = match self.socket.poll_flush(cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(reason)) => return Err(reason),
        };
        self.liveness.block(now, !flushed);
        Ok(flushed)
    }
}
