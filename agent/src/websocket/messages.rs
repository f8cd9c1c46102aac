//! A WebSocket of whole messages, by tungstenite: for those to whom a message means something, and who are few. It holds
//! some KiB for as long as it lives; [`Socket`](super::Socket) does not.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use porthole_shared::reason::Reason;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy, sink};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

use super::{MAX_CHUNK, MAX_MESSAGE};

/// How long a goodbye may take: sending what is still under way, the close frame, the client's answer.
const GOODBYE: Duration = Duration::from_secs(3);

/// What a session's socket reads at once. It is allocated with the session, so an idle one should not cost much.
const READ_BUFFER: usize = 8 * 1024;

/// One message, with room for a ping, a close frame and as many pongs as a client may have asked for meanwhile.
const WRITE_BUFFER: usize = MAX_CHUNK + 16 * 1024;

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
