//! Every split of a stream gives the same result, and no input passes a filter.

use proptest::prelude::*;

use super::message::{KINDS, kind_of};
use super::{Filter, Watch};

const KEY: [u8; 8] = [4, 1, 0, 0, 0, 0, 0, 0x61];
const UPDATE: [u8; 10] = [3, 1, 0, 0, 0, 0, 2, 128, 1, 224];

fn handshake(shared: u8) -> Vec<u8> {
    [b"RFB 003.008\n".as_slice(), &[1, shared]].concat()
}

fn filtered(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    let passed = Filter::new().pass(&mut bytes).ok()?;
    bytes.truncate(passed);
    Some(bytes)
}

fn filtered_in_pieces(pieces: &[&[u8]]) -> Option<Vec<u8>> {
    let mut filter = Filter::new();
    let mut all = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let passed = filter.pass(&mut piece).ok()?;
        all.extend_from_slice(piece.get(..passed)?);
    }
    Some(all)
}

/// One message, and whether it carries input.
fn message() -> impl Strategy<Value = (Vec<u8>, bool)> {
    let bytes = |range| prop::collection::vec(any::<u8>(), range);
    let fixed = |number: u8, length: usize, input: bool| {
        prop::collection::vec(any::<u8>(), length).prop_map(move |body| ([&[number], body.as_slice()].concat(), input))
    };
    let encodings = prop::collection::vec(any::<[u8; 4]>(), 0..20).prop_map(|list| {
        let count = u16::try_from(list.len()).unwrap().to_be_bytes();
        ([[2, 0].as_slice(), &count, &list.concat()].concat(), false)
    });
    let cut_text = (bytes(0..40), any::<bool>()).prop_map(|(text, extended)| {
        let length = i32::try_from(text.len()).unwrap();
        let length = if extended { -length } else { length }.to_be_bytes();
        ([[6, 9, 9, 9].as_slice(), &length, &text].concat(), true)
    });
    let fence = bytes(0..64).prop_map(|payload| {
        let length = u8::try_from(payload.len()).unwrap();
        ([[248, 0, 0, 0, 1, 2, 3, 4, length].as_slice(), &payload].concat(), false)
    });
    let size = prop::collection::vec(any::<[u8; 16]>(), 0..4).prop_map(|screens| {
        let count = u8::try_from(screens.len()).unwrap();
        ([[251, 0, 1, 2, 3, 4, count, 0].as_slice(), &screens.concat()].concat(), true)
    });
    let gii = (bytes(0..30), any::<bool>()).prop_map(|(body, big)| {
        let length = u16::try_from(body.len()).unwrap();
        let (sub_type, length) = if big { (0x81, length.to_be_bytes()) } else { (0x01, length.to_le_bytes()) };
        ([[253, sub_type].as_slice(), &length, &body].concat(), true)
    });
    let qemu_key = any::<[u8; 10]>().prop_map(|body| ([[255, 0].as_slice(), &body].concat(), true));
    let sound =
        prop_oneof![Just(vec![255, 1, 0, 0]), Just(vec![255, 1, 0, 1]), Just(vec![255, 1, 0, 2, 1, 2, 0, 0, 0, 9])]
            .prop_map(|sound| (sound, true));
    prop_oneof![
        fixed(0, 19, false),
        encodings,
        fixed(3, 9, false),
        fixed(4, 7, true),
        fixed(5, 5, true),
        cut_text,
        fixed(150, 9, false),
        fence,
        fixed(250, 3, true),
        size,
        gii,
        qemu_key,
        sound,
    ]
}

#[test]
fn a_watcher_gets_pixels_and_no_keys() {
    let stream = [handshake(0).as_slice(), &KEY, &UPDATE, &KEY].concat();
    assert_eq!(filtered(&stream).unwrap(), [handshake(1).as_slice(), &UPDATE].concat());
}

#[test]
fn what_cannot_be_followed_is_refused_by_a_filter_and_taken_for_input_by_a_watch() {
    for (stream, words) in [
        (b"RFB 003.003\n".to_vec(), "3.7 and 3.8"),
        (b"GET / HTTP/1".to_vec(), "no RFB"),
        ([b"RFB 003.008\n".as_slice(), &[19]].concat(), "security type 19"),
        ([handshake(1).as_slice(), &[7]].concat(), "message 7"),
        ([handshake(1).as_slice(), &[255, 2]].concat(), "message 255"),
        ([handshake(1).as_slice(), &[255, 1, 0, 3]].concat(), "message 255"),
    ] {
        let error = Filter::new().pass(&mut stream.clone()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        let mut watch = Watch::new();
        let _handshake_may_be_input = watch.sees_input(&stream);
        assert!(watch.sees_input(&UPDATE), "after {words} every byte counts");
    }
}

#[test]
fn a_watch_knows_keys_from_requests() {
    let mut watch = Watch::new();
    assert!(!watch.sees_input(&handshake(1)));
    assert!(!watch.sees_input(&UPDATE));
    assert!(watch.sees_input(&[UPDATE.as_slice(), &KEY].concat()));
    assert!(!watch.sees_input(&UPDATE));
    assert!(!watch.sees_input(&[]));
}

#[test]
fn the_answer_to_a_password_challenge_passes() {
    let stream = [b"RFB 003.007\n".as_slice(), &[2], &[0xaa; 16], &[0], &UPDATE, &KEY].concat();
    let passed = [b"RFB 003.007\n".as_slice(), &[2], &[0xaa; 16], &[1], &UPDATE].concat();
    assert_eq!(filtered(&stream).unwrap(), passed);
}

#[test]
fn the_table_has_each_type_once() {
    for kind in KINDS {
        assert_eq!(kind_of(kind.number).map(|found| found.name), Some(kind.name));
    }
}

proptest! {
    #[test]
    fn just_the_input_is_dropped_however_the_stream_is_split(
        messages in prop::collection::vec(message(), 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream = messages.iter().fold(handshake(1), |all, (bytes, _)| [all.as_slice(), bytes].concat());
        let kept = messages.iter().filter(|(_, input)| !input);
        let expected = kept.fold(handshake(1), |all, (bytes, _)| [all.as_slice(), bytes].concat());

        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
        prop_assert_eq!(filtered_in_pieces(&pieces), Some(expected));

        let mut watch = Watch::new();
        let seen = pieces.iter().fold(false, |seen, piece| watch.sees_input(piece) | seen);
        prop_assert_eq!(seen, messages.iter().any(|(_, input)| *input));
    }

    #[test]
    fn no_bytes_at_all_make_it_fail_otherwise(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let stream = [handshake(1).as_slice(), &bytes].concat();
        if let Some(passed) = filtered(&stream) {
            prop_assert!(passed.len() <= stream.len());
            // What passed is followed again, and nothing of it is input.
            let mut watch = Watch::new();
            prop_assert!(!watch.sees_input(&passed));
            prop_assert_eq!(filtered(&passed), Some(passed));
        }
    }
}
