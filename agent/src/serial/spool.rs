//! The latest output of a port in a file, so that the next run of the agent knows to the byte where this one was, whatever
//! way that ended. Small writes into the page cache; the file is a ring behind a header.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The place of the ring, and the longest header.
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
    /// The offset behind the last.
    pub(super) end: u64,
    /// The guest has stopped.
    pub(super) ended: bool,
}

/// The file.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    header: Header,
}

impl Spool {
    /// Begins anew.
    pub(super) fn create(path: &Path, guest: String, start: String, first: u64) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let spool =
            Self { file: File::create(path)?, header: Header { guest, start, first, end: first, ended: false } };
        spool.write_header()?;
        Ok(spool)
    }

    /// The port said this.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let kept = bytes.get(bytes.len().saturating_sub(RING_LENGTH)..).unwrap_or_default();
        let mut offset = self.header.end + (bytes.len() - kept.len()) as u64;
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
        self.header.end += bytes.len() as u64;
        self.write_header()
    }

    /// The guest has stopped.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.header.ended = true;
        self.write_header()
    }

    fn write_header(&self) -> io::Result<()> {
        let mut text = serde_json::to_vec(&self.header)?;
        text.push(b'\n');
        self.file.write_all_at(&text, 0)
    }
}

/// What an earlier run left, with the latest output.
pub(super) fn load(path: &Path) -> Option<(Header, Vec<u8>)> {
    let file = fs::read(path).ok()?;
    let line = file.split(|byte| *byte == b'\n').next()?;
    let header: Header = serde_json::from_slice(line).ok()?;
    let length = header.end.checked_sub(header.first)?.min(RING);
    let latest = (header.end - length..header.end).map(|offset| {
        let place = usize::try_from(RING_AT + offset % RING).ok()?;
        file.get(place).copied()
    });
    Some((header.clone(), latest.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_is_there_however_much_was_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("serial").join("x-0.spool");
        assert_eq!(load(&path), None);
        let mut spool = Spool::create(&path, "g".to_owned(), "s".to_owned(), 7).unwrap();
        assert_eq!(load(&path).unwrap().1, b"");
        let mut all = Vec::new();
        for length in [1, 10, 100_000, 3, 200_000, RING_LENGTH * 2, 5] {
            let piece: Vec<u8> = (all.len() as u64..).take(length).map(|offset| (offset % 251) as u8).collect();
            spool.append(&piece).unwrap();
            all.extend(piece);
            let (header, latest) = load(&path).unwrap();
            assert_eq!((header.first, header.end), (7, 7 + all.len() as u64));
            assert!(all.ends_with(&latest) && latest.len() as u64 == RING.min(all.len() as u64));
        }
        spool.end().unwrap();
        assert!(load(&path).unwrap().0.ended);
        fs::write(&path, "{").unwrap();
        assert_eq!(load(&path), None);
    }
}
