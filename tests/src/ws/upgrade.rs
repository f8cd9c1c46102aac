//! The upgrade request, header by header, and the answer to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use rustls::SupportedProtocolVersion;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

use super::{Answer, Transport, WsClient};
use crate::tls;
use crate::wait::PATIENCE;

/// A request to open a WebSocket. As it comes it is what a browser sends, without an `Origin`.
#[derive(Debug, Clone)]
pub struct Upgrade {
    uri: Uri,
    headers: Vec<(String, String)>,
    pipelined: Vec<u8>,
    ca: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    address: Option<SocketAddr>,
    receive_buffer: Option<u32>,
    versions: &'static [&'static SupportedProtocolVersion],
}

impl Upgrade {
    /// To an `http`, `https`, `ws` or `wss` URL.
    ///
    /// # Panics
    /// When it is none.
    pub fn to(url: &str) -> Self {
        let uri: Uri = url.parse().unwrap_or_else(|error| panic!("{url}: {error}"));
        let authority = uri.authority().unwrap_or_else(|| panic!("{url} has no host")).to_string();
        let key = STANDARD.encode(uuid::Uuid::new_v4().as_bytes());
        let headers = [
            ("Host", authority.as_str()),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", key.as_str()),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let versions = rustls::ALL_VERSIONS;
        Self {
            uri,
            headers,
            pipelined: vec![],
            ca: None,
            identity: None,
            address: None,
            receive_buffer: None,
            versions,
        }
    }

    /// What to trust the server's certificate by.
    #[must_use]
    pub fn ca(mut self, file: &Path) -> Self {
        self.ca = Some(file.to_owned());
        self
    }

    /// A client certificate and its key.
    #[must_use]
    pub fn identity(mut self, certificate: &Path, key: &Path) -> Self {
        self.identity = Some((certificate.to_owned(), key.to_owned()));
        self
    }

    /// Only these versions of TLS.
    #[must_use]
    pub fn tls_versions(mut self, versions: &'static [&'static SupportedProtocolVersion]) -> Self {
        self.versions = versions;
        self
    }

    /// Connect to this address, whatever the URL's host is.
    #[must_use]
    pub fn connect_to(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Another path and query than the URL's.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn path(mut self, path_and_query: &str) -> Self {
        let mut parts = self.uri.into_parts();
        parts.path_and_query = Some(path_and_query.parse().expect("a path"));
        self.uri = Uri::from_parts(parts).expect("a URL with another path");
        self
    }

    /// Offers these subprotocols, in one header.
    #[must_use]
    pub fn protocols(self, names: &[&str]) -> Self {
        self.header("Sec-WebSocket-Protocol", &names.join(", "))
    }

    /// Offers `binary` and a binding secret, as our pages do.
    #[must_use]
    pub fn bound(self, secret: &str) -> Self {
        self.protocols(&["binary", &format!("porthole.bind.{secret}")])
    }

    /// Says which site's page makes the request.
    #[must_use]
    pub fn origin(self, origin: &str) -> Self {
        self.header("Origin", origin)
    }

    /// One more header, even where there is one of that name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without the headers of this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// Bytes to send in one write with the request, before any answer.
    #[must_use]
    pub fn pipelined(mut self, bytes: &[u8]) -> Self {
        self.pipelined.extend(bytes);
        self
    }

    /// A small receive buffer of the socket, so that a client that does not read is soon felt.
    #[must_use]
    pub fn receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// The request's head as it goes out.
    pub fn head(&self) -> Vec<u8> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut head = format!("GET {path} HTTP/1.1\r\n");
        for (name, value) in &self.headers {
            head.extend([name.as_str(), ": ", value.as_str(), "\r\n"]);
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Connects, with TLS where the URL says so; for what this client does not do.
    pub async fn connect(&self) -> Result<Box<dyn Transport>> {
        let host = self.uri.host().context("the URL has no host")?;
        let secure = matches!(self.uri.scheme_str(), Some("https" | "wss"));
        let port = self.uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let address = if let Some(address) = self.address {
            address
        } else {
            // One that is listened on: `localhost` may be ::1 first.
            let mut addresses = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await?;
            addresses.find(|address| std::net::TcpListener::bind(address).is_err()).context("nobody listens there")?
        };
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        if !secure {
            return Ok(Box::new(stream));
        }
        let ca = self.ca.as_deref().context("https needs a CA to trust")?;
        let identity = self.identity.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        let client = tls::Client { ca, identity, versions: self.versions };
        Ok(Box::new(client.connect(host.trim_matches(['[', ']']), stream).await?))
    }

    /// Connects, sends the request and reads the answer.
    pub async fn send(&self) -> Result<Answer> {
        let sending = async {
            let mut transport = self.connect().await?;
            let mut request = self.head();
            request.extend(&self.pipelined);
            transport.write_all(&request).await?;
            transport.flush().await?;
            Answer::read(transport).await
        };
        tokio::time::timeout(PATIENCE, sending).await.context("no answer in time")?
    }

    /// Sends the request and takes the WebSocket for granted.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn open(&self) -> WsClient {
        self.send().await.expect("an answer").opened()
    }
}
