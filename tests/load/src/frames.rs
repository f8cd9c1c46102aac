//! WebSocket frames (RFC 6455 section 5.2) in blocks that are made once and sent again and again.

/// What is sent in one go, about: four TLS records.
pub const BLOCK: usize = 64 * 1024;

/// All masks are this one: it costs a receiver as much as any other.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Who sends the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// A client: they are masked.
    Client,
    /// A server.
    Server,
}

/// Whole frames of so many bytes each, together [`BLOCK`] bytes or the next less.
#[derive(Debug, Clone)]
pub struct Block {
    /// As they are sent.
    pub bytes: Vec<u8>,
    /// How many of them are payload.
    pub payload: usize,
}

impl Block {
    /// Of frames with this payload.
    pub fn of(payload: usize, from: From) -> Self {
        let one = binary(&vec![b'x'; payload], from);
        let count = (BLOCK / one.len()).max(1);
        Self { bytes: one.repeat(count), payload: payload * count }
    }

    /// Bytes without frames, for those who frame them.
    pub fn raw() -> Self {
        Self { bytes: vec![b'x'; BLOCK], payload: BLOCK }
    }
}

/// A binary message.
pub fn binary(payload: &[u8], from: From) -> Vec<u8> {
    frame(0x82, payload, from)
}

/// Asks whether the client is there.
pub fn ping() -> Vec<u8> {
    frame(0x89, b"", From::Server)
}

/// It is.
pub fn pong() -> Vec<u8> {
    frame(0x8a, b"", From::Client)
}

fn frame(first: u8, payload: &[u8], from: From) -> Vec<u8> {
    let masked = if from == From::Client { 0x80 } else { 0 };
    let mut frame = vec![first];
    let length = payload.len() as u64;
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..0x7e), _) => frame.push(masked | short),
        (_, Ok(medium)) => {
            frame.push(masked | 0x7e);
            frame.extend(medium.to_be_bytes());
        }
        (_, Err(_)) => {
            frame.push(masked | 0x7f);
            frame.extend(length.to_be_bytes());
        }
    }
    match from {
        From::Server => frame.extend(payload),
        From::Client => {
            frame.extend(MASK);
            frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_whole_frames() {
        let block = Block::of(1024, From::Client);
        assert_eq!((block.bytes.len(), block.payload), (63 * 1032, 63 * 1024));
        assert_eq!(block.bytes[..4], [0x82, 0x80 | 0x7e, 4, 0]);
        let small = Block::of(64, From::Server);
        assert_eq!((small.bytes.len() % 66, small.bytes[..2].to_vec()), (0, vec![0x82, 64]));
        assert_eq!(Block::of(70_000, From::Server).bytes[..10], [0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
    }
}
