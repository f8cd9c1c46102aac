//! A console that the test plays: a TCP port that the agent knows as an external console.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use porthole_tests::agent::AgentBuilder;
use porthole_tests::wait::{PATIENCE, eventually, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

/// What the agent calls it.
pub(crate) const NAME: &str = "bmc-7";

/// What [`Echo`] says first.
pub(crate) const GREETING: &[u8] = b"hello\r\n";

/// One whose connections the test takes itself.
#[derive(Debug)]
pub(crate) struct Console {
    listener: TcpListener,
}

impl Console {
    pub(crate) async fn listen() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Makes it known to an agent.
    pub(crate) fn configured(&self) -> impl FnOnce(AgentBuilder) -> AgentBuilder + Send + use<> {
        let address = self.address();
        move |agent| agent.external(Uuid::new_v4(), NAME, "tcp", address)
    }

    /// The agent's next connection.
    pub(crate) async fn accept(&self) -> TcpStream {
        within(PATIENCE, "the agent's connection to the console", self.listener.accept()).await.unwrap().0
    }

    /// Lets it greet whoever comes, and send back what it gets.
    pub(crate) fn echo(self) -> Echo {
        let seen = Arc::new(Seen::default());
        let task = tokio::spawn(serve(self.listener, Arc::clone(&seen)));
        Echo { seen, task }
    }
}

/// One that greets and echoes until it is dropped.
#[derive(Debug)]
pub(crate) struct Echo {
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    open: AtomicUsize,
    bytes: AtomicUsize,
}

impl Echo {
    /// How many connections there ever were.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// How many there are.
    pub(crate) fn open(&self) -> usize {
        self.seen.open.load(Ordering::SeqCst)
    }

    /// How many bytes came, over all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.seen.bytes.load(Ordering::SeqCst)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, seen: Arc<Seen>) {
    while let Ok((stream, _)) = listener.accept().await {
        let seen = Arc::clone(&seen);
        seen.connections.fetch_add(1, Ordering::SeqCst);
        seen.open.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            // The agent hangs up when it likes to.
            let _gone = converse(stream, &seen).await;
            seen.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn converse(mut stream: TcpStream, seen: &Seen) -> std::io::Result<()> {
    stream.write_all(GREETING).await?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        seen.bytes.fetch_add(count, Ordering::SeqCst);
        stream.write_all(&buffer[..count]).await?;
    }
}

/// One that takes no connection for now: whoever connects waits for as long as it likes to.
#[derive(Debug)]
pub(crate) struct BusyConsole {
    console: Console,
    _waiting: Vec<TcpStream>,
}

impl BusyConsole {
    pub(crate) async fn listen() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let console = Console { listener: socket.listen(1).unwrap() };
        // Linux drops what comes when the queue is full; on loopback, a connection that is not there at once is not.
        let mut waiting = Vec::new();
        while let Ok(connected) = timeout(Duration::from_millis(200), TcpStream::connect(console.address())).await {
            waiting.push(connected.unwrap());
        }
        Self { console, _waiting: waiting }
    }

    /// Makes it known to an agent.
    pub(crate) fn configured(&self) -> impl FnOnce(AgentBuilder) -> AgentBuilder + Send + use<> {
        self.console.configured()
    }

    /// Waits until somebody is connecting.
    pub(crate) async fn wait_until_knocked_at(&self) {
        // `proc_net_tcp(5)`: local address, remote address, state; 02 is SYN_SENT.
        let knocking = format!("0100007F:{:04X} 02", self.console.address().port());
        let knocked = async || std::fs::read_to_string("/proc/net/tcp").unwrap().contains(&knocking);
        eventually(PATIENCE, "somebody at the console", knocked).await;
    }

    /// Takes all that come, from now on, until the task is aborted.
    pub(crate) fn answer(self) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut taken = Vec::new();
            while let Ok((stream, _)) = self.console.listener.accept().await {
                taken.push(stream);
            }
        })
    }
}
