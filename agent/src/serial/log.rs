//! What a port said while nobody was attached, from the `<log>` file that libvirt keeps of it.
//!
//! A log is the port's bytes, one guest's start after another, in `FILE`; libvirt's `virtlogd` moves a full one to
//! `FILE.0`, that to `FILE.1` and so on, and forgets the last. What is left, oldest first, is one stream without holes.
//! QEMU sends each byte to whoever is attached and then to the log. **How the two are joined:**
//!
//! - A place in the log is a file (by device and inode, which a rotation does not change) and a position in it.
//! - An *anchor* is a place of which the offset is known. It is found while the port is held: once it is quiet, what the
//!   history ends with must be what the log ends with; under a flood, the latest 4 KiB must stand exactly once in the end
//!   of the log. The latest is written to a file of the state directory, with `start`.
//! - *Origin* is the place of offset 0: where the log ended when the guest stopped last, if the agent saw that; or the
//!   beginning of a log that is no older than the port's own socket, which the guest's start has made.
//! - When the port is attached to again (the agent was restarted), or first, a little is read of it. That must stand in
//!   the log, from origin or anchor on, exactly once; or, of a port that is quiet, be what the log ends with, and the log
//!   must stay so for a while. Then what is before it is what was missed, and offsets go on under the same `start`.
//! - Where anything of that does not hold (no log, not readable, rotated away, another start of the guest, a text that
//!   repeats), nothing is guessed: the history begins anew under another `start`, with a mark that bytes were lost.
//!
//! Plain functions on files, for a thread that may wait.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How many rotated files are looked for. libvirt's default is 3.
const MOST_FILES: usize = 16;

/// More than this is not read of a log. libvirt's default is 8 MiB in all.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// How much of the end of a log is searched for an anchor.
const SEARCHED: u64 = 512 * 1024;

/// What has to stand in a log exactly once is at least so long.
const SHORTEST_UNIQUE: usize = 64;

/// A file may be older than the socket that was made with it by so much: clocks of file systems are coarse, and the order
/// is libvirt's affair.
const SAME_START: Duration = Duration::from_secs(2);

/// A place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    device: u64,
    inode: u64,
    position: u64,
}

/// What is known of a port's log, from one run of the agent to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Which start of the guest: see [`guest`].
    pub(super) guest: String,
    /// What offsets count from.
    pub(super) start: String,
    /// Where offset 0 is.
    pub(super) origin: Option<Place>,
    /// A place of which the offset is known.
    pub(super) anchor: Place,
    /// Its offset.
    pub(super) offset: u64,
    /// The guest has stopped, and this is where its log ended.
    pub(super) ended: bool,
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

/// The place behind the last bytes that a port said, which end with `latest`. While the port is quiet, that is the end of
/// the log if it ends so too; otherwise `latest` must stand in the end of its newest file exactly once.
pub(super) fn anchor(path: &Path, latest: &[u8], quiet: bool) -> io::Result<Option<Place>> {
    let pieces = pieces(path)?;
    let Some(newest) = pieces.last() else { return Ok(None) };
    let (device, inode) = (newest.device, newest.inode);
    let at = |position| Place { device, inode, position };
    let mut end = Vec::new();
    let begin = newest.length.saturating_sub(SEARCHED);
    let mut file = &newest.file;
    file.seek(SeekFrom::Start(begin))?;
    file.take(2 * SEARCHED).read_to_end(&mut end)?;
    if quiet {
        // Across a rotation the newest file has the last part of it only.
        let compared = latest.len().min(end.len());
        let matches = compared > 0 && end.ends_with(latest.get(latest.len() - compared..).unwrap_or_default());
        return Ok(matches.then(|| at(begin + end.len() as u64)));
    }
    Ok(only(&end, latest).map(|place| at(begin + (place + latest.len()) as u64)))
}

/// Where `wanted` stands, if it does exactly once and is long enough for that to mean something.
fn only(text: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.len() < SHORTEST_UNIQUE {
        return None;
    }
    let mut places = text.windows(wanted.len()).enumerate().filter(|(_, window)| *window == wanted);
    let (place, _) = places.next()?;
    places.next().is_none().then_some(place)
}

/// Joins what stands in the log from a known place on with what was read of the port since it was attached to, if that
/// stands in the log exactly once: all from the place on to the last that was read.
pub(super) fn join_by_text(log: &[u8], read: &[u8]) -> Option<Vec<u8>> {
    let probe = read.get(..read.len().min(4096))?;
    let place = only(log, probe)?;
    let before = log.get(..place)?;
    // Whatever of it the log has already must be the same.
    let mut both = log.get(place..)?.iter().zip(read);
    both.all(|(one, other)| one == other).then(|| [before, read].concat())
}

/// Where a guest's output begins in a log that its start has made.
pub(super) fn born_with(path: &Path, socket: &Path) -> Option<Place> {
    let socket = fs::metadata(socket).ok()?;
    let oldest = names(path).pop()?;
    let data = fs::metadata(oldest).ok()?;
    let (log, made) = (data.created().ok()?, socket.modified().ok()?);
    (log + SAME_START >= made).then(|| Place { device: data.dev(), inode: data.ino(), position: 0 })
}

/// Reads a record, if there is one that makes sense.
pub(super) fn load(path: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes a record, whole or not at all.
pub(super) fn store(path: &Path, record: &Record) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let new = path.with_extension("new");
    fs::write(&new, serde_json::to_vec(record)?)?;
    fs::rename(new, path)
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
        let place = anchor(&log.path, b"one ", true).unwrap().unwrap();
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
    fn an_anchor_is_only_where_the_log_says_the_same() {
        let log = Log::new();
        log.say("abcdef");
        assert!(anchor(&log.path, b"def", true).unwrap().is_some());
        assert!(anchor(&log.path, b"xyz", true).unwrap().is_none());
        // The log has more than was read.
        assert!(anchor(&log.path, b"cde", true).unwrap().is_none());
        let numbers = numbers();
        log.say(&numbers);
        let latest = &numbers.as_bytes()[2000..2200];
        let place = anchor(&log.path, latest, false).unwrap().unwrap();
        assert_eq!(since(&log.path, place).unwrap().unwrap(), numbers.as_bytes()[2200..]);
        // What repeats says nothing.
        log.say(&"flood ".repeat(1000));
        assert!(anchor(&log.path, "flood ".repeat(50).as_bytes(), false).unwrap().is_none());
        assert!(anchor(&log.path, b"999", false).unwrap().is_none(), "too short to mean anything");
    }

    #[test]
    fn log_and_port_are_joined_without_a_byte_twice() {
        let numbers = numbers();
        let all = numbers.as_bytes();
        // The log is ahead, level or behind, but has what was read first.
        for logged in [all.len(), 3000, 2000 + 4096] {
            let log = &all[..logged.min(all.len())];
            assert_eq!(join_by_text(log, &all[1000..1500]).unwrap(), all[..1500]);
            assert_eq!(join_by_text(log, &all[1000..]).is_some(), logged > 3000, "{logged}");
        }
        assert_eq!(join_by_text(&all[..900], &all[1000..1500]), None, "the log is not there yet");
        assert_eq!(join_by_text("again ".repeat(99).as_bytes(), "again ".repeat(20).as_bytes()), None);
    }

    #[test]
    fn records_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("serial").join("x-0.json");
        assert_eq!(load(&path), None);
        let place = Place { device: 1, inode: 2, position: 3 };
        let record = Record {
            guest: "b 1 2".to_owned(),
            start: "s".to_owned(),
            origin: Some(place),
            anchor: place,
            offset: 7,
            ended: false,
        };
        store(&path, &record).unwrap();
        assert_eq!(load(&path), Some(record));
        fs::write(&path, "{").unwrap();
        assert_eq!(load(&path), None);
    }
}
