//! The messages that a viewer may send: how long each is, and whether it carries a person's input.
//!
//! Sources: RFC 6143 section 7.5; the community's `rfbproto.rst` for the extensions; QEMU's `ui/vnc.c` for its own.

/// How the length of a message follows from its first bytes. Lengths are in bytes, without the type's own one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Always this much.
    Fixed(u64),
    /// A field says how much follows it.
    Told(Field),
}

/// A field with a length in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Padding, then how many encodings of four bytes.
    Encodings,
    /// Three bytes of padding, then the text's length; a negative one is that of an extended clipboard message.
    CutText,
    /// Three bytes of padding, four of flags, then a length of one byte.
    Fence,
    /// Padding, width and height, then how many screens of sixteen bytes, and padding.
    DesktopSize,
    /// A sub-type whose highest bit says that what follows is big-endian, then a length.
    InputInterface,
    /// A sub-type: an extended key event, or sound, which has an operation.
    Qemu,
    /// QEMU's sound: enable, disable, or set the format, which is one byte, one byte and four bytes.
    Sound,
}

/// The longest field of any message, and of the handshake: the version.
pub const LONGEST_FIELD: usize = 12;

/// A kind of message.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its type byte.
    pub number: u8,
    /// What it is called in its source.
    pub name: &'static str,
    /// How long it is.
    pub length: Length,
    /// It comes from what a person did, or does something to the guest.
    pub input: bool,
}

/// Every message whose length is known.
pub const KINDS: [Kind; 12] = [
    kind(0, "SetPixelFormat", Length::Fixed(19), false),
    kind(2, "SetEncodings", Length::Told(Field::Encodings), false),
    kind(3, "FramebufferUpdateRequest", Length::Fixed(9), false),
    kind(4, "KeyEvent", Length::Fixed(7), true),
    kind(5, "PointerEvent", Length::Fixed(5), true),
    kind(6, "ClientCutText", Length::Told(Field::CutText), true),
    kind(150, "EnableContinuousUpdates", Length::Fixed(9), false),
    kind(248, "ClientFence", Length::Told(Field::Fence), false),
    kind(250, "xvp", Length::Fixed(3), true),
    kind(251, "SetDesktopSize", Length::Told(Field::DesktopSize), true),
    kind(253, "gii", Length::Told(Field::InputInterface), true),
    // Their sub-types are keys and sound. A watcher's filter decides by the first byte, so it goes without sound.
    kind(255, "QEMU", Length::Told(Field::Qemu), true),
];

const fn kind(number: u8, name: &'static str, length: Length, input: bool) -> Kind {
    Kind { number, name, length, input }
}

/// The kind with this type byte.
pub fn kind_of(number: u8) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.number == number)
}

impl Field {
    /// How long the field itself is, at most [`LONGEST_FIELD`].
    pub const fn length(self) -> usize {
        match self {
            Self::Qemu => 1,
            Self::Sound => 2,
            Self::Encodings | Self::InputInterface => 3,
            Self::CutText | Self::DesktopSize => 7,
            Self::Fence => 8,
        }
    }

    /// What follows it, if it can be known. `bytes` are the field, whole.
    pub fn rest(self, bytes: &[u8]) -> Option<Length> {
        match (self, bytes) {
            (Self::Encodings, &[_, high, low]) => Some(Length::Fixed(4 * u64::from(u16::from_be_bytes([high, low])))),
            (Self::CutText, &[_, _, _, a, b, c, d]) => {
                Some(Length::Fixed(u64::from(i32::from_be_bytes([a, b, c, d]).unsigned_abs())))
            }
            (Self::Fence, &[.., length]) => Some(Length::Fixed(u64::from(length))),
            (Self::DesktopSize, &[.., screens, _]) => Some(Length::Fixed(16 * u64::from(screens))),
            (Self::InputInterface, &[sub_type, a, b]) => {
                let little = sub_type & 0x80 == 0;
                let length = if little { u16::from_le_bytes([a, b]) } else { u16::from_be_bytes([a, b]) };
                Some(Length::Fixed(u64::from(length)))
            }
            (Self::Qemu, [0]) => Some(Length::Fixed(10)),
            (Self::Qemu, [1]) => Some(Length::Told(Self::Sound)),
            (Self::Sound, [0, 0 | 1]) => Some(Length::Fixed(0)),
            (Self::Sound, [0, 2]) => Some(Length::Fixed(6)),
            _ => None,
        }
    }
}
