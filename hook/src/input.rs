//! The domain's XML on standard input: bounded, and no reason to wait for ever.

use std::io::{self, Read};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::wire::MOST_XML;

/// There is no XML to be had.
#[derive(Debug, thiserror::Error)]
pub enum NoInput {
    /// It cannot be read.
    #[error("standard input cannot be read")]
    Read(#[from] io::Error),
    /// There is too much.
    #[error("the domain's XML has more than {MOST_XML} bytes")]
    TooLong,
    /// It does not end.
    #[error("the domain's XML on standard input does not come to an end")]
    Endless,
}

/// Reads it to its end, or for so long at most. Whoever writes and is not heard out gets a broken pipe.
pub fn read(from: impl Read + Send + 'static, deadline: Duration) -> Result<Vec<u8>, NoInput> {
    let (done, outcome) = mpsc::channel();
    let reading = move || {
        let mut xml = Vec::new();
        let read = from.take(MOST_XML as u64 + 1).read_to_end(&mut xml);
        // Nobody listens any more: then it was too slow.
        drop(done.send(read.map(|_| xml)));
    };
    thread::Builder::new().spawn(reading)?;
    match outcome.recv_timeout(deadline) {
        Ok(Ok(xml)) if xml.len() > MOST_XML => Err(NoInput::TooLong),
        Ok(xml) => Ok(xml?),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(NoInput::Endless),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn it_is_read_to_its_end_and_no_further() {
        assert_eq!(read(&b"<domain/>"[..], SOON).unwrap(), b"<domain/>");
        assert_eq!(read(io::empty(), SOON).unwrap(), b"");
        assert!(matches!(read(io::repeat(b'x'), SOON), Err(NoInput::TooLong)));
        let (here, _there) = UnixStream::pair().unwrap();
        assert!(matches!(read(here, Duration::from_millis(1)), Err(NoInput::Endless)));
    }
}
