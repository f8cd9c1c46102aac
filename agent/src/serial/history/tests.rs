use super::*;
use proptest::prelude::*;

const PLENTY: usize = 1024 * CHUNK;

fn history(head: usize, tail: usize, budget: &Budget) -> History {
    History::new(Sizes { head: head * CHUNK, tail: tail * CHUNK }, budget.clone())
}

/// Bytes of which each says its place.
fn said(from: u64, count: usize) -> Vec<u8> {
    (from..).take(count).map(|offset| (offset % 251) as u8).collect()
}

/// All that there is from an offset on: what was kept, and what was not.
fn read(history: &History, from: u64) -> (Vec<(u64, Vec<u8>)>, usize) {
    let (mut cursor, mut kept, mut lost) = (Cursor::at(from), Vec::<(u64, Vec<u8>)>::new(), 0);
    loop {
        match history.at(cursor) {
            Piece::Bytes(bytes) => {
                match kept.last_mut() {
                    Some((start, all)) if *start + all.len() as u64 == cursor.offset => all.extend(bytes),
                    _ => kept.push((cursor.offset, bytes.to_vec())),
                }
                cursor.advance(bytes.len());
            }
            Piece::Skip(to) => cursor = Cursor::at(to),
            Piece::Lost => {
                lost += 1;
                cursor = History::past_mark(cursor);
            }
            Piece::End => return (kept, lost),
        }
    }
}

#[test]
fn the_first_and_the_last_are_kept() {
    let budget = Budget::of(PLENTY);
    let mut history = history(2, 3, &budget);
    let all = said(0, 20 * CHUNK + 5);
    history.append(&all);
    let (kept, lost) = read(&history, 0);
    assert_eq!((kept.len(), lost), (2, 0));
    assert_eq!(kept[0], (0, all[..2 * CHUNK].to_vec()));
    let (start, tail) = &kept[1];
    assert_eq!(tail[..], all[usize::try_from(*start).unwrap()..]);
    assert!(tail.len() > 2 * CHUNK && tail.len() <= 3 * CHUNK, "{}", tail.len());
    assert_eq!((history.oldest(), history.recent(10)), (0, history.end() - 10));
    assert_eq!(history.recent(10 * CHUNK as u64), *start);
    assert_eq!(history.last(7), all[all.len() - 7..]);
}

#[test]
fn memory_is_taken_as_it_fills_and_given_back() {
    let budget = Budget::of(10 * CHUNK);
    let mut one = history(4, 4, &budget);
    one.append(b"hello");
    assert!(one.head[0].capacity() < 64, "{}", one.head[0].capacity());
    one.append(&said(0, 100 * CHUNK));
    assert_eq!(budget.free.load(Ordering::Relaxed), 2);
    assert!(one.head.iter().chain(&one.tail).all(|chunk| chunk.capacity() <= CHUNK));
    drop(one);
    assert_eq!(budget.free.load(Ordering::Relaxed), 10);
}

#[test]
fn who_finds_nothing_left_goes_on_with_its_own() {
    let budget = Budget::of(2 * CHUNK);
    let mut greedy = history(4, 4, &budget);
    greedy.append(&said(0, 50 * CHUNK));
    let mut late = history(4, 4, &budget);
    let all = said(0, 5 * CHUNK);
    late.append(&all);
    let (kept, _) = read(&late, 0);
    assert!(kept.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() >= CHUNK);
    for (start, bytes) in kept {
        assert_eq!(bytes, said(start, bytes.len()));
    }
    assert_eq!(late.end(), all.len() as u64);
}

#[test]
fn what_was_lost_is_said_at_its_place_and_once() {
    let budget = Budget::of(PLENTY);
    let mut history = history(2, 2, &budget);
    history.mark();
    history.append(b"abc");
    history.mark();
    history.mark();
    history.append(b"def");
    let mut cursor = Cursor::at(0);
    assert_eq!(history.at(cursor), Piece::Lost);
    cursor = History::past_mark(cursor);
    assert_eq!(history.at(cursor), Piece::Bytes(b"abc"));
    cursor.advance(3);
    assert_eq!(history.at(cursor), Piece::Lost);
    cursor = History::past_mark(cursor);
    assert_eq!(history.at(cursor), Piece::Bytes(b"def"));
    cursor.advance(3);
    assert_eq!(history.at(cursor), Piece::End);
    history.skip_to(100);
    assert_eq!(history.at(cursor), Piece::Skip(100));
    history.append(b"x");
    assert_eq!(read(&history, 6).0, [(100, b"x".to_vec())]);
    let mut resumed = self::history(2, 2, &budget);
    resumed.skip_to(50);
    assert_eq!((resumed.oldest(), resumed.end()), (50, 50));
}

#[test]
fn lines_are_counted_from_the_end() {
    let budget = Budget::of(PLENTY);
    let mut history = history(1, 1, &budget);
    history.append(b"one\ntwo\nthree\n");
    for (lines, expected) in [(1, "three\n"), (2, "two\nthree\n"), (3, "one\ntwo\nthree\n"), (9, "one\ntwo\nthree\n")] {
        let start = usize::try_from(history.recent_lines(lines)).unwrap();
        assert_eq!(&"one\ntwo\nthree\n"[start..], expected);
    }
    history.append(b"prompt");
    assert_eq!(history.recent_lines(1), 14);
    assert_eq!(history.recent_lines(2), 8);
}

proptest! {
    #[test]
    fn every_kept_byte_is_at_its_offset(
        pieces in prop::collection::vec((0_usize..3 * CHUNK, any::<bool>()), 0..30),
        (head, tail, budget) in (0_usize..4, 0_usize..4, 0_usize..8),
        from in 0_u64..40 * CHUNK as u64,
    ) {
        let mut history = history(head, tail, &Budget::of(budget * CHUNK));
        let mut end = 0;
        for (length, mark) in pieces {
            history.append(&said(end, length));
            end += length as u64;
            if mark {
                history.mark();
            }
        }
        prop_assert_eq!(history.end(), end);
        let (kept, _) = read(&history, from);
        for (start, bytes) in &kept {
            prop_assert_eq!(bytes, &said(*start, bytes.len()));
        }
        // Whatever the budget, the last bytes are there.
        if let Some((start, bytes)) = kept.last() {
            prop_assert_eq!(start + bytes.len() as u64, end);
        } else {
            prop_assert!(from >= end);
        }
        prop_assert!(history.recent(5) <= end);
    }
}
