//! Held against tungstenite's own client side: whatever it sends arrives, however it is cut.

use proptest::prelude::*;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as Sent;

use super::*;

/// One frame as a client sends it.
fn frame(opcode: OpCode, last: bool, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let header = FrameHeader { is_final: last, opcode, mask: Some(mask), ..FrameHeader::default() };
    let mut bytes = Vec::new();
    Sent::from_payload(header, payload.to_vec().into()).format(&mut bytes).unwrap();
    bytes
}

fn binary(payload: &[u8]) -> Vec<u8> {
    frame(OpCode::Data(Data::Binary), true, payload, [1, 2, 3, 4])
}

/// All that came: data in one piece, and what else there was.
fn take(frames: &mut Frames, bytes: &[u8]) -> Result<(Vec<u8>, Vec<Event>), Reason> {
    let (mut bytes, mut at) = (bytes.to_vec(), 0);
    let (mut data, mut others) = (Vec::new(), Vec::new());
    while let Some(event) = frames.next(&mut bytes, &mut at)? {
        match event {
            Event::Data(range) => data.extend_from_slice(&bytes[range]),
            event @ (Event::Text(_) | Event::Ping(_) | Event::Pong | Event::Close(_)) => others.push(event),
        }
    }
    assert_eq!(at, bytes.len(), "something was left lying");
    Ok((data, others))
}

#[derive(Debug, Clone)]
enum Told {
    Binary(Vec<u8>),
    Fragments(Vec<Vec<u8>>),
    Text(String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn told() -> impl Strategy<Value = Told> {
    let bytes = |length| proptest::collection::vec(any::<u8>(), 0..length);
    prop_oneof![
        bytes(300).prop_map(Told::Binary),
        Just(Told::Binary(vec![7; 70_000])),
        proptest::collection::vec(bytes(40), 1..5).prop_map(Told::Fragments),
        "\\PC{0,50}".prop_map(Told::Text),
        bytes(125).prop_map(Told::Ping),
        bytes(125).prop_map(Told::Pong),
    ]
}

proptest! {
    #[test]
    fn whatever_is_sent_arrives_however_it_is_cut(
        messages in proptest::collection::vec((told(), any::<[u8; 4]>()), 0..8),
        cuts in proptest::collection::vec(1..200_usize, 1..40),
    ) {
        let (mut wire, mut data, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (message, mask) in messages {
            let whole = |opcode, payload: &[u8]| frame(opcode, true, payload, mask);
            match message {
                Told::Binary(payload) => {
                    wire.extend(whole(OpCode::Data(Data::Binary), &payload));
                    data.extend(payload);
                }
                Told::Fragments(parts) => {
                    for (index, part) in parts.iter().enumerate() {
                        let opcode = if index == 0 { Data::Binary } else { Data::Continue };
                        wire.extend(frame(OpCode::Data(opcode), index + 1 == parts.len(), part, mask));
                        // Control frames may come between the parts of a message.
                        wire.extend(whole(OpCode::Control(Control::Pong), b""));
                        others.push(Event::Pong);
                        data.extend(part);
                    }
                }
                Told::Text(text) => {
                    wire.extend(whole(OpCode::Data(Data::Text), text.as_bytes()));
                    others.push(Event::Text(text));
                }
                Told::Ping(payload) => {
                    wire.extend(whole(OpCode::Control(Control::Ping), &payload));
                    others.push(Event::Ping(payload));
                }
                Told::Pong(payload) => {
                    wire.extend(whole(OpCode::Control(Control::Pong), &payload));
                    others.push(Event::Pong);
                }
            }
        }
        let mut frames = Frames::new(Some(1000));
        let (mut got, mut events) = (Vec::new(), Vec::new());
        let mut cuts = cuts.into_iter().cycle();
        while !wire.is_empty() {
            let rest = wire.split_off(cuts.next().unwrap().min(wire.len()));
            let (bytes, more) = take(&mut frames, &wire).unwrap();
            got.extend(bytes);
            events.extend(more);
            wire = rest;
        }
        prop_assert!(got == data, "bytes were changed");
        prop_assert_eq!(events, others);
    }

    #[test]
    fn rubbish_is_refused_or_waited_for_and_never_more_is_given_than_came(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        text in proptest::option::of(0..100_usize),
    ) {
        if let Ok((data, _)) = take(&mut Frames::new(text), &bytes) {
            prop_assert!(data.len() <= bytes.len());
        }
    }

    #[test]
    fn a_mask_does_not_depend_on_where_a_payload_is_cut(
        bytes in proptest::collection::vec(any::<u8>(), 0..100), mask in any::<[u8; 4]>(), cut in 0..100_usize,
    ) {
        let mut whole = bytes.clone();
        unmask(&mut whole, mask, 0);
        let (mut first, mut second) = (bytes.clone(), bytes.clone());
        let cut = cut.min(bytes.len());
        first.truncate(cut);
        second.drain(..cut);
        unmask(&mut first, mask, 0);
        unmask(&mut second, mask, cut);
        prop_assert_eq!([first, second].concat(), whole);
    }
}

#[test]
fn breaches_have_their_reasons() {
    let control = |opcode, last, payload: &[u8]| frame(OpCode::Control(opcode), last, payload, [9; 4]);
    let data = |opcode, last, payload: &[u8]| frame(OpCode::Data(opcode), last, payload, [9; 4]);
    let long = vec![b'x'; 126];
    for (what, wire, reason) in [
        ("a long ping", control(Control::Ping, true, &long), Reason::ProtocolError),
        ("a ping in parts", control(Control::Ping, false, b""), Reason::ProtocolError),
        ("a reserved control frame", control(Control::Reserved(0xb), true, b""), Reason::ProtocolError),
        ("a close code of nobody", control(Control::Close, true, &1005_u16.to_be_bytes()), Reason::ProtocolError),
        ("a close text that is none", control(Control::Close, true, &[3, 0xe8, 0xff]), Reason::ProtocolError),
        (
            "a message within a message",
            [data(Data::Binary, false, b"a"), data(Data::Binary, true, b"b")].concat(),
            Reason::ProtocolError,
        ),
        ("text where none may be", data(Data::Text, true, b"hi"), Reason::TextFrame),
        ("a length beyond all", vec![0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Reason::MessageTooBig),
    ] {
        assert_eq!(take(&mut Frames::new(None), &wire), Err(reason), "{what}");
    }
    let mut frames = Frames::new(Some(4));
    let in_parts = [data(Data::Text, false, b"abc"), data(Data::Continue, true, b"de")].concat();
    assert_eq!(take(&mut frames, &in_parts), Err(Reason::MessageTooBig));
    assert_eq!(take(&mut Frames::new(Some(9)), &data(Data::Text, true, &[0xff])), Err(Reason::TextFrame));
}

#[test]
fn a_close_frame_tells_its_code_and_what_came_before_it_is_good() {
    let close = |payload: &[u8]| frame(OpCode::Control(Control::Close), true, payload, [0; 4]);
    let wire = [binary(b"bye"), close(&[3, 0xe9, b'!'])].concat();
    assert_eq!(take(&mut Frames::new(None), &wire), Ok((b"bye".to_vec(), vec![Event::Close(Some(1001))])));
    assert_eq!(take(&mut Frames::new(None), &close(b"")), Ok((vec![], vec![Event::Close(None)])));
}
