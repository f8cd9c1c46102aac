//! What a port said last, for whoever asks once: from its history, or, where nobody holds it, from its log.

use porthole_shared::lifecycle::chain;
use porthole_shared::names::ConsoleId;
use porthole_shared::reason::Reason;
use tokio::task::spawn_blocking;

use super::port::Key;
use super::{Serial, log};
use crate::consoles::ResolveError;

/// The most bytes that are given at once.
pub const MOST_OUTPUT: u64 = 8 * 1024 * 1024;

/// How much of a log is searched for lines.
const SEARCHED: u64 = 1024 * 1024;

/// How much is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The last so many lines.
    Lines(usize),
    /// The last so many bytes.
    Bytes(u64),
}

/// What was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The bytes, as they are.
    pub bytes: Vec<u8>,
    /// What offsets count from, and the offset of the first byte; none where it comes from a log.
    pub place: Option<(String, u64)>,
}

/// There is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// It is not known where it would be.
    #[error("cannot tell what the serial port said")]
    Resolve(#[from] ResolveError),
    /// Nobody has listened, and nothing has written it down.
    #[error(
        "nothing of it is kept: Porthole does not hold this port (its domain has no metadata of Porthole's), and it has no \
         <log> that can be read"
    )]
    NotKept,
}

impl OutputError {
    /// What whoever asks is told.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Resolve(error) => error.reason(),
            Self::NotKept => Reason::Unsupported,
        }
    }
}

impl Serial {
    /// The last of what a port said, also after its guest has stopped.
    pub async fn output(&self, console: &ConsoleId, part: Part) -> Result<Output, OutputError> {
        let key = Key { uuid: console.uuid, index: console.index };
        if let Some(port) = self.known(key)
            && let Some(output) = port.output(part)
        {
            return Ok(output);
        }
        let (.., ports) = self.0.consoles.serial_devices(key.uuid).await?;
        let device = ports.ports.into_iter().nth(key.index.into());
        let device = device.ok_or(ResolveError::NoSuchKind { kind: console.kind, index: key.index })?;
        let path = device.log.ok_or(OutputError::NotKept)?;
        let wanted = match part {
            Part::Lines(_) => SEARCHED,
            Part::Bytes(bytes) => bytes.min(MOST_OUTPUT),
        };
        let read = spawn_blocking(move || log::last(&path, wanted)).await;
        let bytes = match read {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => {
                tracing::info!(%console, error = chain(&error), "a serial port's log cannot be read");
                return Err(OutputError::NotKept);
            }
            Err(_) => return Err(OutputError::NotKept),
        };
        let bytes = match part {
            Part::Lines(lines) => last_lines(&bytes, lines).to_vec(),
            Part::Bytes(_) => bytes,
        };
        Ok(Output { bytes, place: None })
    }
}

/// The last so many lines. The newline that ends the last one begins none.
fn last_lines(bytes: &[u8], lines: usize) -> &[u8] {
    let mut ends = bytes.iter().enumerate().rev().filter(|(place, byte)| **byte == b'\n' && place + 1 != bytes.len());
    let start = lines.checked_sub(1).and_then(|before| ends.nth(before)).map_or(0, |(place, _)| place + 1);
    bytes.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_the_end() {
        for (lines, expected) in
            [(1, "three\n"), (2, "two\nthree\n"), (3, "one\ntwo\nthree\n"), (9, "one\ntwo\nthree\n")]
        {
            assert_eq!(last_lines(b"one\ntwo\nthree\n", lines), expected.as_bytes());
        }
        assert_eq!(last_lines(b"one\nprompt", 1), b"prompt");
        assert_eq!(last_lines(b"", 1), b"");
    }
}
