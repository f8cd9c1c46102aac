//! Bytes that stand twice in a port's log and were said once.
//!
//! QEMU (7.2, of a UART, byte by byte) hands a byte to whoever is attached and then logs it. Where the receiver's socket is
//! full it logs the byte all the same, and once more when the socket takes it at last, or its receiver is gone. Measured
//! with a guest that prints numbers without a pause: of 409,000 bytes 232 stood twice in the log with a reader that keeps
//! pace and 1,291 with a slow one, each where the socket was full: 278 bytes behind what was taken out of it. With nobody
//! attached none did.
//!
//! A doubled byte looks like two. But where one may be is known: a unix socket holds so many bytes of one each
//! ([`room`]), so behind the last that was taken out of it
//!
//! ```text
//!  what was received │ 0 … 277 │ 278 │ …           the socket was empty, and became full at 278
//!                    │ 0 │ …                       it was full a moment ago, and its byte waits
//! ```
//!
//! Two equal bytes at such a place are one or two: nobody can tell, so one is left out and a gap is shown. Everywhere else
//! they are two. Other sockets hold nobody knows how much; there it may be anywhere.

use std::io::{ErrorKind, Write as _};
use std::ops::RangeInclusive;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use super::spool::Mark;

/// More than this no socket is tried to hold.
const MOST_ROOM: usize = 64 * 1024;

/// Where a byte of a log may be the one before it again, counted from what was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Doubts {
    /// At these places.
    At(Vec<RangeInclusive<usize>>),
    /// Anywhere.
    Anywhere,
}

/// How many bytes a unix socket holds that come one by one; none if that cannot be found out.
pub(super) fn room() -> Option<usize> {
    static ROOM: OnceLock<Option<usize>> = OnceLock::new();
    *ROOM.get_or_init(|| {
        let (mut ours, _theirs) = UnixStream::pair().ok()?;
        ours.set_nonblocking(true).ok()?;
        for held in 0..MOST_ROOM {
            match ours.write(b"x") {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(held),
                Err(_) => return None,
            }
        }
        None
    })
}

impl Doubts {
    /// Behind what was received so, of a unix socket that has this room.
    pub(super) fn behind(mark: &Mark, room: Option<usize>) -> Self {
        let Some(room) = room else { return Self::Anywhere };
        let pieces = mark.pieces.map(|piece| usize::try_from(piece).unwrap_or(usize::MAX));
        // It may have been full a moment ago: then the byte that waits is the last of what was received, or the next.
        let was_full = pieces.iter().fold(0_usize, |sum, piece| sum.saturating_add(*piece)) >= room;
        // What came while the last piece was taken out may have filled it before all of that was out.
        let earlier = if mark.drained { 0 } else { pieces[0].min(room) };
        // Each that is there twice moves those behind it.
        let full = room - earlier + 1..=room + 1 + usize::from(was_full) + usize::from(earlier > 0);
        Self::At(if was_full { vec![0..=1, full] } else { vec![full] })
    }

    /// Whether a place is one of them, or so far behind at most.
    fn are_near(&self, place: usize, off: usize) -> bool {
        match self {
            Self::At(places) => places.iter().any(|at| *at.start() <= place && place.saturating_sub(off) <= *at.end()),
            Self::Anywhere => true,
        }
    }

    /// What stands in a log behind what was received, in parts: between two of them a byte may be missing. None where that
    /// would be said of anything.
    pub(super) fn parts<'a>(&self, received: &[u8], log: &'a [u8]) -> Option<Vec<&'a [u8]>> {
        let (mut parts, mut begun, mut before) = (Vec::new(), 0, received.last());
        // One of a run that was received may be there twice: its log then goes on with the same, and all else is so far off.
        let run = log.iter().take_while(|byte| received.last() == Some(byte)).count();
        for (place, byte) in log.iter().enumerate() {
            if before == Some(byte) && (place < run || self.are_near(place, run)) {
                if *self == Self::Anywhere {
                    return None;
                }
                parts.push(log.get(begun..place)?);
                begun = place + 1;
            }
            before = Some(byte);
        }
        parts.push(log.get(begun..)?);
        Some(parts)
    }
}

/// Where a log goes on behind a text, if that stands in it once, each byte once or twice. Behind it a byte that is its last
/// one again is not counted to it.
pub(super) fn behind(log: &[u8], text: &[u8]) -> Option<usize> {
    let (first, rest) = text.split_first()?;
    let mut found = None;
    let mut before = None;
    for (place, byte) in log.iter().enumerate() {
        // Of a run the text begins with its end, or what is before would be tried too.
        let begins = byte == first && !(before == Some(byte) && rest.first() != Some(first));
        before = Some(byte);
        if !begins {
            continue;
        }
        if let Some(end) = matches(log.get(place + 1..)?, *first, rest) {
            match found {
                // The same end from another beginning of the same run.
                Some(known) if known == place + 1 + end => {}
                Some(_) => return None,
                None => found = Some(place + 1 + end),
            }
        }
    }
    found
}

/// How much of the log the text takes, whose byte before is `last`.
fn matches(log: &[u8], mut last: u8, text: &[u8]) -> Option<usize> {
    let (mut wanted, mut taken) = (text.iter(), 0);
    let mut next = wanted.next();
    let mut log = log.iter();
    while let Some(byte) = next {
        let found = *log.next()?;
        taken += 1;
        if found == *byte {
            last = found;
            next = wanted.next();
        } else if found != last {
            return None;
        }
    }
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOM: usize = 278;

    fn mark(pieces: [u32; 3], drained: bool) -> Mark {
        Mark { pieces, drained, ..Mark::default() }
    }

    fn numbers(from: u32, to: u32) -> Vec<u8> {
        (from..to).flat_map(|number| format!("{number}\r\n").into_bytes()).collect()
    }

    #[test]
    fn a_socket_holds_so_many() {
        let room = room().unwrap();
        assert!((200..2000).contains(&room), "{room}");
    }

    #[test]
    fn who_kept_pace_doubts_one_place() {
        assert_eq!(Doubts::behind(&mark([1, 1, 1], true), Some(ROOM)), Doubts::At(vec![279..=279]));
        assert_eq!(Doubts::behind(&mark([3, 1, 1], false), Some(ROOM)), Doubts::At(vec![276..=280]));
        assert_eq!(Doubts::behind(&mark([278, 0, 0], true), Some(ROOM)), Doubts::At(vec![0..=1, 279..=280]));
        assert_eq!(Doubts::behind(&mark([1, 1, 1], true), None), Doubts::Anywhere);
    }

    #[test]
    fn equal_bytes_are_doubted_where_they_may_be_one_and_nowhere_else() {
        let doubts = Doubts::At(vec![0..=1, 5..=5]);
        assert_eq!(doubts.parts(b"a", b"bcdefg").unwrap(), [b"bcdefg"]);
        assert_eq!(doubts.parts(b"a", b"abcddef").unwrap(), [b"".as_slice(), b"bcddef"]);
        assert_eq!(doubts.parts(b"a", b"bbcdeef").unwrap(), [b"b".as_slice(), b"cde", b"f"]);
        assert_eq!(doubts.parts(b"a", b"bcddef").unwrap(), [b"bcddef"]);
        assert_eq!(Doubts::Anywhere.parts(b"a", b"bcd").unwrap(), [b"bcd"]);
        assert_eq!(Doubts::Anywhere.parts(b"a", b"bccd"), None);
        assert_eq!(Doubts::At(Vec::new()).parts(b"x", b"aabb").unwrap(), [b"aabb"]);
    }

    #[test]
    fn a_text_is_found_whatever_is_doubled_in_it() {
        let all = numbers(0, 1000);
        for doubled in [0, 10, 100, 2000, 2998, 2999] {
            let log = [&all[..=doubled], &all[doubled..]].concat();
            for begin in [0, 1000, 2900] {
                let end = behind(&log, &all[begin..3000]).unwrap();
                // The last byte, doubled, is left to whoever doubts it.
                assert_eq!(end, if doubled < 2999 { 3001 } else { 3000 }, "{doubled} {begin}");
            }
        }
        assert_eq!(behind("flood ".repeat(900).as_bytes(), "flood ".repeat(100).as_bytes()), None);
        assert_eq!(behind(&all, b"1001"), None);
        assert_eq!(behind(b"aaab", b"aab"), Some(4));
        assert_eq!(behind(b"aaaab", b"aab"), Some(5));
        assert_eq!(behind(b"xaxx", b"ax"), Some(3));
    }

    /// Without a gap it is what was said; at each gap at most one byte is missing.
    fn is_told_by(said: &[u8], parts: &[&[u8]]) -> bool {
        let Some((first, others)) = parts.split_first() else { return said.is_empty() };
        let Some(rest) = said.strip_prefix(*first) else { return false };
        is_told_by(rest, others) || !others.is_empty() && rest.get(1..).is_some_and(|rest| is_told_by(rest, others))
    }

    proptest! {
        /// A guest, a socket with room for so many, QEMU's log, and an agent that is killed at any moment.
        #[test]
        fn nothing_is_doubled_or_missing_in_silence(
            said in prop::collection::vec(prop::sample::select(b"ab12\r\n".to_vec()), 1..400),
            steps in prop::collection::vec((1_usize..12, 0_usize..3), 1..60),
            killed in 0_usize..60,
        ) {
            let room = 8;
            let (mut log, mut queue, mut next, mut waits) = (Vec::new(), 0_usize, 0_usize, false);
            // QEMU: a byte is logged whether the socket takes it or not; it is tried again when there is much room.
            let say = |count: usize, queue: &mut usize, log: &mut Vec<u8>, next: &mut usize, waits: &mut bool| {
                for _ in 0..count {
                    let Some(byte) = said.get(*next) else { return };
                    if *waits && *queue > room / 4 {
                        return;
                    }
                    log.push(*byte);
                    *waits = *queue >= room;
                    if !*waits {
                        *queue += 1;
                        *next += 1;
                    }
                }
            };
            let (mut received, mut mark) = (0_usize, Mark::default());
            for (step, (count, kind)) in steps.iter().enumerate() {
                say(*count, &mut queue, &mut log, &mut next, &mut waits);
                if step >= killed {
                    continue;
                }
                // The agent: looks, writes down, takes out; the guest may go on in between.
                let piece = queue;
                if piece == 0 {
                    mark.drained = true;
                    continue;
                }
                received += piece;
                let [last, before, _] = mark.pieces;
                mark = Mark { pieces: [u32::try_from(piece).unwrap(), last, before], drained: false, ..mark };
                if *kind == 2 {
                    say(*count, &mut queue, &mut log, &mut next, &mut waits);
                }
                for _ in 0..piece {
                    queue -= 1;
                    if *kind == 1 {
                        say(1, &mut queue, &mut log, &mut next, &mut waits);
                    }
                }
                if queue == 0 {
                    mark.drained = true;
                }
            }
            // It is gone: what waits is logged again, and all the rest once.
            log.extend(&said[next..]);
            let Some(place) = behind(&log, &said[..received]) else { return Ok(()) };
            let parts = Doubts::behind(&mark, Some(room)).parts(&said[..received], &log[place..]).unwrap();
            prop_assert!(
                is_told_by(&said[received..], &parts),
                "{:?} of {:?}", parts, String::from_utf8_lossy(&said[received..])
            );
        }
    }
}
