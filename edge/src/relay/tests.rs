//! Real TLS on real loopback sockets; where a split, a clock or a buffer's size matters, on memory instead.

mod ends;
mod flow;
mod turns;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Context;

use bytes::Bytes;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tokio_util::sync::CancellationToken;

use super::*;

/// One certificate, and those who trust it.
struct Tls {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Tls {
    fn new() -> Self {
        Self::of(&[&rustls::version::TLS13])
    }

    fn of(versions: &[&'static rustls::SupportedProtocolVersion]) -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["far".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = porthole_shared::tls::provider();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { server: Arc::new(server), client: Arc::new(client) }
    }

    /// Without tickets behind the handshake, which nobody would read yet where there is no room for them.
    fn without_tickets() -> Self {
        let mut tls = Self::new();
        Arc::make_mut(&mut tls.server).send_tls13_tickets = 0;
        tls
    }

    /// A client of some other make, and our leg to it.
    async fn client_side<S>(&self, (near, far): (S, S)) -> (client::TlsStream<S>, Leg<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from("far").unwrap();
        let connecting = TlsConnector::from(Arc::clone(&self.client)).connect(name, near);
        let accepting = Leg::accept(far, Arc::clone(&self.server));
        let (connected, accepted) = tokio::join!(connecting, accepting);
        (connected.unwrap(), accepted.unwrap())
    }

    /// Our leg to an agent, and an agent of some other make.
    async fn agent_side<S>(&self, (near, far): (S, S)) -> (Leg<S>, server::TlsStream<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let connecting = Leg::connect(near, Arc::clone(&self.client), ServerName::try_from("far").unwrap());
        let accepting = TlsAcceptor::from(Arc::clone(&self.server)).accept(far);
        let (connected, accepted) = tokio::join!(connecting, accepting);
        (connected.unwrap(), accepted.unwrap())
    }
}

async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// A session under way, seen from both ends.
struct Session<C, A> {
    client: C,
    agent: A,
    running: JoinHandle<Summary>,
    stop: CancellationToken,
    counters: Arc<Counters>,
}

type TcpSession = Session<client::TlsStream<TcpStream>, server::TlsStream<TcpStream>>;
type MemorySession = Session<client::TlsStream<Narrow>, server::TlsStream<Narrow>>;

impl MemorySession {
    /// From now on, every read and write of the session moves so many bytes at most.
    fn narrow(&self, piece: usize) {
        for end in [self.client.get_ref().0, self.agent.get_ref().0] {
            end.piece.store(piece, Ordering::Relaxed);
        }
    }
}

/// A memory pipe that, on both ends, gives and takes a few bytes at a time.
struct Narrow {
    pipe: DuplexStream,
    piece: Arc<AtomicUsize>,
}

impl Narrow {
    fn pair(room: usize) -> (Self, Self) {
        let piece = Arc::new(AtomicUsize::new(usize::MAX));
        let (near, far) = duplex(room);
        (Self { pipe: near, piece: Arc::clone(&piece) }, Self { pipe: far, piece })
    }

    fn piece(&self) -> usize {
        self.piece.load(Ordering::Relaxed)
    }
}

impl AsyncRead for Narrow {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut part = vec![0; self.piece().min(into.remaining())];
        let mut part = ReadBuf::new(&mut part);
        let read = Pin::new(&mut self.pipe).poll_read(cx, &mut part);
        into.put_slice(part.filled());
        read
    }
}

impl AsyncWrite for Narrow {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let most = self.piece().min(bytes.len());
        Pin::new(&mut self.pipe).poll_write(cx, &bytes[..most])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

impl<C, A> Session<C, A> {
    fn start<S, T>(client: C, client_leg: Leg<S>, agent: A, agent_leg: Leg<T>, early: (Bytes, Bytes)) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self::run(client, agent, Relay::between(client_leg, early.0, agent_leg, early.1))
    }

    fn run<S, T>(client: C, agent: A, mut relay: Relay<S, T>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (stop, counters) = (CancellationToken::new(), Arc::new(Counters::default()));
        let (stop2, counters2) = (stop.clone(), Arc::clone(&counters));
        let running = tokio::spawn(async move { relay.run(&counters2, &stop2).await });
        Self { client, agent, running, stop, counters }
    }
}

async fn tcp_session(tls: &Tls) -> TcpSession {
    tcp_session_within(tls, PATIENCE).await
}

async fn tcp_session_within(tls: &Tls, patience: Patience) -> TcpSession {
    let (client, client_leg) = tls.client_side(tcp().await).await;
    let (agent_leg, agent) = tls.agent_side(tcp().await).await;
    let relay = Relay::new(client_leg, Bytes::new(), agent_leg, Bytes::new(), patience);
    Session::run(client, agent, relay)
}

/// As much as `room` bytes are on the way in each direction.
async fn memory_session(tls: &Tls, room: usize, patience: Patience) -> MemorySession {
    let (client, client_leg) = tls.client_side(Narrow::pair(room)).await;
    let (agent_leg, agent) = tls.agent_side(Narrow::pair(room)).await;
    Session::run(client, agent, Relay::new(client_leg, Bytes::new(), agent_leg, Bytes::new(), patience))
}

/// Bytes in which every place differs from its neighbours, so that nothing can be lost, doubled or swapped unseen.
fn numbered(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(31) ^ (at >> 8).wrapping_mul(17)).to_le_bytes()[0] ^ seed).collect()
}

/// Writes for as long as anybody takes it.
async fn flood<S: AsyncWrite + Unpin>(mut to: S) {
    let bytes = vec![0; 60_000];
    while to.write_all(&bytes).await.is_ok() {}
}

async fn read_to_end<S: AsyncRead + Unpin>(stream: &mut S) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    all
}

async fn read_some<S: AsyncRead + Unpin>(stream: &mut S, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}
