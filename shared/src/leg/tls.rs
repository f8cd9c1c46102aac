//! TLS of a leg, by rustls's API without buffers: records are decrypted out of the caller's memory and encrypted into
//! it, so that a connection between two turns is its keys.
//!
//! rustls says step by step what it wants (read this, send that, wait); [`Tls::advance`] does so until it waits. Whose
//! certificates are trusted is in the configuration, and what goes over the socket is the leg's.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, ServerConfig};

/// One side's keys and state.
pub(super) enum Tls {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// What is to be sent as soon as TLS lets.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wish<'b> {
    Nothing,
    Bytes(&'b [u8]),
    /// `close_notify`.
    Goodbye,
}

/// How far the records in hand brought it.
#[derive(Debug)]
pub(super) struct Progress {
    /// So many bytes at their front are done with. What follows is the beginning of a record, or of a message that is
    /// split over records, and has to be there again, in front of more.
    pub(super) used: usize,
    /// The peer has said that nothing follows. Told once.
    pub(super) peer_closed: bool,
    /// The connection is of no use any more. The alert that tells the peer is among what is to be sent.
    pub(super) error: Option<rustls::Error>,
}

/// What came of one step.
enum Step {
    Again,
    Waits,
    PeerClosed,
}

impl Tls {
    /// Who connects.
    pub(super) fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, rustls::Error> {
        UnbufferedClientConnection::new(config, name).map(Self::Client)
    }

    /// Who accepts.
    pub(super) fn server(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        UnbufferedServerConnection::new(config).map(Self::Server)
    }

    /// What was agreed on, and with whom.
    pub(super) fn state(&self) -> &CommonState {
        match self {
            Self::Client(connection) => connection,
            Self::Server(connection) => connection,
        }
    }

    /// Works through `wire` until it needs more, or has sent what was wished for: plaintext goes behind `plain`, what is
    /// to be sent behind `records`. A wish is only granted after the handshake: no server here is set to send half-RTT
    /// data.
    pub(super) fn advance(
        &mut self,
        wire: &mut [u8],
        wish: Wish<'_>,
        plain: &mut Vec<u8>,
        records: &mut Records,
    ) -> Progress {
        let mut progress = Progress { used: 0, peer_closed: false, error: None };
        loop {
            let rest = wire.get_mut(progress.used..).unwrap_or_default();
            let (used, step) = self.step(rest, wish, plain, records);
            progress.used += used;
            match step {
                Ok(Step::Again) => {}
                Ok(Step::PeerClosed) => progress.peer_closed = true,
                Ok(Step::Waits) => return progress,
                Err(error) => {
                    progress.error = Some(error);
                    break;
                }
            }
        }
        // The alert. Nothing is read for it: a step reads no record while it has something to send.
        while self.state().wants_write() && self.step(&mut [], Wish::Nothing, plain, records).1.is_ok() {}
        progress
    }

    fn step(
        &mut self,
        wire: &mut [u8],
        wish: Wish<'_>,
        plain: &mut Vec<u8>,
        records: &mut Records,
    ) -> (usize, Result<Step, rustls::Error>) {
        match self {
            Self::Client(connection) => act(connection.process_tls_records(wire), wish, plain, records),
            Self::Server(connection) => act(connection.process_tls_records(wire), wish, plain, records),
        }
    }
}

/// Does what rustls asks for. Also told: how many bytes at the front are done with.
fn act<Side>(
    UnbufferedStatus { mut discard, state, .. }: UnbufferedStatus<'_, '_, Side>,
    wish: Wish<'_>,
    plain: &mut Vec<u8>,
    records: &mut Records,
) -> (usize, Result<Step, rustls::Error>) {
    let step = match state {
        Err(error) => Err(error),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                None => break Ok(Step::Again),
                Some(Err(error)) => break Err(error),
                Some(Ok(record)) => {
                    plain.extend_from_slice(record.payload);
                    discard += record.discard;
                }
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            records.put(|room| Ok(data.encode(room)?)).map(|()| Step::Again)
        }
        // It goes out before whatever follows.
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Step::Again)
        }
        Ok(ConnectionState::WriteTraffic(mut traffic)) => match wish {
            Wish::Nothing => Ok(()),
            Wish::Bytes(bytes) => records.put(|room| Ok(traffic.encrypt(bytes, room)?)),
            Wish::Goodbye => records.put(|room| Ok(traffic.queue_close_notify(room)?)),
        }
        .map(|()| Step::Waits),
        Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => Ok(Step::Waits),
        Ok(ConnectionState::PeerClosed) => Ok(Step::PeerClosed),
        // Early data is not enabled.
        Ok(_) => Err(rustls::Error::General("rustls is in a state that nobody asked for".to_owned())),
    };
    (discard, step)
}

/// Memory for what is to be sent, lent by the thread.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// As large as was ever needed: a turn's worth of records, or a flight of the handshake.
    room: Vec<u8>,
    filled: usize,
}

/// Why rustls did not write.
enum Unwritten {
    Room(usize),
    Exhausted,
    Twice,
}

impl From<EncodeError> for Unwritten {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::InsufficientSize(InsufficientSizeError { required_size }) => Self::Room(required_size),
            EncodeError::AlreadyEncoded => Self::Twice,
        }
    }
}

impl From<EncryptError> for Unwritten {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::InsufficientSize(InsufficientSizeError { required_size }) => Self::Room(required_size),
            EncryptError::EncryptExhausted => Self::Exhausted,
        }
    }
}

impl Records {
    /// Forgets those of before.
    pub(super) const fn clear(&mut self) {
        self.filled = 0;
    }

    /// What was put here since.
    pub(super) fn filled(&self) -> &[u8] {
        self.room.get(..self.filled).unwrap_or_default()
    }

    /// Lets `write` write, with as much room as it says it needs.
    fn put(&mut self, mut write: impl FnMut(&mut [u8]) -> Result<usize, Unwritten>) -> Result<(), rustls::Error> {
        loop {
            match write(self.room.get_mut(self.filled..).unwrap_or_default()) {
                Ok(count) => {
                    self.filled += count;
                    return Ok(());
                }
                Err(Unwritten::Room(needed)) if self.filled + needed > self.room.len() => {
                    self.room.resize(self.filled + needed, 0);
                }
                Err(Unwritten::Exhausted) => return Err(rustls::Error::EncryptError),
                Err(Unwritten::Room(_) | Unwritten::Twice) => {
                    return Err(rustls::Error::General("a record could not be written".to_owned()));
                }
            }
        }
    }
}
