//! Connections whose bytes the test writes itself.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use porthole_tests::edge::Edge;
use porthole_tests::wait::PATIENCE;
use porthole_tests::ws::{Transport, Upgrade};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::reply::{Reply, replies};

/// A connection, with or without TLS.
#[derive(Debug)]
pub(crate) struct Raw(pub(crate) Box<dyn Transport>);

/// A client's side of TLS that is kept from one connection to the next, so that sessions are resumed.
#[derive(Clone)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Raw {
    pub(crate) async fn plain(address: SocketAddr) -> Self {
        Self(Box::new(tcp(address).await))
    }

    /// To the edge, however it is spoken with.
    pub(crate) async fn to(edge: &Edge) -> Self {
        Self(Upgrade::to(&edge.url()).ca(edge.ca()).connect_to(edge.address()).connect().await.unwrap())
    }

    /// Sends. That the peer closes meanwhile is its right.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let sending = async {
            let _closed = self.0.write_all(bytes).await;
            let _closed = self.0.flush().await;
        };
        tokio::time::timeout(PATIENCE, sending).await.expect("the peer neither reads nor closes");
    }

    /// All that comes until the peer ends the connection; a reset is an end, too.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        self.rest_within(PATIENCE).await
    }

    pub(crate) async fn rest_within(&mut self, limit: Duration) -> Vec<u8> {
        let mut bytes = Vec::new();
        let reading = async { while self.0.read_buf(&mut bytes).await.is_ok_and(|length| length > 0) {} };
        let ended = tokio::time::timeout(limit, reading).await.is_ok();
        assert!(ended, "the peer does not end the connection; it said {:?}", String::from_utf8_lossy(&bytes));
        bytes
    }

    /// Sends, and reads to the end.
    pub(crate) async fn exchange(mut self, bytes: &[u8]) -> Vec<u8> {
        self.send(bytes).await;
        self.rest().await
    }

    /// Sends, and reads all answers to the end.
    pub(crate) async fn ask(self, bytes: impl AsRef<[u8]>) -> Vec<Reply> {
        replies(&self.exchange(bytes.as_ref()).await)
    }

    /// The next so many bytes.
    pub(crate) async fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let reading = self.0.read_exact(&mut bytes);
        tokio::time::timeout(PATIENCE, reading).await.expect("bytes in time").expect("as many bytes");
        bytes
    }

    /// The next answer's head; what comes behind it is left unread.
    pub(crate) async fn head(&mut self) -> Vec<u8> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.take(1).await);
        }
        head
    }
}

pub(crate) async fn tcp(address: SocketAddr) -> TcpStream {
    let stream = tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await.expect("a connection in time");
    let stream = stream.unwrap_or_else(|error| panic!("connecting to {address}: {error}"));
    stream.set_nodelay(true).unwrap();
    stream
}

impl Tls {
    /// Trusts these certificates, and has none itself.
    pub(crate) fn trusting(ca: &Path, name: &str) -> Self {
        Self::new(ca, name, None, &[])
    }

    pub(crate) fn new(ca: &Path, name: &str, identity: Option<(&Path, &Path)>, alpn: &[&str]) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca) {
            roots.add(certificate).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots);
        let mut config = match identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => config
                .with_client_auth_cert(certificates(certificate), PrivateKeyDer::from_pem_file(key).unwrap())
                .unwrap(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self { config: Arc::new(config), name: ServerName::try_from(name.to_owned()).unwrap() }
    }

    pub(crate) async fn connect(&self, address: SocketAddr) -> anyhow::Result<Raw> {
        let stream = tcp(address).await;
        let connecting = TlsConnector::from(Arc::clone(&self.config)).connect(self.name.clone(), stream);
        Ok(Raw(Box::new(tokio::time::timeout(PATIENCE, connecting).await.context("no handshake in time")??)))
    }

    /// The certificate that the server shows.
    pub(crate) async fn shown(&self, address: SocketAddr) -> anyhow::Result<CertificateDer<'static>> {
        let stream = tcp(address).await;
        let connecting = TlsConnector::from(Arc::clone(&self.config)).connect(self.name.clone(), stream);
        let stream = tokio::time::timeout(PATIENCE, connecting).await.context("no handshake in time")??;
        let chain = stream.get_ref().1.peer_certificates().context("a certificate")?;
        Ok(chain.first().context("a leaf")?.clone().into_owned())
    }
}

pub(crate) fn certificates(file: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(file).unwrap().collect::<Result<_, _>>().unwrap()
}
