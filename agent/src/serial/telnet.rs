//! The part of telnet (RFC 854) that a serial port behind it needs. Pure: bytes in, bytes out, at any split.
//!
//! QEMU's telnet greets with `WILL ECHO, WILL SUPPRESS-GO-AHEAD, WILL BINARY, DO BINARY`, then carries bytes; of what it
//! is sent it understands BREAK. Others do the same or more, so options are answered as RFC 1143 has it in its
//! simplest form: those three are agreed to once, everything else is refused once, and nothing is asked for, so no two
//! ends can go on answering each other.

/// Interpret as command.
const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
/// Subnegotiation begins.
const SB: u8 = 250;
const BREAK: u8 = 243;
/// Subnegotiation ends.
const SE: u8 = 240;

/// The bytes that ask for a break on the line.
pub(super) const SEND_BREAK: [u8; 2] = [IAC, BREAK];

const BINARY: u8 = 0;
const ECHO: u8 = 1;
const SUPPRESS_GO_AHEAD: u8 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Data,
    Command,
    /// After a verb: its option follows.
    Option(u8),
    Subnegotiation,
    SubnegotiationCommand,
}

/// Takes the commands out of what a telnet server says. It holds no bytes, only where in a command it is.
#[derive(Debug)]
pub(super) struct Decoder {
    state: State,
    /// What was answered: for each option, whether its WILL and its DO were.
    answered: [(bool, bool); 256],
}

impl Default for Decoder {
    fn default() -> Self {
        Self { state: State::Data, answered: [(false, false); 256] }
    }
}

impl Decoder {
    /// Adds what is data to `data`, and what must be answered to `answer`.
    pub(super) fn decode(&mut self, bytes: &[u8], data: &mut Vec<u8>, answer: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.state == State::Data {
                let run = rest.iter().position(|byte| *byte == IAC).unwrap_or(rest.len());
                data.extend_from_slice(rest.get(..run).unwrap_or_default());
                rest = rest.get(run..).unwrap_or_default();
            }
            let Some((&byte, behind)) = rest.split_first() else { return };
            rest = behind;
            self.state = self.step(byte, data, answer);
        }
    }

    fn step(&mut self, byte: u8, data: &mut Vec<u8>, answer: &mut Vec<u8>) -> State {
        match (self.state, byte) {
            (State::Data, IAC) => State::Command,
            (State::Data, byte) | (State::Command, byte @ IAC) => {
                data.push(byte);
                State::Data
            }
            (State::Command, WILL | WONT | DO | DONT) => State::Option(byte),
            (State::Command, SB) => State::Subnegotiation,
            // QEMU's guest has said just that.
            (State::Command, byte) if byte < SE => {
                data.extend_from_slice(&[IAC, byte]);
                State::Data
            }
            // Others (NOP, GA, …) have no more bytes and say nothing to us.
            (State::Command, _) | (State::SubnegotiationCommand, SE) => State::Data,
            (State::Option(verb), option) => {
                self.answer(verb, option, answer);
                State::Data
            }
            (State::Subnegotiation, IAC) => State::SubnegotiationCommand,
            (State::Subnegotiation | State::SubnegotiationCommand, _) => State::Subnegotiation,
        }
    }

    fn answer(&mut self, verb: u8, option: u8, answer: &mut Vec<u8>) {
        let Some((will, will_do)) = self.answered.get_mut(usize::from(option)) else { return };
        let agreed = |known: bool, yes, no| if known { yes } else { no };
        let reply = match verb {
            WILL if !std::mem::replace(will, true) => {
                agreed(matches!(option, BINARY | ECHO | SUPPRESS_GO_AHEAD), DO, DONT)
            }
            DO if !std::mem::replace(will_do, true) => agreed(matches!(option, BINARY | SUPPRESS_GO_AHEAD), WILL, WONT),
            // What is refused needs no answer, and what was answered stays so.
            _ => return,
        };
        answer.extend_from_slice(&[IAC, reply, option]);
    }
}

/// Adds data as a telnet server must be sent it.
pub(super) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for (index, run) in bytes.split(|byte| *byte == IAC).enumerate() {
        if index > 0 {
            out.extend_from_slice(&[IAC, IAC]);
        }
        out.extend_from_slice(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GREETING: [u8; 12] = [255, 251, 1, 255, 251, 3, 255, 251, 0, 255, 253, 0];

    fn decoded(pieces: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
        let (mut decoder, mut data, mut answer) = (Decoder::default(), Vec::new(), Vec::new());
        for piece in pieces {
            decoder.decode(piece, &mut data, &mut answer);
        }
        (data, answer)
    }

    #[test]
    fn qemus_greeting_is_answered_once() {
        let agreed = vec![255, 253, 1, 255, 253, 3, 255, 253, 0, 255, 251, 0];
        assert_eq!(decoded(&[&GREETING, b"login: "]), (b"login: ".to_vec(), agreed.clone()));
        assert_eq!(decoded(&[&GREETING, &GREETING]).1, agreed);
    }

    #[test]
    fn other_options_are_refused_and_subnegotiations_passed_over() {
        let text = [b"a".as_slice(), &[255, 253, 31, 255, 250, 24, 1, 255, 255, 7, 255, 240], b"b", &[255, 241], b"c"];
        assert_eq!(decoded(&text), (b"abc".to_vec(), vec![255, 252, 31]));
        assert_eq!(decoded(&[&[255, b't', 255, 13]]).0, [255, b't', 255, 13], "not doubled by the emulator");
        assert_eq!(decoded(&[&[255, 254, 1, 255, 252, 3, 255, 255]]), (vec![255], Vec::new()));
    }

    proptest! {
        #[test]
        fn every_split_gives_the_same(bytes in prop::collection::vec(
            prop_oneof![prop::sample::select(vec![255_u8, 254, 253, 252, 251, 250, 243, 240, 0, 1, 3]), any::<u8>()], 0..60,
        )) {
            let whole = decoded(&[&bytes]);
            for split in 0..=bytes.len() {
                let (before, behind) = bytes.split_at(split);
                prop_assert_eq!(&decoded(&[before, behind]), &whole);
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&decoded(&single), &whole);
        }

        #[test]
        fn what_is_encoded_comes_back(bytes in prop::collection::vec(prop_oneof![Just(255_u8), any::<u8>()], 0..60)) {
            let mut out = Vec::new();
            encode(&bytes, &mut out);
            prop_assert_eq!(decoded(&[&out]), (bytes, Vec::new()));
        }
    }
}
