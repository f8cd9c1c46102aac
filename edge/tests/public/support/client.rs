//! A client that writes what the test says and sees every byte that comes back.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use porthole_shared::tls::{load_certificates, provider};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::edge::Edge;
use super::within;

/// What makes a request a good upgrade.
pub(crate) const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// An upgrade request, with more lines if the test has some.
pub(crate) fn upgrade(target: &str, more: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: edge.example\r\n{WEBSOCKET}{more}\r\n")
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub(crate) struct Client {
    stream: Box<dyn Stream>,
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    lines: Vec<String>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.lines
            .iter()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(field, value)| field.eq_ignore_ascii_case(name).then(|| value.trim()))
    }

    /// The names of all fields, in lower case and in order of the alphabet.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.lines.iter().filter_map(|line| line.split_once(':'));
        let mut names: Vec<String> = names.map(|(name, _value)| name.to_ascii_lowercase()).collect();
        names.sort_unstable();
        names
    }
}

impl Client {
    /// Over TLS, if that is what the edge speaks.
    pub(crate) async fn connect(edge: &Edge) -> Self {
        if edge.tls { Self::tls(edge.address, edge.dir()).await } else { Self::plain(edge.address).await }
    }

    pub(crate) async fn plain(address: SocketAddr) -> Self {
        Self { stream: Box::new(within(TcpStream::connect(address)).await.unwrap()) }
    }

    /// Trusts the CA of this folder.
    pub(crate) async fn tls(address: SocketAddr, dir: &Path) -> Self {
        Self::tls_over(within(TcpStream::connect(address)).await.unwrap(), dir).await
    }

    pub(crate) async fn tls_over(tcp: TcpStream, dir: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(load_certificates(&dir.join("ca.pem")).unwrap());
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("edge.example").unwrap();
        let stream = within(TlsConnector::from(Arc::new(config)).connect(name, tcp)).await.unwrap();
        Self { stream: Box::new(stream) }
    }

    /// Sends a request and reads the head of its answer.
    pub(crate) async fn ask(&mut self, request: &str) -> Answer {
        self.send(request).await;
        self.head().await
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.stream.write_all(bytes.as_ref())).await.unwrap();
        within(self.stream.flush()).await.unwrap();
    }

    /// Not a byte more than the head is read.
    pub(crate) async fn head(&mut self) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(self.stream.read_u8()).await.expect("the connection ended within a head"));
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines().map(str::to_owned);
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status line");
        Answer { status, lines: lines.collect() }
    }

    pub(crate) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        within(self.stream.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    pub(crate) async fn body(&mut self, answer: &Answer) -> String {
        let length = answer.field("content-length").expect("a length").parse().unwrap();
        String::from_utf8(self.exactly(length).await).unwrap()
    }

    /// Everything until the connection ends, however it ends.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ended = within(self.stream.read_to_end(&mut bytes)).await;
        bytes
    }

    pub(crate) async fn finish(&mut self) {
        within(self.stream.shutdown()).await.unwrap();
    }
}
