//! A client's WebSocket (RFC 6455) on one side, a console's bytes on the other.
//!
//! ```text
//!  client ──binary frames──► Relay ──bytes──► console
//!         ◄──one message───        ◄──each read──
//!                              │
//!            run() ──Reason────┴──► close(): close frame, the client's answer, end of stream
//! ```
//!
//! The handshake is over when this begins: who may come here was decided by [`tunnel`](crate::tunnel). What is
//! spoken on the console is looked into at one place only, [`Inbound`], and none of it is kept longer than the other side
//! needs to take it.
//!
//! **Invariants**: the console is not read before the client has taken what was read earlier, and the client is not read
//! before the console has, so a session holds at most one receive (some 80 KiB) on the way in and one message of
//! [`MAX_CHUNK`] on the way out, and an idle one nothing; nothing is allocated per message while both sides keep up; each
//! end has one [`Reason`].

mod frames;
mod inbound;
mod liveness;
mod messages;
mod relay;
mod socket;

use std::cell::RefCell;
use std::time::Duration;

#[cfg(doc)]
use porthole_shared::reason::Reason;

pub use inbound::Inbound;
pub(crate) use liveness::Liveness;
pub use messages::accept;
pub(crate) use messages::{close, end_of};
pub use relay::{Meter, Relay};
use socket::Outgoing;
pub use socket::Socket;

use crate::sessions;

/// The longest message that a client may send, in bytes, in one frame or in many.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// The most bytes that are sent in one message: with the four bytes of its header, four whole TLS records.
pub const MAX_CHUNK: usize = 64 * 1024 - 4;

/// When a client is asked whether it is still there, and when it counts as gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pings {
    /// Between two pings; they also keep load balancers from cutting a silent connection.
    pub interval: Duration,
    /// How long after a ping a client may send nothing, and how much longer than the interval it may take nothing.
    pub timeout: Duration,
}

impl From<&sessions::Config> for Pings {
    fn from(config: &sessions::Config) -> Self {
        Self { interval: config.ping_interval.get(), timeout: config.ping_timeout.get() }
    }
}

thread_local! {
    /// What a console said, lent to whichever session has its turn: nothing stays here between turns.
    static OUTGOING: RefCell<Outgoing> = RefCell::default();
}

#[cfg(test)]
mod tests;
