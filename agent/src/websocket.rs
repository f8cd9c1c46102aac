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
//! before the console has, so a session holds at most one message of [`MAX_MESSAGE`] bytes on the way in and one of
//! [`MAX_CHUNK`] on the way out; nothing is allocated per message while both sides keep up; each end has one [`Reason`].

mod inbound;
mod liveness;
mod relay;

use std::time::Duration;

use bytes::Bytes;
use porthole_shared::reason::Reason;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

pub use inbound::Inbound;
pub(crate) use liveness::Liveness;
pub(crate) use relay::close;
pub use relay::{Meter, Relay};

use crate::sessions;

/// The longest message that a client may send, in bytes, in one frame or in many.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// The most bytes that are sent in one message: with the four bytes of its header, four whole TLS records.
pub const MAX_CHUNK: usize = 64 * 1024 - 4;

/// What a session's socket reads at once. It is allocated with the session, so an idle one should not cost much.
const READ_BUFFER: usize = 8 * 1024;

/// One message, with room for a ping, a close frame and as many pongs as a client may have asked for meanwhile.
const WRITE_BUFFER: usize = MAX_CHUNK + 16 * 1024;

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

/// Speaks WebSocket on a connection whose handshake is over. `received` came with the handshake's last bytes.
pub async fn accept<S>(stream: S, received: Bytes) -> WebSocketStream<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        // Each message is written as it comes; waiting for more would hold back handshakes.
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    WebSocketStream::from_partially_read(stream, received.into(), Role::Server, Some(config)).await
}

/// What a failure of the client's socket says about the session's end.
pub(crate) fn end_of(error: &Error) -> Reason {
    match error {
        Error::Capacity(_) => Reason::MessageTooBig,
        // Only text has to be UTF-8.
        Error::Utf8(_) => Reason::TextFrame,
        // The stream ended, and no close frame came before.
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
        | Error::Io(_)
        | Error::ConnectionClosed
        | Error::AlreadyClosed => Reason::ClientGone,
        Error::Protocol(_) => Reason::ProtocolError,
        Error::WriteBufferFull(_) => Reason::ClientStuck,
        // None of these can come from a connection whose handshake is over and that has no TLS of tungstenite's.
        Error::Tls(_) | Error::AttackAttempt | Error::Url(_) | Error::Http(_) | Error::HttpFormat(_) => {
            Reason::Internal
        }
    }
}

#[cfg(test)]
mod tests;
