//! Copies a session's bytes between client and agent, and looks at none.
//!
//! ```text
//!            receive                 send
//!  client ─► socket ─► scratch ─► TLS ─► scratch ─► TLS ─► socket ─► agent       one turn, and the same backwards
//!            64 KiB at most            not the session's
//! ```
//!
//! One task a session. It drives the sockets and the TLS state machines itself, because that gives three things that
//! stacked streams do not: socket reads of 64 KiB (a stream over rustls reads 4 KiB at a time), small records that are
//! already there joined into large ones, and no buffer that an idle session would have to own.
//!
//! - **Backpressure**: a leg is read only while the other one has nothing left to write. So at most one turn of data
//!   waits in each direction, and a slow client stops the agent, which stops the console.
//! - **Turns**: at most one full read in each direction, then the task gives way, so that a flood costs its neighbours
//!   one turn and no more.
//! - **Ends**: a side that ends is passed on as `close_notify` and FIN; the other direction may go on for ten
//!   seconds.
//!   What a client still sends to an agent that has closed is read and discarded: closing with unread bytes would reset
//!   the connection, and the reset would overtake the agent's close frame.
//!
//! What a frame is, whether a client answers pings and how long a session may be is the agent's to know.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;

mod turn;

use porthole_shared::leg::{Leg, Scratch};
pub use turn::Relay;
use turn::Turn;

/// How long a session waits for somebody.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// One direction may go on for so long after the other has ended.
    linger: Duration,
    /// A side that takes no byte for so long (up to twice as long) while bytes wait for it is given up. Without this, a
    /// client that keeps its connection but never reads would hold a session that its agent ended long ago.
    stuck: Duration,
}

const PATIENCE: Patience = Patience { linger: Duration::from_secs(10), stuck: Duration::from_mins(1) };

/// What all sessions have moved, in bytes of WebSocket.
#[derive(Debug, Default)]
pub struct Counters {
    to_agent: AtomicU64,
    to_client: AtomicU64,
}

impl Counters {
    /// From clients to agents.
    pub fn to_agent(&self) -> u64 {
        self.to_agent.load(Ordering::Relaxed)
    }

    /// Sessions on all threads share these, so who has moved nothing leaves them alone.
    fn add(&self, to_agent: u64, to_client: u64) {
        for (counter, bytes) in [(&self.to_agent, to_agent), (&self.to_client, to_client)] {
            if bytes > 0 {
                counter.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }

    /// From agents to clients.
    pub fn to_client(&self) -> u64 {
        self.to_client.load(Ordering::Relaxed)
    }
}

/// What ended a session first, as far as an edge can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client closed its side.
    ClientClosed,
    /// The agent closed its side.
    AgentClosed,
    /// The client's connection broke.
    ClientLost,
    /// The agent's connection broke.
    AgentLost,
    /// A side took nothing for a minute while bytes waited for it.
    Stuck,
    /// This process stops.
    Stopped,
}

/// What there is to say about a session that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Bytes that went to the agent.
    pub to_agent: u64,
    /// Bytes that went to the client.
    pub to_client: u64,
    /// What ended it.
    pub end: End,
}

impl<C, A> Relay<C, A>
where
    C: AsyncRead + AsyncWrite + Unpin,
    A: AsyncRead + AsyncWrite + Unpin,
{
    /// Between these two. The early bytes are what was read behind the request's and the answer's head; they go first.
    pub fn between(client: Leg<C>, client_early: Bytes, agent: Leg<A>, agent_early: Bytes) -> Self {
        Self::new(client, client_early, agent, agent_early, PATIENCE)
    }

    /// Copies until both sides have ended, or `stop` fires.
    pub async fn run(&mut self, counters: &Counters, stop: &CancellationToken) -> Summary {
        // A child of its own: asking it takes no lock that other sessions take.
        let stop = stop.child_token();
        let mut stopped = pin!(stop.cancelled());
        let mut counted = self.moved();
        loop {
            let turn = poll_fn(|cx| {
                if stopped.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Turn::Over(End::Stopped));
                }
                let turn = Scratch::lend(|scratch| self.poll_turn(cx, scratch));
                // Here, because a turn that waits has moved bytes, too.
                let moved = self.moved();
                counters.add(moved.to_agent - counted.to_agent, moved.to_client - counted.to_client);
                counted = moved;
                turn
            })
            .await;
            match turn {
                // Not a wake of our own: this one waits until the runtime has looked at all sockets and run all others.
                Turn::More => yield_now().await,
                Turn::Over(end) => return Summary { to_agent: counted.to_agent, to_client: counted.to_client, end },
            }
        }
    }
}

#[cfg(test)]
mod tests;
