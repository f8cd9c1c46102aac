//! The fixed exchange: bytes of a console that says as many as it is told to, and frames for one that takes all. Nothing
//! is on its way when it is over.

use std::net::SocketAddr;

use porthole_tests::agent::Mint;
use porthole_tests::process::Process;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, within};
use porthole_tests::ws::{Frame, Opcode, WsClient};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// What a frame for the console carries, and how many are sent at once.
const FRAME: usize = 1024;
const AT_ONCE: usize = 64;

/// Two sessions through an edge and an agent.
pub(crate) struct Carrying {
    pub(crate) stack: Stack,
    source: WsClient,
    wanted: mpsc::Sender<usize>,
    sink: WsClient,
    sent: usize,
    taken: watch::Receiver<usize>,
}

impl Carrying {
    /// With daemons that are started by a command: `under` says which, by the daemon's name.
    pub(crate) async fn start(under: impl Fn(&str) -> Vec<String>) -> Self {
        let (wanted, mut asked) = mpsc::channel(1);
        let source = console(async move |mut stream: TcpStream| {
            while let Some(bytes) = asked.recv().await {
                stream.write_all(&vec![b'd'; bytes]).await.unwrap();
            }
        });
        let (telling, taken) = watch::channel(0);
        let sink = console(async move |mut stream: TcpStream| {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                telling.send_modify(|taken| *taken += length);
            }
        });
        let (source, sink, agent, edge) = (source.await, sink.await, under("agent"), under("edge"));
        let stack = Stack::builder()
            .agent(move |daemon| {
                let daemon = daemon.external(Uuid::new_v4(), "source", "tcp", source);
                daemon.external(Uuid::new_v4(), "sink", "tcp", sink).set("log.level", "info").under(agent)
            })
            .edge(|daemon| daemon.set("log.level", "info").under(edge))
            .start()
            .await;
        let source = stack.open(Mint::of("source").kind("tcp")).await;
        let sink = stack.open(Mint::of("sink").kind("tcp")).await;
        Self { stack, source, wanted, sink, sent: 0, taken }
    }

    /// The daemons' names and processes.
    pub(crate) fn daemons(&self) -> [(&'static str, &Process); 2] {
        [("edge", self.stack.edge.process()), ("agent", self.stack.agent.process())]
    }

    /// So many bytes from the console to the client.
    pub(crate) async fn down(&mut self, bytes: usize) {
        self.wanted.send(bytes).await.unwrap();
        within(6 * PATIENCE, "the console's bytes", async {
            let mut read = 0;
            while read < bytes {
                read += self.source.binary().await.len();
            }
            assert_eq!(read, bytes);
        })
        .await;
    }

    /// So many bytes from the client to the console, a KiB in each frame.
    pub(crate) async fn up(&mut self, bytes: usize) {
        let frames = Frame::new(Opcode::Binary, &[b'u'; FRAME]).encode().repeat(AT_ONCE);
        for _ in 0..bytes / (FRAME * AT_ONCE) {
            self.sink.send_raw(&frames).await.unwrap();
            self.sent += FRAME * AT_ONCE;
        }
        let all = self.taken.wait_for(|taken| *taken == self.sent);
        within(6 * PATIENCE, "the client's bytes", all).await.unwrap();
    }
}

/// One that serves a single connection.
async fn console<F: Future<Output = ()> + Send + 'static>(
    serve: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    address
}
