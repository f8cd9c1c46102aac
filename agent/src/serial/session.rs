//! A viewer's WebSocket on a serial port.
//!
//! | subprotocol | from the viewer | to the viewer |
//! |---|---|---|
//! | `binary`, or none | bytes, in binary or text frames | bytes from now on; what does not come is told in the text |
//! | `porthole.serial.v1` | bytes in binary frames, control messages ([`wire`](super::wire)) in text | the same |
//!
//! Works in turns, as [`Relay`](crate::websocket::Relay) does: what was sent is flushed before more is read of the
//! history, and no frame is read while the guest does not take the last one. Nothing else is held for a viewer.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, StreamExt as _};
use porthole_shared::reason::Reason;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Message;

use super::port::{Attachment, Input, Next};
use super::wire::{FromAgent, FromPage, MAX_CONTROL, Wanted, Why};
use crate::sessions::Connection;
use crate::websocket::{self, Liveness, MAX_CHUNK, Meter, Pings, end_of};

/// How many frames are read in one turn.
const FRAMES_PER_TURN: usize = 64;

/// How many answers to control messages may wait for the viewer to take them, before no more frames are read.
const MOST_ANSWERS: usize = 8;

thread_local! {
    /// What the turn at hand sends. Never borrowed across a turn's end.
    static SCRATCH: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Bytes.
    Plain,
    /// `porthole.serial.v1`.
    V1,
}

/// A viewer's whole time on a port, from its handshake to its goodbye.
pub async fn view<S>(
    socket: WebSocketStream<S>,
    attachment: Attachment,
    protocol: Protocol,
    connection: Connection,
    pings: Pings,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut session = Session::new(socket, attachment, protocol, connection.meter(), pings);
    let reason = session.run(connection.ended()).await;
    // The record is closed first: how long the viewer takes to say goodbye is its own affair.
    let reason = connection.conclude(reason).await;
    session.close(reason).await;
}

/// One viewer's connection.
#[derive(Debug)]
struct Session<S> {
    socket: WebSocketStream<S>,
    attachment: Attachment,
    protocol: Protocol,
    meter: Meter,
    liveness: Liveness,
    look: Pin<Box<Sleep>>,
    /// A ping is due and was not sent yet.
    ping: bool,
    /// What the viewer typed and the queue has not taken.
    held: Option<Input>,
    answers: VecDeque<FromAgent>,
    /// The viewer has said from where on it wants to read.
    reading: bool,
}

impl<S> Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// On `socket` (from [`accept`](crate::websocket::accept)).
    fn new(socket: WebSocketStream<S>, attachment: Attachment, protocol: Protocol, meter: Meter, pings: Pings) -> Self {
        let liveness = Liveness::new(pings, Instant::now());
        let look = Box::pin(sleep_until(liveness.next_moment()));
        let reading = protocol == Protocol::Plain;
        let (held, answers) = (None, VecDeque::new());
        Self { socket, attachment, protocol, meter, liveness, look, ping: false, held, answers, reading }
    }

    /// Goes on until the viewer leaves, the port is over ([`Reason::ConsoleClosed`]; the caller may know more), somebody
    /// takes over, or `ended` says so.
    async fn run(&mut self, ended: impl Future<Output = Reason>) -> Reason {
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

    /// Leaves the port, tells the viewer why, and closes.
    async fn close(self, reason: Reason) {
        let Self { socket, attachment, .. } = self;
        drop(attachment);
        websocket::close(socket, reason).await;
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, Reason> {
        let now = Instant::now();
        let told = self.attachment.told(cx);
        let up = self.up(cx, now)?;
        let down = SCRATCH.with_borrow_mut(|scratch| self.down(cx, scratch, now))?;
        // A guest's last words come first, as far as the viewer takes them.
        if let Some(reason) = told.filter(|reason| *reason != Reason::ConsoleClosed || !down) {
            return Err(reason);
        }
        while self.look.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if self.liveness.is_stuck(now) {
                return Err(Reason::ClientStuck);
            }
            self.ping |= self.liveness.take_ping(now);
            self.look.as_mut().reset(self.liveness.next_moment());
        }
        Ok(up || down || (self.ping && !self.liveness.is_blocked()))
    }

    /// From the viewer to the port.
    fn up(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, Reason> {
        for _ in 0..FRAMES_PER_TURN {
            if self.attachment.poll_input(cx, &mut self.held).is_pending() || self.answers.len() >= MOST_ANSWERS {
                self.liveness.listen(false);
                return Ok(false);
            }
            self.liveness.listen(true);
            let message = match self.socket.poll_next_unpin(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(None) => return Err(Reason::ClientGone),
                Poll::Ready(Some(Err(error))) => return Err(end_of(&error)),
                Poll::Ready(Some(Ok(message))) => message,
            };
            self.liveness.hear();
            match (message, self.protocol) {
                (Message::Binary(bytes), _) => self.typed(&bytes, now),
                (Message::Text(text), Protocol::Plain) => self.typed(text.as_bytes(), now),
                (Message::Text(text), Protocol::V1) => self.control(text.as_str())?,
                (Message::Close(_), _) => return Err(Reason::ClientClosed),
                (Message::Ping(_) | Message::Pong(_) | Message::Frame(_), _) => {}
            }
        }
        Ok(true)
    }

    fn typed(&mut self, bytes: &[u8], now: Instant) {
        self.meter.counters.add_in(bytes.len());
        if bytes.is_empty() {
            return;
        }
        self.meter.activity.note(now);
        // Who only watches types nothing, whatever its page says.
        if self.attachment.is_writer() {
            self.held = Some(Input::Bytes(Bytes::copy_from_slice(bytes)));
        }
    }

    fn control(&mut self, text: &str) -> Result<(), Reason> {
        if text.len() > MAX_CONTROL {
            return Err(Reason::MessageTooBig);
        }
        let message: FromPage = serde_json::from_str(text).map_err(|_| Reason::ProtocolError)?;
        let done = match &message {
            FromPage::History(wanted) => {
                self.begin_reading(wanted);
                Ok(())
            }
            FromPage::Write => self.attachment.write(),
            FromPage::Watch => {
                self.attachment.watch();
                Ok(())
            }
            FromPage::Break if !self.attachment.can_break() => Err(Reason::Unsupported),
            FromPage::Break if !self.attachment.is_writer() => Err(Reason::InUse),
            FromPage::Break => {
                self.held = Some(Input::Break);
                Ok(())
            }
            FromPage::Unknown => Err(Reason::Unsupported),
        };
        if let Err(reason) = done {
            let (what, why) = (message.as_str().to_owned(), reason.code().to_owned());
            self.answers.push_back(FromAgent::Refused { what, why });
        }
        Ok(())
    }

    fn begin_reading(&mut self, wanted: &Wanted) {
        let (start, offset) = self.attachment.go_to(wanted);
        self.answers.push_back(FromAgent::At { start, offset });
        self.reading = true;
    }

    /// From the port to the viewer.
    fn down(&mut self, cx: &mut Context<'_>, scratch: &mut BytesMut, now: Instant) -> Result<bool, Reason> {
        if !self.flush(cx, now)? {
            return Ok(false);
        }
        if self.protocol == Protocol::V1
            && let Some(state) = self.attachment.news()
        {
            // Before what was asked for, and never late: it says what the answers mean.
            self.answers.push_front(FromAgent::State(state));
        }
        let mut said = !self.answers.is_empty();
        while let Some(answer) = self.answers.pop_front() {
            self.say(&answer)?;
        }
        if std::mem::take(&mut self.ping) {
            self.send(Message::Ping(Bytes::new()))?;
            self.liveness.ask(now);
        }
        if !self.flush(cx, now)? {
            return Ok(false);
        }
        if self.reading {
            scratch.clear();
            scratch.reserve(MAX_CHUNK);
            match self.attachment.read(MAX_CHUNK, scratch) {
                Next::Nothing => {}
                Next::Bytes(length) => {
                    self.send(Message::Binary(scratch.split().freeze()))?;
                    self.meter.counters.add_out(length);
                    said = true;
                }
                Next::Skipped { from, to, why } => {
                    self.say_skipped(from, to, why)?;
                    said = true;
                }
            }
            self.flush(cx, now)?;
        }
        Ok(said && !self.liveness.is_blocked())
    }

    fn say(&mut self, message: &FromAgent) -> Result<(), Reason> {
        let text = serde_json::to_string(message).map_err(|_| Reason::Internal)?;
        self.send(Message::text(text))
    }

    fn say_skipped(&mut self, from: u64, to: u64, why: Why) -> Result<(), Reason> {
        if self.protocol == Protocol::V1 {
            return self.say(&FromAgent::Skipped { from, to, why });
        }
        let words = match why {
            Why::Slow | Why::NotKept => format!("\r\n[porthole: {} bytes are left out here]\r\n", to - from),
            Why::Lost => "\r\n[porthole: output was lost here]\r\n".to_owned(),
        };
        self.send(Message::Binary(words.into()))
    }

    /// Whether the viewer has taken all that was sent to it.
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

#[cfg(test)]
mod tests;
