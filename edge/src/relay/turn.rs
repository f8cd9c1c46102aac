//! What a session does when it has its turn, and when it is over.
//!
//! ```text
//!  both open ──a side ends or breaks──► lingering ──both ended and shut, or linger──► over
//!      └──bytes wait for a side that takes none──────────────stuck─────────────────────┘
//! ```

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use porthole_shared::leg::{Leg, Scratch, WIRE_BYTES};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::{End, Patience};

/// How often one turn looks for more after short reads. A short read nearly always emptied the socket.
const ROUNDS: usize = 4;

/// What a turn led to. (A poll that is pending is a turn that ran out of things to do.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// There may be more to do at once: let others go first.
    More,
    /// It is over.
    Over(End),
}

/// Bytes moved so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) to_agent: u64,
    pub(super) to_client: u64,
}

/// A session, between a client and an agent.
#[derive(Debug)]
pub struct Relay<C = TcpStream, A = TcpStream> {
    client: Leg<C>,
    agent: Leg<A>,
    up: Flow,
    down: Flow,
    end: Option<End>,
    /// Runs once something has ended.
    linger: Option<Pin<Box<Sleep>>>,
    /// Runs once bytes had to wait.
    stuck: Option<(Pin<Box<Sleep>>, Waiting)>,
    patience: Patience,
}

/// How much each side had taken when bytes waited for it; `None` where none did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waiting {
    client: Option<u64>,
    agent: Option<u64>,
}

impl Waiting {
    /// One of the sides still waits where it waited.
    fn is_unmoved(self, now: Self) -> bool {
        now.client.is_some() && now.client == self.client || now.agent.is_some() && now.agent == self.agent
    }
}

fn waiting<S>(leg: &Leg<S>) -> Option<u64> {
    leg.has_unsent().then(|| leg.taken())
}

/// One direction.
#[derive(Debug)]
struct Flow {
    early: Bytes,
    moved: u64,
}

impl<C, A> Relay<C, A>
where
    C: AsyncRead + AsyncWrite + Unpin,
    A: AsyncRead + AsyncWrite + Unpin,
{
    pub(super) fn new(
        client: Leg<C>,
        client_early: Bytes,
        agent: Leg<A>,
        agent_early: Bytes,
        patience: Patience,
    ) -> Self {
        Self {
            client,
            agent,
            up: Flow::of(client_early),
            down: Flow::of(agent_early),
            end: None,
            linger: None,
            stuck: None,
            patience,
        }
    }

    pub(super) const fn moved(&self) -> Moved {
        Moved { to_agent: self.up.moved, to_client: self.down.moved }
    }

    /// Moves what can be moved now.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Turn> {
        for _ in 0..ROUNDS {
            let up = self.up.step(&mut self.client, &mut self.agent, cx, scratch);
            let down = self.down.step(&mut self.agent, &mut self.client, cx, scratch);
            self.note_ends();
            if let Some(end) = self.end
                && self.client.has_ended()
                && self.agent.has_ended()
                && self.client.is_shut()
                && self.agent.is_shut()
            {
                return Poll::Ready(Turn::Over(end));
            }
            match (up, down) {
                (Step::Nothing, Step::Nothing) => {
                    self.client.rest();
                    self.agent.rest();
                    return self.poll_timers(cx).map(Turn::Over);
                }
                (Step::Full, _) | (_, Step::Full) => break,
                (Step::Some | Step::Nothing, Step::Some | Step::Nothing) => {}
            }
        }
        Poll::Ready(match self.poll_timers(cx) {
            Poll::Ready(end) => Turn::Over(end),
            Poll::Pending => Turn::More,
        })
    }

    /// What ended first, and that each end reaches the other side.
    fn note_ends(&mut self) {
        if self.end.is_none() {
            self.end = if self.client.is_lost() {
                Some(End::ClientLost)
            } else if self.agent.is_lost() {
                Some(End::AgentLost)
            } else if self.client.has_ended() {
                Some(End::ClientClosed)
            } else if self.agent.has_ended() {
                Some(End::AgentClosed)
            } else {
                None
            };
        }
    }

    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if let Some(end) = self.end {
            let linger = self.linger.get_or_insert_with(|| Box::pin(sleep(self.patience.linger)));
            return linger.as_mut().poll(cx).map(|()| end);
        }
        let now = Waiting { client: waiting(&self.client), agent: waiting(&self.agent) };
        let anything = now.client.or(now.agent).is_some();
        if self.stuck.is_none() && anything {
            self.stuck = Some((Box::pin(sleep(self.patience.stuck)), now));
        }
        // Not undone when the bytes go: in a busy session they come and go at each turn.
        while let Some((timer, before)) = &mut self.stuck
            && timer.as_mut().poll(cx).is_ready()
        {
            if !anything {
                self.stuck = None;
            } else if before.is_unmoved(now) {
                return Poll::Ready(End::Stuck);
            } else {
                *before = now;
                timer.as_mut().reset(Instant::now() + self.patience.stuck);
            }
        }
        Poll::Pending
    }

    #[cfg(test)]
    pub(super) fn unsent_bytes(&mut self) -> (usize, usize) {
        (self.agent.unsent_bytes(), self.client.unsent_bytes())
    }

    #[cfg(test)]
    pub(super) const fn has_timers(&self) -> bool {
        self.linger.is_some() || self.stuck.is_some()
    }
}

/// What one look at one direction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing: it waits for a socket, or has ended.
    Nothing,
    /// Something, and the socket is probably empty now.
    Some,
    /// A turn's worth; there is probably more.
    Full,
}

impl Flow {
    /// Of what was read behind a head. Where that is nothing, it may still be a part of the buffer of the head, and would
    /// keep all of it.
    fn of(early: Bytes) -> Self {
        Self { early: if early.is_empty() { Bytes::new() } else { early }, moved: 0 }
    }

    fn step<F, T>(&mut self, from: &mut Leg<F>, to: &mut Leg<T>, cx: &mut Context<'_>, scratch: &mut Scratch) -> Step
    where
        F: AsyncRead + AsyncWrite + Unpin,
        T: AsyncRead + AsyncWrite + Unpin,
    {
        if to.poll_flush(cx).is_pending() && to.is_open() {
            return Step::Nothing;
        }
        if !self.early.is_empty() {
            let early = self.early.split_to(self.early.len().min(WIRE_BYTES));
            self.pass(to, cx, &early);
            if self.early.is_empty() {
                self.early = Bytes::new();
            }
            return Step::Some;
        }
        if from.has_ended() {
            // It may have ended before it came here.
            if to.is_open() {
                to.finish();
                return Step::Some;
            }
            return Step::Nothing;
        }
        let Poll::Ready(count) = from.poll_receive(cx, scratch) else { return Step::Nothing };
        self.pass(to, cx, scratch.plaintext());
        // Pending or not: the next step looks.
        let _sent = to.poll_flush(cx);
        if count >= WIRE_BYTES { Step::Full } else { Step::Some }
    }

    fn pass<T: AsyncRead + AsyncWrite + Unpin>(&mut self, to: &mut Leg<T>, cx: &mut Context<'_>, bytes: &[u8]) {
        if !bytes.is_empty() && to.is_open() {
            self.moved += bytes.len() as u64;
            to.send(cx, bytes);
        }
    }
}
