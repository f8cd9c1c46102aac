//! The near end: opens sessions through a contender, with the head that it wants.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use porthole_shared::leg::Leg;
use porthole_shared::names::EdgeInstance;
use porthole_shared::token::Token;
use porthole_shared::tunnel::{CONSOLE_PATH, ClientFacts, ClientTls, ConsoleRequest, Presented, WebSocketKey};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::wire::{Wire, read_head};

/// How a session is asked for.
#[derive(Debug, Clone)]
pub enum Asking {
    /// As a browser asks an edge, with this token.
    Edge(Token),
    /// As an edge asks an agent, with this token.
    Agent(Token),
    /// As any WebSocket client asks.
    Plainly,
    /// Not at all: the connection is the session.
    Nothing,
}

/// Where sessions are opened, and how.
#[derive(Debug, Clone)]
pub struct Client {
    /// Where.
    pub address: SocketAddr,
    /// Over TLS, if so, and in whose name.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// How.
    pub asking: Asking,
}

impl Client {
    /// Opens one.
    pub async fn open(&self) -> Result<Wire> {
        let opening = async {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            match &self.tls {
                None => self.ask(Leg::plain(stream)).await,
                Some((config, name)) => self.ask(Leg::connect(stream, Arc::clone(config), name.clone()).await?).await,
            }
        };
        opening.await.with_context(|| format!("opening a session at {}", self.address))
    }

    async fn ask(&self, mut leg: Leg) -> Result<Wire> {
        let Some(head) = self.head()? else { return Ok(Wire::new(leg, Bytes::new())) };
        leg.write_all(head.as_bytes()).await?;
        let (answer, early) = read_head(&mut leg).await?;
        ensure!(answer.starts_with("HTTP/1.1 101"), "not a 101: {answer}");
        Ok(Wire::new(leg, early))
    }

    fn head(&self) -> Result<Option<String>> {
        let key = STANDARD.encode(uuid::Uuid::new_v4().as_bytes());
        let path = match &self.asking {
            Asking::Nothing => return Ok(None),
            Asking::Plainly => "/".to_owned(),
            Asking::Edge(token) => format!("/websockify?token={}", token.expose()),
            Asking::Agent(token) => return self.tunnel_head(token, &key).map(Some),
        };
        Ok(Some(format!(
            "GET {path} HTTP/1.1\r\nHost: localhost:{}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: binary\r\n\r\n",
            self.address.port()
        )))
    }

    fn tunnel_head(&self, token: &Token, key: &str) -> Result<String> {
        let client =
            ClientFacts { address: self.address, tls: Some(ClientTls::V13), edge_instance: EdgeInstance::random() };
        let request = ConsoleRequest {
            presented: Presented { token: token.clone(), binding: None, client },
            key: WebSocketKey::parse(key).context("a key")?,
            binary: true,
            serial: false,
        };
        let mut headers = HeaderMap::new();
        request.write(&mut headers);
        let mut head = format!("GET {CONSOLE_PATH} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in &headers {
            head.extend([name.as_str(), ": ", value.to_str()?, "\r\n"]);
        }
        Ok(head + "\r\n")
    }
}
