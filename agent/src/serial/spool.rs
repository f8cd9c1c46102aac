//! The latest output of a port in a file, so that the next run of the agent knows to the byte where this one was, whatever
//! way that ended. Small writes into the page cache; the file is a ring behind a header and a [`Mark`].
//!
//! ```text
//!  peek at what the port's socket holds ─► append: ring, then mark ─► take it out of the socket ─► taken
//! ```
//!
//! In this order a byte is in the socket or in the ring at any moment, and in both only while [`Mark::head`] is behind
//! [`Mark::end`]. No viewer sees a byte before it is in the ring.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::reading::READ;

/// The place of the mark, the longest header.
const MARK_AT: u64 = 2048;

/// The place of the ring.
const RING_AT: u64 = 4096;

/// How much is kept: more than is on its way to a viewer when the agent ends.
const RING_LENGTH: usize = 256 * 1024;
const RING: u64 = RING_LENGTH as u64;

/// What the ring holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    /// Which start of the guest.
    pub(super) guest: String,
    /// What offsets count from.
    pub(super) start: String,
    /// The offset of the first byte that was written here.
    pub(super) first: u64,
    /// The guest has stopped.
    pub(super) ended: bool,
}

/// How far a port was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    /// The offset behind the last byte in the ring.
    pub(super) end: u64,
    /// What was taken out of the socket for sure ends here.
    pub(super) head: u64,
    /// How many bytes the last pieces had, the latest first.
    pub(super) pieces: [u32; 3],
    /// The socket was seen empty behind the last piece.
    pub(super) drained: bool,
}

const MARK_LENGTH: usize = 8 + 8 + 3 * 4 + 1;

impl Mark {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = [self.end.to_le_bytes(), self.head.to_le_bytes()].concat();
        self.pieces.iter().for_each(|piece| bytes.extend(piece.to_le_bytes()));
        bytes.push(u8::from(self.drained));
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let short = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        Some(Self {
            end: long(0)?,
            head: long(8)?,
            pieces: [short(16)?, short(20)?, short(24)?],
            drained: *bytes.get(28)? == 1,
        })
    }
}

/// The file.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    header: Header,
    mark: Mark,
}

/// What an earlier run left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) header: Header,
    pub(super) mark: Mark,
    /// The bytes before [`Mark::end`].
    pub(super) latest: Vec<u8>,
}

impl Spool {
    /// Begins anew, with what was said last and the offset behind it, of which so many bytes were in the socket.
    pub(super) fn create(
        path: &Path,
        guest: String,
        start: String,
        (latest, end): (&[u8], u64),
        early: usize,
    ) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let first = end - latest.len() as u64;
        let mark = Mark { end: first, head: first, ..Mark::default() };
        let mut spool = Self { file: File::create(path)?, header: Header { guest, start, first, ended: false }, mark };
        // The mark first: without it the header means nothing.
        spool.write_mark()?;
        spool.write_header()?;
        spool.append(latest)?;
        spool.mark.pieces = [u32::try_from(early).unwrap_or(u32::MAX), 0, 0];
        spool.taken()?;
        Ok(spool)
    }

    /// The same file, as an earlier run left it.
    pub(super) fn resume(path: &Path, left: &Left) -> io::Result<Self> {
        let file = File::options().write(true).open(path)?;
        Ok(Self { file, header: left.header.clone(), mark: left.mark })
    }

    /// The port says this; it was not taken out of its socket yet.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let kept = bytes.get(bytes.len().saturating_sub(RING_LENGTH)..).unwrap_or_default();
        let mut offset = self.mark.end + (bytes.len() - kept.len()) as u64;
        let mut rest = kept;
        while !rest.is_empty() {
            let place = offset % RING;
            let room = usize::try_from(RING - place).unwrap_or(rest.len()).min(rest.len());
            let (piece, behind) = rest.split_at(room);
            self.file.write_all_at(piece, RING_AT + place)?;
            offset += room as u64;
            rest = behind;
        }
        // Last, so that it never tells of what is not there.
        let [last, before, _] = self.mark.pieces;
        self.mark.pieces = [u32::try_from(bytes.len()).unwrap_or(u32::MAX), last, before];
        self.mark.end += bytes.len() as u64;
        self.mark.drained = false;
        self.write_mark()
    }

    /// What was said last was taken out of the socket.
    pub(super) fn taken(&mut self) -> io::Result<()> {
        self.mark.head = self.mark.end;
        self.write_mark()
    }

    /// There was nothing more in the socket.
    pub(super) fn drained(&mut self) -> io::Result<()> {
        if self.mark.drained {
            return Ok(());
        }
        self.mark.drained = true;
        self.write_mark()
    }

    /// The guest has stopped.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.header.ended = true;
        self.write_header()
    }

    fn write_mark(&self) -> io::Result<()> {
        self.file.write_all_at(&self.mark.to_bytes(), MARK_AT)
    }

    fn write_header(&self) -> io::Result<()> {
        let mut text = serde_json::to_vec(&self.header)?;
        text.push(b'\n');
        if text.len() as u64 > MARK_AT {
            return Err(io::Error::other("the header is too long"));
        }
        self.file.write_all_at(&text, 0)
    }
}

/// What an earlier run left.
pub(super) fn load(path: &Path) -> Option<Left> {
    let file = fs::read(path).ok()?;
    let line = file.split(|byte| *byte == b'\n').next()?;
    let header: Header = serde_json::from_slice(line).ok()?;
    let mark_at = usize::try_from(MARK_AT).ok()?;
    let mark = Mark::parse(file.get(mark_at..mark_at + MARK_LENGTH)?)?;
    // The oldest bytes may have been overwritten by some that the mark does not tell of yet.
    let length = mark.end.checked_sub(header.first)?.min(RING - READ as u64);
    let latest = (mark.end - length..mark.end).map(|offset| {
        let place = usize::try_from(RING_AT + offset % RING).ok()?;
        file.get(place).copied()
    });
    Some(Left { latest: latest.collect::<Option<_>>()?, header, mark })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_is_there_however_much_was_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("serial").join("x-0.spool");
        assert_eq!(load(&path), None);
        let mut spool = Spool::create(&path, "g".to_owned(), "s".to_owned(), (b"", 7), 0).unwrap();
        assert_eq!(load(&path).unwrap().latest, b"");
        let mut all = Vec::new();
        for length in [1, 10, 100_000, 3, 200_000, RING_LENGTH * 2, 5] {
            let piece: Vec<u8> = (all.len() as u64..).take(length).map(|offset| (offset % 251) as u8).collect();
            spool.append(&piece).unwrap();
            all.extend(piece);
            let Left { header, mark, latest } = load(&path).unwrap();
            assert_eq!((header.first, mark.end), (7, 7 + all.len() as u64));
            assert!(all.ends_with(&latest) && latest.len() >= all.len().min(RING_LENGTH - READ));
        }
        spool.end().unwrap();
        assert!(load(&path).unwrap().header.ended);
        fs::write(&path, "{").unwrap();
        assert_eq!(load(&path), None);
    }

    #[test]
    fn what_was_written_and_not_taken_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x-0.spool");
        let mut spool = Spool::create(&path, "g".to_owned(), "s".to_owned(), (b"before", 10), 0).unwrap();
        let begun = Mark { end: 10, head: 10, pieces: [0; 3], drained: false };
        assert_eq!(load(&path).unwrap().mark, begun);
        spool.append(b"abc").unwrap();
        assert_eq!(load(&path).unwrap().mark, Mark { end: 13, head: 10, pieces: [3, 0, 0], drained: false });
        spool.taken().unwrap();
        spool.drained().unwrap();
        let left = load(&path).unwrap();
        assert_eq!(left.mark, Mark { end: 13, head: 13, pieces: [3, 0, 0], drained: true });
        let mut again = Spool::resume(&path, &left).unwrap();
        again.append(b"d").unwrap();
        let left = load(&path).unwrap();
        assert_eq!(left.mark, Mark { end: 14, head: 13, pieces: [1, 3, 0], drained: false });
        assert_eq!((left.header.first, left.latest.as_slice()), (4, b"beforeabcd".as_slice()));
    }
}
