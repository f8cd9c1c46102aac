//! What the tests of sessions share: rows of the database, the command line, clients that count, consoles that flood.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use porthole_shared::binding::BindingSecret;
use porthole_tests::agent::{Agent, Mint, Minted};
use porthole_tests::command::porthole;
use porthole_tests::edge::{Edge, Node};
use porthole_tests::rfb;
use porthole_tests::stack::Stack;
use porthole_tests::stream::ByteStream;
use porthole_tests::wait::{PATIENCE, eventually, eventually_some};
use porthole_tests::ws::{Closed, Event, WsClient};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// A session's row.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) token_id: String,
    pub(crate) uuid: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) requestor: Option<String>,
    pub(crate) client_address: String,
    pub(crate) edge: String,
    pub(crate) started: i64,
    pub(crate) open: i64,
    pub(crate) connections: i64,
    pub(crate) bytes_in: i64,
    pub(crate) bytes_out: i64,
    pub(crate) ended: Option<i64>,
    pub(crate) reason: Option<String>,
}

/// All session rows, oldest first.
pub(crate) async fn rows(agent: &Agent) -> Vec<Row> {
    let options = SqliteConnectOptions::new().filename(agent.database()).read_only(true);
    let mut database = options.connect().await.expect("the agent's database");
    let rows = sqlx::query_as("SELECT * FROM sessions ORDER BY started, id").fetch_all(&mut database).await;
    database.close().await.expect("closing the agent's database");
    rows.expect("the sessions")
}

/// The row of the only session that was opened with a link.
pub(crate) async fn row(agent: &Agent, link: &Minted) -> Row {
    let mut rows = rows(agent).await;
    rows.retain(|row| row.token_id == link.id);
    assert_eq!(rows.len(), 1, "sessions of one token: {rows:?}");
    rows.remove(0)
}

/// The row of a link's session once it has ended; checks that it ended for this reason.
pub(crate) async fn ended(agent: &Agent, link: &Minted, reason: &str) -> Row {
    let what = format!("the end ({reason}) of the session of token {}", link.id);
    let row = eventually_some(PATIENCE, what, async || {
        let row = row(agent, link).await;
        row.ended.is_some().then_some(row)
    });
    let row = row.await;
    assert_eq!(row.reason.as_deref(), Some(reason), "{row:?}");
    assert_eq!(row.open, 0);
    assert!(row.ended >= Some(row.started), "{row:?}");
    row
}

/// A close frame.
pub(crate) fn closed(code: u16, reason: &str) -> Closed {
    Closed { code: Some(code), reason: reason.to_owned() }
}

/// A binding secret, as a page makes it.
pub(crate) fn secret() -> String {
    BindingSecret::random().expect("random bytes").to_text().expose().clone()
}

/// A new link and its viewer.
pub(crate) async fn view(stack: &Stack, what: impl Into<Mint>) -> (Minted, rfb::Client<WsClient>) {
    let link = stack.mint(what).await;
    let client = stack.upgrade(&link).open().await;
    (link, handshake(client).await)
}

/// RFB up to where pixels may be asked for.
pub(crate) async fn handshake<S: ByteStream>(stream: S) -> rfb::Client<S> {
    rfb::Client::handshake(stream).await.unwrap_or_else(|error| panic!("RFB: {error:#}"))
}

/// Replaces an edge's directory and waits until it knows the agent of this link.
pub(crate) async fn write_nodes(edge: &Edge, nodes: &[Node], link: &Minted) {
    edge.write_nodes(nodes).expect("nodes.toml");
    eventually(PATIENCE, "the edge to read its new directory", async || {
        let answer = edge.inspect(&json!({ "token": link.token })).await.expect("an answer");
        answer.headers().get("x-porthole-reason").is_none_or(|reason| reason != "unknown_node")
    })
    .await;
}

/// What `porthole sessions --json` lists.
pub(crate) async fn listed(agent: &Agent) -> Vec<Value> {
    let list = porthole(agent, &["sessions", "--json"]).await.json();
    list["sessions"].as_array().expect("a list").clone()
}

/// A WebSocket client that counts the payload both ways.
#[derive(Debug)]
pub(crate) struct Counted {
    client: WsClient,
    pub(crate) sent: i64,
    pub(crate) received: i64,
}

impl Counted {
    pub(crate) fn new(client: WsClient) -> Self {
        Self { client, sent: 0, received: 0 }
    }

    /// Reads on until the close frame.
    pub(crate) async fn closed(&mut self) -> Closed {
        loop {
            match self.client.next().await.expect("a close frame") {
                Event::Close(closed) => return closed,
                Event::Binary(bytes) => self.received += signed(bytes.len()),
                Event::Ping(_) | Event::Pong(_) => {}
                other @ (Event::Text(_) | Event::End) => panic!("{other:?} instead of a close frame"),
            }
        }
    }
}

impl ByteStream for Counted {
    async fn receive(&mut self) -> Result<Vec<u8>> {
        let bytes = self.client.receive().await?;
        self.received += signed(bytes.len());
        Ok(bytes)
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.sent += signed(bytes.len());
        self.client.send(bytes).await
    }
}

pub(crate) fn signed(count: usize) -> i64 {
    count.try_into().expect("a count")
}

/// A way to a server whose last part has a known address: connect to the first; the second comes with the connection.
pub(crate) async fn detour(to: SocketAddr) -> (SocketAddr, oneshot::Receiver<SocketAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let (told, from) = oneshot::channel();
    tokio::spawn(async move {
        let (mut near, _) = listener.accept().await?;
        let mut far = TcpStream::connect(to).await?;
        let _nobody_asks = told.send(far.local_addr()?);
        copy_bidirectional(&mut near, &mut far).await
    });
    (address, from)
}

/// A TCP server; each connection is given to `serve`.
pub(crate) async fn server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// A console that says what it hears.
pub(crate) async fn echo() -> SocketAddr {
    server(async |mut stream: TcpStream| {
        let (mut from, mut to) = stream.split();
        tokio::io::copy(&mut from, &mut to).await.map(drop)
    })
    .await
}

/// A console that talks without end, and how much of that was taken of it.
pub(crate) async fn flood() -> (SocketAddr, Arc<AtomicU64>) {
    let taken = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&taken);
    let address = server(move |mut stream: TcpStream| {
        let counter = Arc::clone(&counter);
        async move {
            let chunk = vec![b'~'; 64 * 1024];
            loop {
                stream.write_all(&chunk).await?;
                counter.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            }
        }
    });
    (address.await, taken)
}

/// Waits until a flood is held up: nothing was taken for a while.
pub(crate) async fn held_up(taken: &AtomicU64) {
    let (mut last, mut since) = (0, Instant::now());
    eventually(PATIENCE, "the flood to be held up", async || {
        let now = taken.load(Ordering::Relaxed);
        if now != last || now == 0 {
            (last, since) = (now, Instant::now());
        }
        since.elapsed() > Duration::from_millis(500)
    })
    .await;
}

/// Reads a stream to its end.
pub(crate) async fn to_the_end(mut stream: TcpStream) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await?;
    Ok(all)
}

/// Runs it, and says how long it took.
pub(crate) async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let start = Instant::now();
    let output = future.await;
    (output, start.elapsed())
}
