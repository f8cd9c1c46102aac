//! What a port said while nobody was attached, from the `<log>` file that libvirt keeps of it.
//!
//! A log is the port's bytes, one guest's start after another, in `FILE`; libvirt's `virtlogd` moves a full one to
//! `FILE.0`, that to `FILE.1` and so on, and forgets the last. What is left, oldest first, is one stream.
//!
//! It is no exact one: under a flood QEMU logs some bytes twice ([`doubling`]), so offsets cannot be
//! counted in it. **How port and log are joined:**
//!
//! - What the agent has received, it knows to the byte: the [`spool`](super::spool) has its end, and its offset.
//! - Where that end stands in the log is found by its text: the last 4 KiB of it (or all, if it is less; at least 64 bytes)
//!   must stand in the log once, each byte once or twice. A guest that was started under our eyes has its beginning where
//!   the last start's output ended, or at the beginning of a log that was made with the port's own socket.
//! - What stands behind it was said while the agent ended, or was away. Bytes that may be one byte logged twice are shown as
//!   one, with a gap: on a unix socket two or three places where that can be; on other sockets it can be anywhere, so there a
//!   log with two equal bytes in a row is not joined.
//! - Of the port that was attached to again a little is read. Its first 200 bytes (the socket was empty, so they are not
//!   doubled) must stand in the rest of the log exactly once; or, of a port that is quiet, all of them must be what the log
//!   ends with, and it must stay so for a while: a log that its writer brings up to date later than that is taken for
//!   complete. What is between the two places is what was missed.
//! - Where anything of that does not hold (no log, not readable, rotated away, another start of the guest, a text that
//!   repeats), nothing is guessed: the history begins anew under another `start`, with a mark that bytes were lost.
//!
//! Plain functions on files, for a thread that may wait.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::doubling;

/// How many rotated files are looked for. libvirt's default is 3.
const MOST_FILES: usize = 16;

/// More than this is not read of a log. libvirt's default is 8 MiB in all.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// What has to stand in a log exactly once is at least so long.
const SHORTEST_UNIQUE: usize = 64;

/// So much of what was received last is looked for in a log.
const TOLD_BY: usize = 4096;

/// So many bytes from an empty socket, each in a packet of its own, are never sent twice.
const UNDOUBLED: usize = 200;

/// A file and the socket that was made with it may be so far apart in age: clocks of file systems are coarse, and the
/// order is libvirt's affair.
const SAME_START: Duration = Duration::from_secs(2);

/// A place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    device: u64,
    inode: u64,
    position: u64,
}

/// What tells one start of a guest from another: the host's boot, libvirt's number of the domain, and the socket that its
/// start made.
pub(super) fn guest(boot: &str, number: Option<u32>, socket: Option<&Path>) -> String {
    let socket = socket.and_then(|path| fs::metadata(path).ok());
    let socket = socket.map_or((0, 0, 0), |data| (data.ino(), data.ctime(), data.ctime_nsec()));
    format!("{boot} {} {}.{}.{}", number.unwrap_or_default(), socket.0, socket.1, socket.2)
}

/// One file of a log.
#[derive(Debug)]
struct Piece {
    file: File,
    device: u64,
    inode: u64,
    length: u64,
}

/// The files of a log, oldest first. A rotation while they are being opened moves names, so one may be met twice or not at
/// all: then once more.
fn pieces(path: &Path) -> io::Result<Vec<Piece>> {
    for _attempt in 0..5 {
        let before = names(path);
        let mut pieces = Vec::new();
        for name in before.iter().rev() {
            let file = File::open(name)?;
            let data = file.metadata()?;
            pieces.push(Piece { file, device: data.dev(), inode: data.ino(), length: data.len() });
        }
        let now: Vec<Option<u64>> = names(path).iter().rev().map(|name| Some(fs::metadata(name).ok()?.ino())).collect();
        if now.iter().eq(pieces.iter().map(|piece| Some(piece.inode)).collect::<Vec<_>>().iter()) {
            return Ok(pieces);
        }
    }
    Err(io::Error::other("the log is rotated faster than it can be opened"))
}

/// The names that there are, newest first.
fn names(path: &Path) -> Vec<PathBuf> {
    let rotated = (0..MOST_FILES).map(|number| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    });
    let mut names: Vec<PathBuf> = rotated.take_while(|name| name.exists()).collect();
    // While it is being rotated there is none of this name.
    if path.exists() {
        names.insert(0, path.to_owned());
    }
    names
}

/// What stands in the log from a place on; `None` if that place is not in it any more.
pub(super) fn since(path: &Path, place: Place) -> io::Result<Option<Vec<u8>>> {
    let pieces = pieces(path)?;
    let Some(first) = pieces
        .iter()
        .position(|piece| (piece.device, piece.inode) == (place.device, place.inode) && piece.length >= place.position)
    else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    for (index, mut piece) in pieces.into_iter().enumerate().skip(first) {
        if index == first {
            piece.file.seek(SeekFrom::Start(place.position))?;
        }
        // What is written meanwhile is for the next time, but for the newest file.
        piece.file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        if bytes.len() as u64 >= MOST_BYTES {
            return Ok(None);
        }
    }
    Ok(Some(bytes))
}

/// The last so many bytes of the log, rotated files included.
pub(super) fn last(path: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let (mut parts, mut missing) = (Vec::new(), bytes);
    for piece in pieces(path)?.into_iter().rev() {
        let taken = missing.min(piece.length);
        let mut part = Vec::new();
        let mut file = &piece.file;
        file.seek(SeekFrom::Start(piece.length - taken))?;
        file.take(taken).read_to_end(&mut part)?;
        parts.push(part);
        missing -= taken;
        if missing == 0 {
            break;
        }
    }
    parts.reverse();
    Ok(parts.concat())
}

/// Where in a log the end of what was received stands, if its text tells.
pub(super) fn behind(log: &[u8], received: &[u8]) -> Option<usize> {
    let text = received.get(received.len().saturating_sub(TOLD_BY)..)?;
    if text.len() < SHORTEST_UNIQUE { None } else { doubling::behind(log, text) }
}

fn places<'a>(text: &'a [u8], wanted: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let windows = text.windows(wanted.len().max(1)).enumerate();
    windows.filter(move |(_, window)| *window == wanted).map(|(place, _)| place)
}

/// Where `wanted` stands, if it does exactly once and is long enough for that to mean something.
fn only(text: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.len() < SHORTEST_UNIQUE {
        return None;
    }
    let mut places = places(text, wanted);
    let place = places.next()?;
    places.next().is_none().then_some(place)
}

/// Where in what stands in a log the beginning of what was read of the port since it was attached to stands, if it does
/// exactly once.
pub(super) fn begin_of(log: &[u8], read: &[u8]) -> Option<usize> {
    only(log, read.get(..read.len().min(UNDOUBLED))?)
}

/// Where a guest's output begins in a log that its start has made.
pub(super) fn born_with(path: &Path, socket: &Path) -> Option<Place> {
    let socket = fs::metadata(socket).ok()?;
    let oldest = names(path).pop()?;
    let data = fs::metadata(oldest).ok()?;
    let (log, made) = (data.created().ok()?, socket.modified().ok()?);
    // An older one has other starts in it; of a younger one, made by a rotation, the first bytes are gone.
    let together = log + SAME_START >= made && made + SAME_START >= log;
    together.then(|| Place { device: data.dev(), inode: data.ino(), position: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Log {
        _dir: tempfile::TempDir,
        path: PathBuf,
    }

    impl Log {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            Self { path: dir.path().join("serial0.log"), _dir: dir }
        }

        fn say(&self, text: &str) {
            use std::io::Write as _;
            let mut file = File::options().create(true).append(true).open(&self.path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        /// As virtlogd does it.
        fn rotate(&self, keep: usize) {
            let name = |number: usize| PathBuf::from(format!("{}.{number}", self.path.display()));
            for number in (1..keep).rev() {
                drop(fs::rename(name(number - 1), name(number)));
            }
            fs::rename(&self.path, name(0)).unwrap();
            self.say("");
        }
    }

    fn numbers() -> String {
        let all: Vec<String> = (0..1000).map(|number| format!("{number}\r\n")).collect();
        all.concat()
    }

    #[test]
    fn a_place_stays_what_it_is_over_rotations() {
        let log = Log::new();
        log.say("one ");
        let data = fs::metadata(&log.path).unwrap();
        let place = Place { device: data.dev(), inode: data.ino(), position: 4 };
        log.say("two ");
        assert_eq!(since(&log.path, place).unwrap().unwrap(), b"two ");
        log.rotate(3);
        log.say("three ");
        log.rotate(3);
        assert_eq!(since(&log.path, place).unwrap().unwrap(), b"two three ");
        assert_eq!(last(&log.path, 9).unwrap(), b"wo three ");
        log.say("four ");
        assert_eq!(last(&log.path, 9).unwrap(), b"ree four ");
        assert_eq!(last(&log.path, 900).unwrap(), b"one two three four ");
        assert_eq!(since(&log.path, place).unwrap().unwrap(), b"two three four ");
        log.rotate(3);
        log.rotate(3);
        assert_eq!(since(&log.path, place).unwrap(), None, "rotated away");
    }

    #[test]
    fn the_end_of_what_was_received_is_found_by_its_text_or_not_at_all() {
        let numbers = numbers();
        let all = numbers.as_bytes();
        assert_eq!(behind(all, &all[..3000]), Some(3000));
        assert_eq!(behind(all, b"999\r\n"), None, "too short to mean anything");
        assert_eq!(behind("flood ".repeat(9000).as_bytes(), "flood ".repeat(1000).as_bytes()), None);
        assert_eq!(behind(all, &[b'x'; 5000]), None);
    }

    #[test]
    fn what_was_read_of_the_port_is_found_in_the_log() {
        let numbers = numbers();
        let all = numbers.as_bytes();
        for logged in [all.len(), 3000, 1200] {
            // The log is ahead, level or behind, but has what was read first.
            assert_eq!(begin_of(&all[..logged], &all[1000..3000]), Some(1000), "{logged}");
        }
        assert_eq!(begin_of(&all[..1100], &all[1000..3000]), None, "the log is not there yet");
        assert_eq!(begin_of("again ".repeat(99).as_bytes(), "again ".repeat(20).as_bytes()), None);
        assert_eq!(begin_of(all, b""), None);
    }
}
