//! The far ends of external consoles.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a console does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Sends back what it gets.
    Echo,
    /// Sends without end, and reads nothing.
    Flood,
    /// Neither reads nor sends.
    Deaf,
}

/// A listening console. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Console {
    address: SocketAddr,
    live: Arc<AtomicUsize>,
    ever: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Console {
    pub(crate) async fn echo() -> Self {
        Self::start("127.0.0.1:0", Manner::Echo).await
    }

    pub(crate) async fn start(address: &str, manner: Manner) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (live, ever) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, total) = (Arc::clone(&live), Arc::clone(&ever));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let live = Arc::clone(&count);
                live.fetch_add(1, Ordering::SeqCst);
                total.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    serve(stream, manner).await;
                    live.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, live, ever, accepting }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has.
    pub(crate) fn connections(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    /// How many it has ever had.
    pub(crate) fn connections_ever(&self) -> usize {
        self.ever.load(Ordering::SeqCst)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Until the agent ends the connection.
async fn serve(mut stream: TcpStream, manner: Manner) {
    let (mut reading, mut writing) = stream.split();
    match manner {
        Manner::Echo => {
            let _gone = tokio::io::copy(&mut reading, &mut writing).await;
        }
        Manner::Flood => {
            let chunk = vec![b'f'; 64 * 1024];
            while writing.write_all(&chunk).await.is_ok() {}
        }
        Manner::Deaf => {
            let mut one = [0];
            // Not a byte more, whatever comes.
            let _gone = reading.read(&mut one).await;
            std::future::pending::<()>().await;
        }
    }
}
