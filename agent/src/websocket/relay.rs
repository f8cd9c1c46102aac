//! Carries bytes between a client's WebSocket and its console, both ways in one task, until either ends or somebody
//! else ends it.
//!
//! Work is done in turns. A turn moves at most about one chunk each way and then lets other sessions have theirs, so a
//! flood does not starve a keystroke.
//!
//! ```text
//!  up:    frames that are there ──joined──► one write to the console ──not taken──► held (then no frame is read)
//!  down:  all flushed? ──► one read of the console ──► one message ──► flush        (else the console is not read)
//! ```
//!
//! What a turn works on lies in a buffer of the thread, not of the session: bytes rest in a session only while the side
//! that they go to does not take them. While both sides keep up no message costs an allocation here: one on its way down
//! is copied once, into tungstenite's write buffer (which stays as large as its largest message was), and a small one on
//! its way up once, beside its neighbours. What the client may not send is taken out there, before it is written.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures_util::{Sink, SinkExt as _, StreamExt as _};
use porthole_shared::reason::Reason;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy, sink};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tokio_util::io::poll_read_buf;

use super::liveness::Liveness;
use super::{Inbound, MAX_CHUNK, Pings, end_of};
use crate::sessions::{Activity, Counters};

/// How many bytes of frames are joined into one write to the console.
const MAX_JOINED: usize = 64 * 1024;

/// A message of this size or more is written as it is, rather than copied to its neighbours.
const LARGE: usize = 32 * 1024;

/// How many frames are read in one turn, however small: a frame of no bytes is work, too.
const FRAMES_PER_TURN: usize = 256;

/// How long a goodbye may take: sending what is still under way, the close frame, the client's answer.
const GOODBYE: Duration = Duration::from_secs(3);

thread_local! {
    /// What the turn at hand works on. Never borrowed across a turn's end.
    static SCRATCH: RefCell<BytesMut> = RefCell::new(BytesMut::new());
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
    socket: WebSocketStream<S>,
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
}

/// Why a turn read no further frames.
enum Stop {
    /// There are none now.
    Empty,
    /// There may be more, but this turn has had its share.
    Enough,
    /// This message is too large to be joined to the others, and goes on as it is.
    Large(Bytes),
    /// There will be none.
    End(Reason),
}

impl<S, C> Relay<S, C>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: AsyncRead + AsyncWrite + Unpin,
{
    /// Between `socket` (from [`accept`](super::accept)) and `console`, whose writes must need no flush, as a socket's.
    pub fn new(socket: WebSocketStream<S>, console: C, inbound: Inbound, meter: Meter, pings: Pings) -> Self {
        let liveness = Liveness::new(pings, Instant::now());
        let look = Box::pin(sleep_until(liveness.next_look()));
        Self { socket, console, inbound, meter, liveness, look, ping: false, held: Bytes::new(), console_deaf: false }
    }

    /// Carries bytes until the session ends: by client, by console ([`Reason::ConsoleClosed`]; the caller may know more),
    /// or because `ended` says so.
    pub async fn run(&mut self, ended: impl Future<Output = Reason>) -> Reason {
        let mut ended = pin!(ended);
        poll_fn(|cx| {
            if let Poll::Ready(reason) = ended.as_mut().poll(cx) {
                return Poll::Ready(reason);
            }
            match self.turn(cx) {
                Err(reason) => Poll::Ready(reason),
                Ok(moved) => {
                    if moved {
                        cx.waker().wake_by_ref();
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Lets go of the console, tells the client why, and closes. Takes a few seconds at most, whatever the client does.
    pub async fn close(self, reason: Reason) {
        let Self { socket, console, .. } = self;
        drop(console);
        close(socket, reason).await;
    }

    /// Moves what can be moved now. True: there may be more; false: whoever has more will wake this task.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, Reason> {
        let now = Instant::now();
        let moved = SCRATCH.with_borrow_mut(|scratch| {
            let up = self.up(cx, scratch, now)?;
            let down = self.down(cx, scratch, now)?;
            Ok(up || down)
        })?;
        // Last, so that nobody is blamed for what has just arrived.
        while self.look.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if self.liveness.is_stuck(now) {
                return Err(Reason::ClientStuck);
            }
            self.ping |= self.liveness.take_ping(now);
            self.look.as_mut().reset(self.liveness.next_look());
        }
        Ok(moved || (self.ping && !self.liveness.is_blocked()))
    }

    /// From the client to the console.
    fn up(&mut self, cx: &mut Context<'_>, scratch: &mut BytesMut, now: Instant) -> Result<bool, Reason> {
        let mut held = mem::take(&mut self.held);
        let taken = self.write(cx, &held);
        held.advance(taken);
        self.liveness.listen(held.is_empty());
        if !held.is_empty() {
            self.held = held;
            return Ok(false);
        }
        // Even empty it would keep the buffer that tungstenite reads into from being used again.
        drop(held);

        scratch.clear();
        let stop = self.join_frames(cx, scratch);
        let seen = self.inbound.see(scratch)?;
        scratch.truncate(seen.passed);
        let large = matches!(&stop, Stop::Large(message) if self.inbound.sees_input(message));
        if seen.input || large {
            self.meter.activity.note(now);
        }
        let taken = self.write(cx, scratch);
        scratch.advance(taken);
        match stop {
            Stop::End(reason) => Err(reason),
            Stop::Large(message) if scratch.is_empty() => {
                self.held = message;
                Ok(true)
            }
            Stop::Large(message) => {
                self.held = [scratch.as_ref(), message.as_ref()].concat().into();
                Ok(true)
            }
            Stop::Empty | Stop::Enough => {
                self.held = Bytes::copy_from_slice(scratch);
                Ok(!self.held.is_empty() || matches!(stop, Stop::Enough))
            }
        }
    }

    /// Takes the frames that are there, for one write.
    fn join_frames(&mut self, cx: &mut Context<'_>, joined: &mut BytesMut) -> Stop {
        for _ in 0..FRAMES_PER_TURN {
            if joined.len() >= MAX_JOINED {
                break;
            }
            let message = match self.socket.poll_next_unpin(cx) {
                Poll::Pending => return Stop::Empty,
                Poll::Ready(None) => return Stop::End(Reason::ClientGone),
                Poll::Ready(Some(Err(error))) => return Stop::End(end_of(&error)),
                Poll::Ready(Some(Ok(message))) => message,
            };
            self.liveness.hear();
            match message {
                Message::Binary(bytes) => {
                    self.meter.counters.add_in(bytes.len());
                    if bytes.len() >= LARGE && self.inbound.is_open() {
                        return Stop::Large(bytes);
                    }
                    // An empty message is no end of stream; it adds nothing.
                    joined.extend_from_slice(&bytes);
                }
                Message::Text(_) => return Stop::End(Reason::TextFrame),
                Message::Close(_) => return Stop::End(Reason::ClientClosed),
                // tungstenite answers pings; raw frames are for sending only.
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        Stop::Enough
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
    fn down(&mut self, cx: &mut Context<'_>, scratch: &mut BytesMut, now: Instant) -> Result<bool, Reason> {
        if !self.flush(cx, now)? {
            return Ok(false);
        }
        if mem::take(&mut self.ping) {
            self.send(Message::Ping(Bytes::new()))?;
            self.liveness.ask(now);
            if !self.flush(cx, now)? {
                return Ok(false);
            }
        }
        scratch.clear();
        // The message below is copied and dropped by tungstenite before this is done again, so the buffer is this
        // thread's alone again and no memory is taken.
        scratch.reserve(MAX_CHUNK);
        let read = poll_read_buf(Pin::new(&mut self.console), cx, &mut (&mut *scratch).limit(MAX_CHUNK));
        match read {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0) | Err(_)) => Err(Reason::ConsoleClosed),
            Poll::Ready(Ok(length)) => {
                self.send(Message::Binary(scratch.split().freeze()))?;
                self.meter.counters.add_out(length);
                self.flush(cx, now)?;
                Ok(true)
            }
        }
    }

    /// Whether the client has taken all that was sent to it.
    fn flush(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, Reason> {
        let flushed = match Sink::<Message>::poll_flush(Pin::new(&mut self.socket), cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => return Err(end_of(&error)),
        };
        self.liveness.block(now, !flushed);
        Ok(flushed)
    }

    fn send(&mut self, message: Message) -> Result<(), Reason> {
        Pin::new(&mut self.socket).start_send(message).map_err(|error| end_of(&error))
    }
}

/// Tells a client why its session ends, and closes. Takes a few seconds at most, whatever the client does.
pub(crate) async fn close<S>(mut socket: WebSocketStream<S>, reason: Reason)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Nobody is there to hear.
    if reason == Reason::ClientGone {
        return;
    }
    match timeout(GOODBYE, say_goodbye(&mut socket, reason)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%reason, %error, "the client did not wait for its close frame"),
        Err(_elapsed) => tracing::debug!(%reason, "the client did not take its close frame, or did not answer"),
    }
}

async fn say_goodbye<S>(socket: &mut WebSocketStream<S>, reason: Reason) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // What was read of the console goes out first, and so does the answer to a client's close frame.
    socket.flush().await?;
    if reason != Reason::ClientClosed {
        let frame = CloseFrame { code: reason.close_code().into(), reason: reason.code().into() };
        socket.close(Some(frame)).await?;
        // The client answers with a close frame of its own. After a protocol error there is nothing to be made out, and
        // from a stuck client nothing is to be expected.
        let mut answered = reason == Reason::ClientStuck;
        while !answered {
            answered = matches!(socket.next().await, None | Some(Err(_) | Ok(Message::Close(_))));
        }
    }
    let stream = socket.get_mut();
    stream.shutdown().await?;
    // Closing a TCP connection with bytes unread resets it, and a reset may overtake the close frame.
    let _rest: io::Result<u64> = copy(stream, &mut sink()).await;
    Ok(())
}
