//! Follows a viewer's bytes through handshake and messages.

use super::message::{Field, Kind, LONGEST_FIELD, Length, kind_of};

/// The versions in which the viewer says which security type it takes.
const VERSIONS: [&[u8]; 2] = [b"RFB 003.007\n", b"RFB 003.008\n"];

/// RFC 6143 section 7.2.1.
const SECURITY_NONE: u8 = 1;
/// RFC 6143 section 7.2.2.
const SECURITY_VNC: u8 = 2;
/// The answer to its challenge.
const VNC_RESPONSE: u64 = 16;

/// What a viewer says cannot be made out: an RFB version, security type or message that is not followed here, or no RFB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the viewer speaks {0} here, which cannot be followed")]
pub struct NotFollowed(What);

/// Which part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Version,
    Security(u8),
    Message(u8),
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version => f.write_str("a version of RFB other than 3.7 and 3.8, or no RFB,"),
            Self::Security(number) => write!(f, "RFB security type {number}"),
            Self::Message(number) => write!(f, "RFB message {number}"),
        }
    }
}

/// Tells a person's input from what a viewer says by itself. Changes nothing, and never fails: once it cannot follow, it
/// takes every byte for input, so that nobody's session ends for being idle while they type.
#[derive(Debug)]
pub struct Watch(Option<Position>);

impl Default for Watch {
    fn default() -> Self {
        Self(Some(Position::default()))
    }
}

impl Watch {
    /// At the beginning of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is input in the next bytes.
    pub fn sees_input(&mut self, mut bytes: &[u8]) -> bool {
        let mut input = false;
        while !bytes.is_empty() {
            let Some(position) = &mut self.0 else { return true };
            match position.advance(bytes) {
                Ok(Run { length, input: of_run }) => {
                    input |= of_run;
                    bytes = bytes.get(length..).unwrap_or_default();
                }
                Err(NotFollowed(_)) => self.0 = None,
            }
        }
        input
    }
}

/// Lets through what a watcher's viewer needs to get pixels, and drops all input.
#[derive(Debug, Default)]
pub struct Filter(Position);

impl Filter {
    /// At the beginning of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves what may pass to the front, and says how much that is.
    ///
    /// A viewer that wants to be alone (RFC 6143 section 7.3.1) is made to share: a watcher must not put out others.
    ///
    /// # Errors
    /// When the viewer cannot be followed: the session must end, with nothing of these bytes passed on.
    pub fn pass(&mut self, bytes: &mut [u8]) -> Result<usize, NotFollowed> {
        let (mut read, mut passed) = (0, 0);
        while let Some(rest) = bytes.get(read..).filter(|rest| !rest.is_empty()) {
            let is_init = self.0.stage == Stage::Init;
            let Run { length, input } = self.0.advance(rest)?;
            if !input {
                bytes.copy_within(read..read + length, passed);
                if let Some(shared) = bytes.get_mut(passed).filter(|_| is_init) {
                    *shared = 1;
                }
                passed += length;
            }
            read += length;
        }
        Ok(passed)
    }
}

/// Some bytes that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    length: usize,
    /// They are (a part of) a message that carries input.
    input: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Version,
    Security,
    Response,
    Init,
    Type,
    /// Of the message of this type.
    Field(Field, u8),
    Body,
}

/// Where in the stream a viewer is.
#[derive(Debug, Clone)]
struct Position {
    stage: Stage,
    /// How many bytes the stage has left.
    left: u64,
    /// What a stage that is looked into has so far.
    field: [u8; LONGEST_FIELD],
    collected: usize,
    /// The message at hand carries input.
    input: bool,
}

impl Default for Position {
    fn default() -> Self {
        Self { stage: Stage::Version, left: 12, field: [0; LONGEST_FIELD], collected: 0, input: false }
    }
}

impl Position {
    /// Goes on by at least one and at most all of `bytes`, which must not be empty, and never past the stage's end.
    fn advance(&mut self, bytes: &[u8]) -> Result<Run, NotFollowed> {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let run = bytes.get(..length).unwrap_or_default();
        // A message is known by its first byte, which has the same fate as the rest of it.
        if self.stage == Stage::Type {
            self.input = run.first().is_some_and(|&number| kind_of(number).is_some_and(|kind| kind.input));
        }
        let is_field = !matches!(self.stage, Stage::Body | Stage::Response);
        if is_field && let Some(room) = self.field.get_mut(self.collected..self.collected + length) {
            room.copy_from_slice(run);
            self.collected += length;
        }
        let of_run = Run { length, input: self.input };
        self.left -= length as u64;
        if self.left == 0 {
            self.next()?;
        }
        Ok(of_run)
    }

    /// The next stage, where the one at hand is complete.
    fn next(&mut self) -> Result<(), NotFollowed> {
        let collected = std::mem::take(&mut self.collected);
        let field = self.field.get(..collected).unwrap_or_default();
        let first = field.first().copied().unwrap_or_default();
        let (stage, left) = match self.stage {
            Stage::Version if VERSIONS.contains(&field) => (Stage::Security, 1),
            Stage::Version => return Err(NotFollowed(What::Version)),
            Stage::Security => match first {
                SECURITY_NONE => (Stage::Init, 1),
                SECURITY_VNC => (Stage::Response, VNC_RESPONSE),
                other => return Err(NotFollowed(What::Security(other))),
            },
            Stage::Response => (Stage::Init, 1),
            Stage::Init | Stage::Body => (Stage::Type, 1),
            Stage::Type => {
                let &Kind { number, length, .. } = kind_of(first).ok_or(NotFollowed(What::Message(first)))?;
                of_length(length, number)
            }
            Stage::Field(which, number) => {
                of_length(which.rest(field).ok_or(NotFollowed(What::Message(number)))?, number)
            }
        };
        (self.stage, self.left) = match (stage, left) {
            (Stage::Body, 0) => (Stage::Type, 1),
            other => other,
        };
        if self.stage == Stage::Type {
            self.input = false;
        }
        Ok(())
    }
}

const fn of_length(length: Length, number: u8) -> (Stage, u64) {
    match length {
        Length::Fixed(length) => (Stage::Body, length),
        Length::Told(field) => (Stage::Field(field, number), field.length() as u64),
    }
}
