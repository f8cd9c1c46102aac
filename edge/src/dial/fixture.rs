//! Agents for tests: real mutual TLS on loopback, and answers as the test wants them, right or wrong.

use std::fs;
use std::sync::{Arc, Mutex};

use porthole_shared::names::{EdgeInstance, NodeId};
use porthole_shared::tls::{AgentIdentity, IdentityFiles, Role, agent_server_config};
use porthole_shared::token::Token;
use porthole_shared::tunnel::{ClientFacts, ConsoleRequest, Presented, WebSocketKey};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::ServerConfig;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, server};

use super::*;
use crate::directory::Source;

/// A CA in a directory, and certificates of it.
pub(crate) struct Pki {
    pub(crate) dir: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
        Self { dir, ca }
    }

    /// Writes a certificate with this role, and its key.
    pub(crate) fn issue(&self, file: &str, role: &Role) -> IdentityFiles {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.subject_alt_names.push(SanType::URI(role.to_uri().try_into().unwrap()));
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        let path = |suffix: &str| self.dir.path().join(format!("{file}.{suffix}"));
        fs::write(path("pem"), certificate.pem()).unwrap();
        fs::write(path("key"), key.serialize_pem()).unwrap();
        IdentityFiles { certificate: path("pem"), key: path("key"), ca: self.dir.path().join("ca.pem") }
    }

    pub(crate) fn agent_config(&self, name: &str) -> Arc<ServerConfig> {
        agent_server_config(&self.issue(name, &Role::Agent(name.parse().unwrap()))).unwrap()
    }

    pub(crate) fn dialer(&self) -> Dialer {
        Dialer::new(&Config {
            identity: self.issue("edge", &Role::Edge("e1".parse().unwrap())),
            nodes: Source::File("unused".into()),
            connect_timeout: porthole_shared::config::Duration::from_secs(2),
        })
        .unwrap()
    }
}

/// What an agent does with a request.
pub(crate) enum Reply {
    /// Sends this, and waits for the edge to go away.
    Text(String),
    /// Sends this, and then back whatever comes.
    Echo(String),
    /// Sends the first, and then the second over and over.
    Endless(&'static str, &'static str),
    /// Closes the connection.
    Nothing,
    /// Waits for the edge to go away.
    Silence,
}

/// An agent that answers each request by a function of the test's.
pub(crate) struct FakeAgent {
    pub(crate) node: Node,
    /// The requests as they came, heads and bodies.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
    pub(crate) task: JoinHandle<()>,
}

impl FakeAgent {
    pub(crate) async fn start(pki: &Pki, name: &str, reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::with_config(pki.agent_config(name), name, reply).await
    }

    pub(crate) async fn with_config(
        config: Arc<ServerConfig>,
        name: &str,
        reply: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = node(name, listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, reply) = (Arc::clone(&requests), Arc::new(reply));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _peer) = listener.accept().await.unwrap();
                let (config, seen, reply) = (Arc::clone(&config), Arc::clone(&seen), Arc::clone(&reply));
                tokio::spawn(async move {
                    let Ok(mut stream) = TlsAcceptor::from(config).accept(stream).await else { return };
                    let request = read_request(&mut stream).await;
                    seen.lock().unwrap().push(request.clone());
                    act(stream, reply(&request)).await;
                });
            }
        });
        Self { node, requests, task }
    }

    pub(crate) fn request_count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn node(name: &str, address: std::net::SocketAddr) -> Node {
    let name: porthole_shared::names::NodeName = name.parse().unwrap();
    Node {
        id: NodeId::derived_from(&name),
        identity: AgentIdentity::Role(name.clone()),
        name,
        address: address.to_string().parse().unwrap(),
    }
}

/// An address at which nobody listens.
pub(crate) async fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

async fn read_request(stream: &mut server::TlsStream<TcpStream>) -> String {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return text;
        }
    }
}

async fn act(mut stream: server::TlsStream<TcpStream>, reply: Reply) {
    match reply {
        Reply::Nothing => {}
        Reply::Silence => drop(stream.read(&mut [0; 1]).await),
        Reply::Text(text) => {
            drop(stream.write_all(text.as_bytes()).await);
            drop(stream.flush().await);
            drop(stream.read(&mut [0; 1]).await);
        }
        Reply::Echo(text) => {
            drop(stream.write_all(text.as_bytes()).await);
            drop(stream.flush().await);
            let (mut reader, mut writer) = tokio::io::split(stream);
            drop(tokio::io::copy(&mut reader, &mut writer).await);
            drop(writer.shutdown().await);
        }
        Reply::Endless(once, over_and_over) => {
            drop(stream.write_all(once.as_bytes()).await);
            while stream.write_all(over_and_over.as_bytes()).await.is_ok() {}
        }
    }
}

/// A request for a console, with a token that only looks like one.
pub(crate) fn console_request(binary: bool) -> ConsoleRequest {
    ConsoleRequest {
        presented: Presented {
            token: Token::parse("aa.bb.cc").unwrap(),
            binding: None,
            client: ClientFacts {
                address: "[2001:db8::1]:40000".parse().unwrap(),
                tls: None,
                edge_instance: EdgeInstance::random(),
            },
        },
        key: WebSocketKey::parse("dGhlIHNhbXBsZSBub25jZQ==").unwrap(),
        binary,
        serial: false,
    }
}

/// The right answer to [`console_request`] (RFC 6455 section 1.3 has this very pair).
pub(crate) const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                                    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

pub(crate) fn json(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}
