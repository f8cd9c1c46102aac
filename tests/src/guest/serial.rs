//! A guest's serial port, spoken to directly.

use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::wait::{PATIENCE, eventually_some, within};

/// A connection to a serial port's unix socket.
#[derive(Debug)]
pub struct SerialConnection {
    stream: UnixStream,
    unread: Vec<u8>,
}

impl SerialConnection {
    pub(super) async fn open(socket: &Path) -> Self {
        let what = format!("{} to take a connection", socket.display());
        let stream = eventually_some(PATIENCE, what, async || UnixStream::connect(socket).await.ok()).await;
        Self { stream, unread: Vec::new() }
    }

    /// Types it.
    ///
    /// # Panics
    /// When the guest is gone.
    pub async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("the serial port takes input");
    }

    /// Reads up to and with the text; gives all that was read.
    ///
    /// # Panics
    /// When the text does not come.
    pub async fn read_until(&mut self, text: &str) -> String {
        let wanted = text.as_bytes();
        let reading = async {
            loop {
                let found = self.unread.windows(wanted.len()).position(|window| window == wanted);
                if let Some(start) = found {
                    let rest = self.unread.split_off(start + wanted.len());
                    return std::mem::replace(&mut self.unread, rest);
                }
                let count = self.stream.read_buf(&mut self.unread).await.expect("reading the serial port");
                assert!(count > 0, "the serial port ended before {text:?}");
            }
        };
        let read = within(PATIENCE, format!("{text:?} on the serial port"), reading).await;
        String::from_utf8_lossy(&read).into_owned()
    }
}
