//! Whether the tiny guest answers on a serial port.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::wait::{PATIENCE, eventually_some, within};

/// The guest answers on its serial port's TCP port, which begins with telnet's negotiation or not.
///
/// # Panics
/// When it does not.
pub async fn assert_tcp_says_hello(port: u16, telnet: bool) {
    let open = async || TcpStream::connect(("127.0.0.1", port)).await.ok();
    let heard = says_hello(eventually_some(PATIENCE, "the serial port", open).await).await;
    assert_eq!(heard.first() == Some(&0xff), telnet, "{heard:?}");
}

/// The guest answers on its serial port's socket.
///
/// # Panics
/// When it does not.
pub async fn assert_unix_says_hello(socket: &Path) {
    let open = async || UnixStream::connect(socket).await.ok();
    says_hello(eventually_some(PATIENCE, socket.display(), open).await).await;
}

async fn says_hello(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Vec<u8> {
    let mut heard = Vec::new();
    let answered = async {
        while !heard.windows(15).any(|window| window == b"you said: hello") {
            // What comes before the guest reads its serial port is lost, so it is said again.
            stream.write_all(b"hello\r").await.expect("it takes it");
            while let Ok(read) = timeout(Duration::from_millis(300), stream.read_buf(&mut heard)).await {
                assert!(read.expect("it says something") > 0, "{heard:?}");
            }
        }
    };
    within(PATIENCE, "an answer on the serial port", answered).await;
    heard
}
