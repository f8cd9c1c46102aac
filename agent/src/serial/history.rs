//! What a serial port said, by absolute byte offset. Pure: bytes in, bytes out.
//!
//! ```text
//!  0            head          gap            start of the tail       end
//!  ├────────────────┤ ░░░░░░░░░░░░░░░░░░░ ├──────────────────────────┤
//!   the first bytes    not kept any more     the last bytes
//! ```
//!
//! How a guest booted and what it said last are what people ask for, so both are kept. An offset never changes its
//! meaning: a reader that comes back goes on from its own, and is told of every byte that it does not get. Where bytes
//! were lost whose number nobody knows there is a *mark* at an offset.
//!
//! Memory is taken in chunks as they fill, out of one [`Budget`] for all ports. A port that finds it used up gives up the
//! oldest chunk of its own tail for the next one, but each port has a chunk of its own whatever the others take.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes of a full chunk.
pub(super) const CHUNK: usize = 16 * 1024;

/// How many marks are kept: a port that is lost this often has no history worth reading in between.
const MARKS: usize = 64;

/// How many chunks all histories may take together. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    free: Arc<AtomicUsize>,
}

impl Budget {
    /// So many bytes, in whole chunks.
    pub(super) fn of(bytes: usize) -> Self {
        Self { free: Arc::new(AtomicUsize::new(bytes / CHUNK)) }
    }

    fn take(&self) -> bool {
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(1)).is_ok()
    }

    fn give(&self, chunks: usize) {
        self.free.fetch_add(chunks, Ordering::Relaxed);
    }
}

/// How much of the beginning and of the end is kept, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) head: usize,
    pub(super) tail: usize,
}

/// A place in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The offset of the next byte.
    pub(super) offset: u64,
    /// The mark at this offset is behind it.
    past_mark: bool,
}

impl Cursor {
    /// Before the byte of this offset, and before what was lost there.
    pub(super) const fn at(offset: u64) -> Self {
        Self { offset, past_mark: false }
    }

    /// So many bytes on.
    pub(super) const fn advance(&mut self, bytes: usize) {
        self.offset += bytes as u64;
        self.past_mark = false;
    }
}

/// What is at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// These bytes; there may be more behind them.
    Bytes(&'a [u8]),
    /// Bytes that are not kept; what follows begins at this offset.
    Skip(u64),
    /// Here bytes were lost, nobody knows how many.
    Lost,
    /// Nothing yet.
    End,
}

/// The output of one port since its guest's start.
#[derive(Debug)]
pub(super) struct History {
    sizes: Sizes,
    budget: Budget,
    head: Vec<Vec<u8>>,
    head_length: u64,
    tail: VecDeque<Vec<u8>>,
    tail_start: u64,
    end: u64,
    marks: VecDeque<u64>,
    /// Chunks that were taken out of the budget.
    taken: usize,
}

impl History {
    /// Empty.
    pub(super) fn new(sizes: Sizes, budget: Budget) -> Self {
        Self {
            sizes,
            budget,
            head: Vec::new(),
            head_length: 0,
            tail: VecDeque::new(),
            tail_start: 0,
            end: 0,
            marks: VecDeque::new(),
            taken: 0,
        }
    }

    /// The offset of the next byte to come.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// The offset of the first byte that is kept, or of the next one.
    pub(super) const fn oldest(&self) -> u64 {
        if self.head_length > 0 { 0 } else { self.tail_start }
    }

    /// The port said this.
    pub(super) fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.room().map_or(0, |chunk| fill(chunk, bytes));
            if taken == 0 {
                self.add_chunk();
                continue;
            }
            self.end += taken as u64;
            if self.tail.is_empty() {
                self.head_length = self.end;
                self.tail_start = self.end;
            }
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// Bytes were lost here.
    pub(super) fn mark(&mut self) {
        if self.marks.back() == Some(&self.end) {
            return;
        }
        if self.marks.len() == MARKS {
            self.marks.pop_front();
        }
        self.marks.push_back(self.end);
    }

    /// Bytes were lost here, so many, because a log that is whole says so: what follows has its true offset.
    pub(super) fn skip_to(&mut self, offset: u64) {
        if offset <= self.end {
            return;
        }
        // What comes next is the tail's, whatever room the head has.
        self.budget.give(self.tail.len().min(self.taken));
        self.taken = self.taken.saturating_sub(self.tail.len());
        self.tail.clear();
        self.end = offset;
        self.tail_start = offset;
        self.push_tail();
    }

    /// What is at a place.
    pub(super) fn at(&self, cursor: Cursor) -> Piece<'_> {
        let Cursor { offset, past_mark } = cursor;
        if !past_mark && self.marks.contains(&offset) {
            return Piece::Lost;
        }
        let bytes = if offset < self.head_length {
            within(&self.head, offset)
        } else if offset < self.tail_start {
            return Piece::Skip(self.tail_start);
        } else if offset < self.end {
            within(&self.tail, offset - self.tail_start)
        } else {
            return Piece::End;
        };
        // Up to the next mark, so that it is told of at its place.
        let next = self.marks.iter().find(|mark| **mark > offset).and_then(|mark| usize::try_from(mark - offset).ok());
        Piece::Bytes(next.and_then(|length| bytes.get(..length)).unwrap_or(bytes))
    }

    /// The same place behind the mark that is there.
    pub(super) const fn past_mark(cursor: Cursor) -> Cursor {
        Cursor { past_mark: true, ..cursor }
    }

    /// Where the last so many bytes begin, as far as they are kept.
    pub(super) fn recent(&self, bytes: u64) -> u64 {
        let wanted = self.end.saturating_sub(bytes);
        // What is not kept is no part of the last bytes.
        if wanted >= self.head_length { wanted.max(self.tail_start.min(self.end)) } else { wanted }
    }

    /// Where the last so many lines begin, as far as they are kept.
    pub(super) fn recent_lines(&self, lines: usize) -> u64 {
        let mut seen = 0_usize;
        let mut chunks: Vec<(u64, &[u8])> = Vec::new();
        let mut start = 0;
        for chunk in &self.head {
            chunks.push((start, chunk));
            start += chunk.len() as u64;
        }
        if self.tail_start > self.head_length {
            // The lines before a gap are not the last ones.
            chunks.clear();
        }
        start = self.tail_start;
        for chunk in &self.tail {
            chunks.push((start, chunk));
            start += chunk.len() as u64;
        }
        for (start, chunk) in chunks.iter().rev() {
            for (place, byte) in chunk.iter().enumerate().rev() {
                let offset = start + place as u64;
                // The newline that ends the last line begins none.
                if *byte == b'\n' && offset + 1 != self.end {
                    seen += 1;
                    if seen == lines {
                        return offset + 1;
                    }
                }
            }
        }
        chunks.first().map_or(self.end, |(start, _)| *start)
    }

    /// The last bytes, as many as there are of so many without a gap.
    pub(super) fn last(&self, bytes: u64) -> Vec<u8> {
        let mut cursor = Cursor::at(self.recent(bytes));
        let mut last = Vec::new();
        loop {
            match self.at(cursor) {
                Piece::Bytes(bytes) => {
                    last.extend_from_slice(bytes);
                    cursor.advance(bytes.len());
                }
                Piece::Skip(to) => {
                    last.clear();
                    cursor = Cursor::at(to);
                }
                Piece::Lost => {
                    last.clear();
                    cursor = Self::past_mark(cursor);
                }
                Piece::End => return last,
            }
        }
    }

    /// The chunk that has room, if one has.
    fn room(&mut self) -> Option<&mut Vec<u8>> {
        let last = if self.tail.is_empty() { self.head.last_mut() } else { self.tail.back_mut() };
        last.filter(|chunk| chunk.len() < CHUNK)
    }

    fn add_chunk(&mut self) {
        if self.tail.is_empty() && (self.head.len() + 1) * CHUNK <= self.sizes.head {
            let first = self.head.is_empty();
            if self.budget.take() {
                self.taken += 1;
                self.head.push(Vec::new());
                return;
            }
            if first {
                self.head.push(Vec::new());
                return;
            }
        }
        self.push_tail();
    }

    fn push_tail(&mut self) {
        let full = (self.tail.len() + 1) * CHUNK > self.sizes.tail.max(CHUNK);
        if !full && self.budget.take() {
            self.taken += 1;
            self.tail.push_back(Vec::new());
            return;
        }
        // The oldest chunk becomes the newest; the first chunk of all is the port's own.
        let mut chunk = self.tail.pop_front().unwrap_or_default();
        self.tail_start += chunk.len() as u64;
        if self.tail.is_empty() {
            self.tail_start = self.end;
        }
        chunk.clear();
        self.tail.push_back(chunk);
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.budget.give(self.taken);
    }
}

/// How many of the bytes found room.
fn fill(chunk: &mut Vec<u8>, bytes: &[u8]) -> usize {
    let taken = bytes.len().min(CHUNK - chunk.len());
    let needed = chunk.len() + taken;
    if chunk.capacity() < needed {
        // As it fills, and never beyond a chunk.
        chunk.reserve_exact(needed.next_power_of_two().min(CHUNK) - chunk.len());
    }
    chunk.extend_from_slice(bytes.get(..taken).unwrap_or_default());
    taken
}

/// All chunks but the last are full.
fn within<'a>(chunks: impl IntoIterator<Item = &'a Vec<u8>>, offset: u64) -> &'a [u8] {
    let Ok(offset) = usize::try_from(offset) else { return &[] };
    chunks.into_iter().nth(offset / CHUNK).and_then(|chunk| chunk.get(offset % CHUNK..)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
