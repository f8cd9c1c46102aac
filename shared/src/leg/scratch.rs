//! Working memory for one turn, lent to whichever connection has it.

use std::cell::RefCell;

use bytes::BytesMut;

use super::MAX_UNREAD;
use super::tls::{Progress, Records, Tls, Wish};

/// The most that is read from a socket at once. Measured: from 4 to 64 KiB the cost of a GiB halves; beyond, it stays.
pub const WIRE_BYTES: usize = 64 * 1024;

thread_local! {
    /// Connections of one thread take turns, so they can share: nothing stays here between turns.
    static THREADS: RefCell<Scratch> = RefCell::default();
}

/// Bytes as they came from a socket, and what TLS made of them.
#[derive(Debug)]
pub struct Scratch {
    wire: Box<[u8]>,
    plain: Vec<u8>,
    /// So many bytes of `wire` are plaintext as they are: their leg has no TLS.
    direct: usize,
}

impl Default for Scratch {
    /// With its 228 KiB, of which a connection that is not odd touches 160.
    fn default() -> Self {
        Self {
            wire: vec![0; MAX_UNREAD + WIRE_BYTES].into_boxed_slice(),
            // A turn's plaintext is what was read, and at most one record (16 KiB) of which a part was there before.
            plain: Vec::with_capacity(WIRE_BYTES * 3 / 2),
            direct: 0,
        }
    }
}

impl Scratch {
    /// That of this thread. Not to be asked for by who has it.
    pub fn lend<T>(turn: impl FnOnce(&mut Self) -> T) -> T {
        THREADS.with_borrow_mut(turn)
    }

    /// Forgets the turn before.
    pub(super) fn clear(&mut self) {
        self.plain.clear();
        self.direct = 0;
    }

    /// To read a socket into, behind so many bytes that came before, and so many at most.
    pub(super) fn wire_mut(&mut self, before: usize, most: usize) -> &mut [u8] {
        self.wire.get_mut(before..before + most.min(WIRE_BYTES)).unwrap_or_default()
    }

    /// The first `count` bytes of the wire are plaintext.
    pub(super) fn take_direct(&mut self, count: usize) {
        self.direct = count;
    }

    /// Passes what was unread and `count` bytes behind it through TLS. What it cannot use yet is unread again.
    pub(super) fn decrypt(
        &mut self,
        unread: &mut BytesMut,
        count: usize,
        tls: &mut Tls,
        records: &mut Records,
    ) -> Progress {
        let wire = self.wire.get_mut(..unread.len() + count).unwrap_or_default();
        if let Some(before) = wire.get_mut(..unread.len()) {
            before.copy_from_slice(unread);
        }
        let progress = tls.advance(wire, Wish::Nothing, &mut self.plain, records);
        unread.clear();
        if !progress.peer_closed {
            unread.extend_from_slice(wire.get(progress.used..).unwrap_or_default());
        }
        progress
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
