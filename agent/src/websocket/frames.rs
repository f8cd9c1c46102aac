//! The frames of a client (RFC 6455 section 5), taken apart in the buffer that they were received in.
//!
//! ```text
//!  received:  [head│masked payload│head│masked payload│he…]      one pass, nothing is copied or kept but
//!             Frames::next ──► Data(range), unmasked in place     heads and control frames that are cut in two
//! ```
//!
//! What a head says is read by tungstenite; what is allowed where is decided here. A binary message is given away piece
//! by piece as it comes, so its length costs nothing; that it has a bound ([`MAX_MESSAGE`]) is a promise to consoles.
//! Text and control frames are given away whole.

use std::io::Cursor;
use std::ops::Range;

use porthole_shared::reason::Reason;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::MAX_MESSAGE;

/// A head is at most so long (RFC 6455 section 5.2).
const MAX_HEAD: usize = 14;

/// A control frame's payload is at most so long (RFC 6455 section 5.5).
const MAX_CONTROL_FRAME: usize = 125;

/// What a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The next bytes of a binary message: there, in the buffer, unmasked.
    Data(Range<usize>),
    /// A whole text message.
    Text(String),
    /// It asks for an answer with this payload.
    Ping(Vec<u8>),
    /// It answers.
    Pong,
    /// It leaves, with this code if it gave one.
    Close(Option<u16>),
}

/// How far a client's frames have been taken apart.
#[derive(Debug)]
pub(crate) struct Frames {
    /// The longest text message, in bytes; none: there is to be no text.
    max_text: Option<usize>,
    /// The beginning of a head whose rest is still to come.
    head: [u8; MAX_HEAD],
    head_length: usize,
    frame: Option<Frame>,
    /// The message that is under way, over all of its frames.
    message: Option<Message>,
    /// What came of a control frame or of a text message so far.
    control: Vec<u8>,
    text: Vec<u8>,
}

/// The frame whose payload comes.
#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: Kind,
    last: bool,
    mask: [u8; 4],
    /// How many bytes of its payload came, and how many are to come.
    passed: usize,
    left: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Binary,
    Text,
    Control(Control),
}

#[derive(Debug, Clone, Copy)]
struct Message {
    kind: Kind,
    length: usize,
}

impl Frames {
    /// Of a client that may send text messages up to this length, or none.
    pub(crate) const fn new(max_text: Option<usize>) -> Self {
        Self {
            max_text,
            head: [0; MAX_HEAD],
            head_length: 0,
            frame: None,
            message: None,
            control: Vec::new(),
            text: Vec::new(),
        }
    }

    /// Takes the next event out of `bytes`, from `at` on, and moves `at` behind it. `None`: all is taken. After an error
    /// nothing more can be made out.
    pub(crate) fn next(&mut self, bytes: &mut [u8], at: &mut usize) -> Result<Option<Event>, Reason> {
        loop {
            let frame = match &mut self.frame {
                Some(frame) => frame,
                None => match self.begin(bytes, at)? {
                    Some(frame) => self.frame.insert(frame),
                    None => return Ok(None),
                },
            };
            let rest = bytes.get_mut(*at..).unwrap_or_default();
            if rest.is_empty() && frame.left > 0 {
                return Ok(None);
            }
            let length = rest.len().min(frame.left);
            let payload = rest.get_mut(..length).unwrap_or_default();
            unmask(payload, frame.mask, frame.passed);
            frame.passed += length;
            frame.left -= length;
            let range = *at..*at + length;
            *at += length;
            let (kind, last, complete) = (frame.kind, frame.last, frame.left == 0);
            match kind {
                Kind::Binary => {}
                Kind::Text => self.text.extend_from_slice(payload),
                Kind::Control(_) => self.control.extend_from_slice(payload),
            }
            if complete {
                self.frame = None;
                if let Some(event) = self.end(kind, last)? {
                    return Ok(Some(event));
                }
            }
            if kind == Kind::Binary && !range.is_empty() {
                return Ok(Some(Event::Data(range)));
            }
        }
    }

    /// Reads a head, if all of it is there.
    fn begin(&mut self, bytes: &[u8], at: &mut usize) -> Result<Option<Frame>, Reason> {
        let rest = bytes.get(*at..).unwrap_or_default();
        // What is left of the turn before goes in front.
        let before = self.head_length;
        let taken = rest.len().min(MAX_HEAD - before);
        let joined = self.head.get_mut(before..before + taken).unwrap_or_default();
        joined.copy_from_slice(rest.get(..taken).unwrap_or_default());
        let mut head = Cursor::new(self.head.get(..before + taken).unwrap_or_default());
        let parsed = FrameHeader::parse(&mut head).map_err(|error| reason_of(&error))?;
        let Some((header, length)) = parsed else {
            self.head_length += taken;
            *at += taken;
            return Ok(None);
        };
        *at += usize::try_from(head.position()).unwrap_or_default().saturating_sub(before);
        self.head_length = 0;
        self.judge(&header, length).map(Some)
    }

    /// Whether such a frame may come now.
    fn judge(&mut self, header: &FrameHeader, length: u64) -> Result<Frame, Reason> {
        let mask = header.mask.ok_or(Reason::ProtocolError)?;
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Reason::ProtocolError);
        }
        let length = usize::try_from(length).map_err(|_| Reason::MessageTooBig)?;
        let kind = match (header.opcode, self.message) {
            (OpCode::Control(control), _) if header.is_final && length <= MAX_CONTROL_FRAME => Kind::Control(control),
            (OpCode::Data(Data::Binary), None) => Kind::Binary,
            (OpCode::Data(Data::Text), None) if self.max_text.is_none() => return Err(Reason::TextFrame),
            (OpCode::Data(Data::Text), None) => Kind::Text,
            (OpCode::Data(Data::Continue), Some(message)) => message.kind,
            (OpCode::Control(_) | OpCode::Data(_), _) => return Err(Reason::ProtocolError),
        };
        if !matches!(kind, Kind::Control(_)) {
            let most = if kind == Kind::Text { self.max_text.unwrap_or_default() } else { MAX_MESSAGE };
            let before = self.message.map_or(0, |message| message.length);
            if length > most.saturating_sub(before) {
                return Err(Reason::MessageTooBig);
            }
            self.message = Some(Message { kind, length: before + length });
        }
        Ok(Frame { kind, last: header.is_final, mask, passed: 0, left: length })
    }

    /// All of a frame is there. (Of a binary one its last piece is still to be given away.)
    fn end(&mut self, kind: Kind, last: bool) -> Result<Option<Event>, Reason> {
        Ok(match kind {
            Kind::Binary | Kind::Text if !last => None,
            Kind::Binary => {
                self.message = None;
                None
            }
            Kind::Text => {
                self.message = None;
                let text = String::from_utf8(std::mem::take(&mut self.text)).map_err(|_| Reason::TextFrame)?;
                Some(Event::Text(text))
            }
            Kind::Control(control) => {
                let payload = std::mem::take(&mut self.control);
                Some(match control {
                    Control::Ping => Event::Ping(payload),
                    Control::Pong => Event::Pong,
                    Control::Close => Event::Close(close_code(&payload)?),
                    Control::Reserved(_) => return Err(Reason::ProtocolError),
                })
            }
        })
    }
}

/// What a close frame says (RFC 6455 section 5.5.1).
fn close_code(payload: &[u8]) -> Result<Option<u16>, Reason> {
    match payload {
        [] => Ok(None),
        [high, low, text @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            let good = CloseCode::from(code).is_allowed() && std::str::from_utf8(text).is_ok();
            good.then_some(Some(code)).ok_or(Reason::ProtocolError)
        }
        [_] => Err(Reason::ProtocolError),
    }
}

fn reason_of(error: &Error) -> Reason {
    tracing::debug!(%error, "a client's frame has no good head");
    Reason::ProtocolError
}

/// RFC 6455 section 5.3, for bytes of which so many came before.
fn unmask(bytes: &mut [u8], mut mask: [u8; 4], before: usize) {
    mask.rotate_left(before % 4);
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests;
