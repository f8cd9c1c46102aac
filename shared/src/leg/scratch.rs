//! Working memory for one turn, lent to whichever session has it.

use std::io::{BufRead as _, Read};

use rustls::Connection;

/// The most that is read from a socket at once. Measured: from 4 to 64 KiB the cost of a GiB halves; beyond, it stays.
pub const WIRE_BYTES: usize = 64 * 1024;

/// Bytes as they came from a socket, and what TLS made of them.
#[derive(Debug)]
pub struct Scratch {
    wire: Box<[u8]>,
    plain: Vec<u8>,
    /// So many bytes of `wire` are plaintext as they are: their leg has no TLS.
    direct: usize,
}

impl Default for Scratch {
    /// With its 160 KiB.
    fn default() -> Self {
        // A turn's plaintext is what was read, and at most one record (16 KiB) of which a part was there before.
        Self { wire: vec![0; WIRE_BYTES].into_boxed_slice(), plain: Vec::with_capacity(WIRE_BYTES * 3 / 2), direct: 0 }
    }
}

impl Scratch {
    /// Forgets the turn before.
    pub(super) fn clear(&mut self) {
        self.plain.clear();
        self.direct = 0;
    }

    /// To read a socket into.
    pub(super) fn wire_mut(&mut self) -> &mut [u8] {
        &mut self.wire
    }

    /// The first `count` bytes of the wire are plaintext.
    pub(super) fn take_direct(&mut self, count: usize) {
        self.direct = count;
    }

    /// Passes the first `count` bytes of the wire through TLS. Tells whether the peer has said that it sends no more.
    pub(super) fn decrypt(&mut self, count: usize, tls: &mut Connection) -> Result<bool, rustls::Error> {
        let mut wire = self.wire.get(..count).unwrap_or_default();
        while !wire.is_empty() {
            match tls.read_tls(&mut wire) {
                Ok(_) if collect(&mut self.plain, tls)? => return Ok(true),
                Ok(_) => {}
                Err(error) => return Err(rustls::Error::General(error.to_string())),
            }
        }
        Ok(false)
    }

    /// The same for what TLS has been given before.
    pub(super) fn collect(&mut self, tls: &mut Connection) -> Result<bool, rustls::Error> {
        collect(&mut self.plain, tls)
    }

    /// What came otherwise than from a socket.
    pub fn fill(&mut self, bytes: &[u8]) {
        self.clear();
        self.plain.extend_from_slice(bytes);
    }

    /// What this turn received, to be worked on where it lies.
    pub fn plaintext_mut(&mut self) -> &mut [u8] {
        if self.direct > 0 { self.wire.get_mut(..self.direct).unwrap_or_default() } else { &mut self.plain }
    }

    /// What this turn received.
    pub fn plaintext(&self) -> &[u8] {
        if self.direct > 0 { self.wire.get(..self.direct).unwrap_or_default() } else { &self.plain }
    }
}

/// Takes what plaintext there is, also in front of an error.
fn collect(plain: &mut Vec<u8>, tls: &mut Connection) -> Result<bool, rustls::Error> {
    let processed = tls.process_new_packets();
    let mut reader = tls.reader();
    while let Ok(chunk) = reader.fill_buf()
        && !chunk.is_empty()
    {
        let taken = chunk.len();
        plain.extend_from_slice(chunk);
        reader.consume(taken);
    }
    processed.map(|state| state.peer_has_closed())
}

/// A socket that has nothing: reading TLS from it does nothing but give the record buffer's memory back.
pub(super) struct NothingThere;

impl Read for NothingThere {
    fn read(&mut self, _into: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::WouldBlock.into())
    }
}
