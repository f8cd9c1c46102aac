//! WebSocket frames, exactly as they are on the wire (RFC 6455 section 5.2).

use anyhow::{Result, bail};

/// More than a server of ours may send in one frame.
const LARGEST_PAYLOAD: u64 = 4 << 20;

/// In the place of a length: 16 bits of length follow.
const MEDIUM: u8 = 0x7e;
/// In the place of a length: 64 bits of length follow.
const LONG: u8 = 0x7f;

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The last of its message.
    pub fin: bool,
    /// What it is.
    pub opcode: Opcode,
    /// The mask, which clients must use and servers must not.
    pub mask: Option<[u8; 4]>,
    /// The payload, unmasked.
    pub payload: Vec<u8>,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// More of a message.
    Continuation,
    /// Text.
    Text,
    /// Bytes.
    Binary,
    /// Close.
    Close,
    /// Ping.
    Ping,
    /// Pong.
    Pong,
    /// A reserved one.
    Other(u8),
}

impl Frame {
    /// A whole message of a client: final, masked.
    pub fn new(opcode: Opcode, payload: &[u8]) -> Self {
        let mask = *uuid::Uuid::new_v4().as_bytes().first_chunk().unwrap_or(&[1, 2, 3, 4]);
        Self { fin: true, opcode, mask: Some(mask), payload: payload.to_vec() }
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mask_bit = if self.mask.is_some() { 0x80 } else { 0 };
        let mut bytes = vec![(u8::from(self.fin) << 7) | self.opcode.number()];
        let length = self.payload.len();
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ 0..=125), _) => bytes.push(mask_bit | short),
            (_, Ok(medium)) => {
                bytes.push(mask_bit | MEDIUM);
                bytes.extend(medium.to_be_bytes());
            }
            _ => {
                bytes.push(mask_bit | LONG);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        match self.mask {
            None => bytes.extend(&self.payload),
            Some(mask) => {
                bytes.extend(mask);
                bytes.extend(masked(&self.payload, mask));
            }
        }
        bytes
    }

    /// The first frame and its length, once all of it is there.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>> {
        let [first, second, ..] = *bytes else { return Ok(None) };
        if first & 0x70 != 0 {
            bail!("a frame with reserved bits: {first:#x}");
        }
        let (length, mut at) = match second & 0x7f {
            MEDIUM => match bytes.get(2..4).and_then(<[u8]>::first_chunk) {
                Some(length) => (u64::from(u16::from_be_bytes(*length)), 4),
                None => return Ok(None),
            },
            LONG => match bytes.get(2..10).and_then(<[u8]>::first_chunk) {
                Some(length) => (u64::from_be_bytes(*length), 10),
                None => return Ok(None),
            },
            short => (u64::from(short), 2),
        };
        if length > LARGEST_PAYLOAD {
            bail!("a frame of {length} bytes");
        }
        let mut mask = None;
        if second & 0x80 != 0 {
            let Some(found) = bytes.get(at..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
            mask = Some(*found);
            at += 4;
        }
        let end = at + usize::try_from(length)?;
        let Some(payload) = bytes.get(at..end) else { return Ok(None) };
        let payload = mask.map_or_else(|| payload.to_vec(), |mask| masked(payload, mask).collect());
        Ok(Some((Self { fin: first & 0x80 != 0, opcode: Opcode::from_number(first & 0x0f), mask, payload }, end)))
    }
}

impl Opcode {
    const TABLE: [(Self, u8); 6] = [
        (Self::Continuation, 0),
        (Self::Text, 1),
        (Self::Binary, 2),
        (Self::Close, 8),
        (Self::Ping, 9),
        (Self::Pong, 10),
    ];

    fn number(self) -> u8 {
        match self {
            Self::Other(number) => number,
            known => {
                Self::TABLE.into_iter().find_map(|(opcode, number)| (opcode == known).then_some(number)).unwrap_or(0)
            }
        }
    }

    fn from_number(wanted: u8) -> Self {
        let known = Self::TABLE.into_iter().find_map(|(opcode, number)| (number == wanted).then_some(opcode));
        known.unwrap_or(Self::Other(wanted))
    }
}

fn masked(payload: &[u8], mask: [u8; 4]) -> impl Iterator<Item = u8> {
    payload.iter().zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip_and_wait_for_their_last_byte() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            for opcode in [Opcode::Binary, Opcode::Continuation, Opcode::Close, Opcode::Other(3)] {
                let mut frame = Frame::new(opcode, &vec![7; length]);
                for mask in [frame.mask, None] {
                    frame.mask = mask;
                    let mut bytes = frame.encode();
                    assert_eq!(Frame::decode(&bytes[..bytes.len() - 1]).unwrap(), None);
                    let whole = bytes.len();
                    bytes.push(0xff);
                    assert_eq!(Frame::decode(&bytes).unwrap(), Some((frame.clone(), whole)));
                }
            }
        }
    }

    #[test]
    fn the_example_of_the_rfc_is_read() {
        // RFC 6455 section 5.7: a masked text message "Hello".
        let bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let (frame, _) = Frame::decode(&bytes).unwrap().unwrap();
        assert_eq!((frame.opcode, frame.payload.as_slice()), (Opcode::Text, &b"Hello"[..]));
        assert_eq!(frame.encode(), bytes);
    }
}
