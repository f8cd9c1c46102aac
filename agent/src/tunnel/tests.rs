//! The tunnel over real loopback TLS, with real tokens on a real database; the console is a TCP server of the test.

mod peers;
mod requests;
mod sessions;
mod stop;

use super::*;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use porthole_shared::binding::BindingSecret;
use porthole_shared::clock::{Clock as _, SystemClock};
use porthole_shared::names::{ConsoleUuid, EdgeInstance, NodeName};
use porthole_shared::reason::Reason;
use porthole_shared::tls::{AgentIdentity, EdgeClientConfigs, IdentityFiles, Role};
use porthole_shared::token::Token;
use porthole_shared::tunnel::{CONSOLE_PATH, ClientFacts, ClientTls, ConsoleRequest, Presented, REASON, WebSocketKey};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use serde_json::json;
use std::fs;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::consoles::External;
use crate::hypervisor::Hypervisor;
use crate::serial;
use crate::store::Store;
use crate::tokens::{MintRequest, Parts, Policy, RightsWanted, SigningKeys, Urls};

/// For waits that end by what they wait for; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(20);
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const NODE: &str = "compute-1";

/// A CA in a directory, and certificates of it.
struct Pki {
    dir: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
        Self { dir, ca }
    }

    /// Writes a certificate and its key, over those of that name.
    fn issue(&self, file: &str, role: impl Into<Option<Role>>, dns: &[&str]) -> IdentityFiles {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(dns.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.subject_alt_names.extend(role.into().map(|role| SanType::URI(role.to_uri().try_into().unwrap())));
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        let path = |suffix: &str| self.dir.path().join(format!("{file}.{suffix}"));
        fs::write(path("key"), key.serialize_pem()).unwrap();
        fs::write(path("pem"), certificate.pem()).unwrap();
        IdentityFiles { certificate: path("pem"), key: path("key"), ca: self.dir.path().join("ca.pem") }
    }
}

fn edge_role(name: &str) -> Role {
    Role::Edge(name.parse().unwrap())
}

fn agent_role(name: &str) -> Role {
    Role::Agent(name.parse().unwrap())
}

/// An agent without libvirt, whose one console is `listener`.
struct Agent {
    pki: Pki,
    tunnel: Vec<SocketAddr>,
    trust: Trust,
    services: Services,
    shutdown: Shutdown,
    console: ConsoleUuid,
    listener: TcpListener,
    served: JoinHandle<()>,
    _state: TempDir,
}

impl Agent {
    async fn start() -> Self {
        Self::with(json!({})).await
    }

    /// With these settings of `[tunnel]`.
    async fn with(settings: serde_json::Value) -> Self {
        let (pki, state) = (Pki::new(), tempfile::tempdir().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let console = ConsoleUuid::random();
        let external: External = serde_json::from_value(json!({
            "networks": ["127.0.0.0/8"],
            "console": [{"uuid": console, "name": "bmc", "protocol": "vnc", "host": "127.0.0.1",
                         "port": listener.local_addr().unwrap().port()}],
        }))
        .unwrap();
        let consoles = Consoles::new(Hypervisor::none(), external, &"qemu:///system".parse().unwrap());

        let now = SystemClock.now();
        let config = crate::tokens::Config::default();
        let tokens = Tokens::new(Parts {
            node: porthole_shared::names::NodeId::derived_from(&node()),
            urls: Urls { vnc: Some("https://edge.example/".parse().unwrap()), ..Urls::default() },
            lengths: (&crate::sessions::Config::default()).into(),
            consoles: consoles.clone(),
            keys: SigningKeys::open(state.path(), &config, 3600, now).unwrap(),
            store: Store::open(state.path(), now).await.unwrap(),
            clock: Arc::new(SystemClock),
            audit: Audit::off(),
            tasks: TaskTracker::new(),
            config,
        });
        let sessions = Sessions::new(&crate::sessions::Config::default());
        let pings = Pings::from(&crate::sessions::Config::default());
        let (config, clock) = (serial::Config::default(), Arc::new(SystemClock));
        let serial = Serial::new(&config, state.path(), consoles.clone(), clock, Arc::default(), Shutdown::default());
        let services = Services { consoles, tokens, sessions, serial, audit: Audit::off(), pings };

        let files = pki.issue("agent", agent_role(NODE), &[]);
        let mut table = json!({"listen": ["127.0.0.1:0"], "certificate": files.certificate, "key": files.key,
                               "ca": files.ca});
        table.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let tunnel = Tunnel::bind(&serde_json::from_value(table).unwrap()).unwrap();
        let (addresses, trust) = (tunnel.addresses().unwrap(), tunnel.trust().clone());
        let shutdown = Shutdown::default();
        let serving = tunnel.run(services.clone(), shutdown.clone());
        let served = tokio::spawn(async move { serving.await.unwrap() });
        Self { pki, tunnel: addresses, trust, services, shutdown, console, listener, served, _state: state }
    }

    /// An edge's TLS configurations.
    fn edge(&self, name: &str) -> EdgeClientConfigs {
        EdgeClientConfigs::load(&self.pki.issue(name, edge_role(name), &[])).unwrap()
    }

    async fn dial(&self, configs: &EdgeClientConfigs) -> io::Result<TlsStream<TcpStream>> {
        dial(self.tunnel[0], configs).await
    }

    /// A connection of an edge, for requests.
    async fn connect(&self) -> SendRequest<Full<Bytes>> {
        speak(self.dial(&self.edge("edge-1")).await.unwrap()).await
    }

    async fn mint(&self, policy: Policy) -> Token {
        let request = MintRequest {
            console: self.console.to_string(),
            kind: None,
            index: 0,
            policy: Some(policy),
            ttl: None,
            grace: None,
            rights: RightsWanted::default(),
            requestor: None,
            minted_by: None,
        };
        self.services.tokens.mint(request).await.unwrap().token
    }

    /// A running session: the client's end, and the console's.
    async fn open(&self, wanted: &ConsoleRequest) -> (Client, TcpStream) {
        let mut edge = self.connect().await;
        let (response, accepted) = tokio::join!(send(&mut edge, console_request(wanted)), self.listener.accept());
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS, "{:?}", response.headers());
        (upgrade(response).await, accepted.unwrap().0)
    }

    /// Until no session is live.
    async fn quiet(&self) {
        let quiet = async {
            while !self.services.sessions.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, quiet).await.expect("a session is still live");
    }

    /// Tells it to stop, and waits until it has.
    async fn stop(self) {
        self.shutdown.soft.cancel();
        self.shutdown.hard.cancel();
        timeout(PATIENCE, self.served).await.expect("the tunnel goes on").unwrap();
    }
}

type Client = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

fn node() -> NodeName {
    NODE.parse().unwrap()
}

async fn dial(to: SocketAddr, configs: &EdgeClientConfigs) -> io::Result<TlsStream<TcpStream>> {
    let agent = AgentIdentity::Role(node());
    let stream = TcpStream::connect(to).await?;
    let connecting = TlsConnector::from(configs.for_agent(&agent)).connect(agent.server_name().unwrap(), stream);
    timeout(PATIENCE, connecting).await.unwrap()
}

async fn speak(tls: TlsStream<TcpStream>) -> SendRequest<Full<Bytes>> {
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.unwrap();
    drop(tokio::spawn(connection.with_upgrades()));
    sender
}

async fn send(edge: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> Response<Incoming> {
    timeout(PATIENCE, edge.send_request(request)).await.unwrap().unwrap()
}

async fn body(response: Response<Incoming>) -> Bytes {
    timeout(PATIENCE, response.into_body().collect()).await.unwrap().unwrap().to_bytes()
}

fn wanted(token: Token) -> ConsoleRequest {
    let address = "[2001:db8::7]:40000".parse().unwrap();
    let client = ClientFacts { address, tls: Some(ClientTls::V13), edge_instance: EdgeInstance::random() };
    ConsoleRequest {
        presented: Presented { token, binding: None, client },
        key: WebSocketKey::parse(KEY).unwrap(),
        binary: true,
        serial: false,
    }
}

fn request(method: &str, path: &str, headers: HeaderMap, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body.into()));
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = path.parse().unwrap();
    *request.headers_mut() = headers;
    request
}

fn console_request(wanted: &ConsoleRequest) -> Request<Full<Bytes>> {
    let mut headers = HeaderMap::new();
    wanted.write(&mut headers);
    request("GET", CONSOLE_PATH, headers, "")
}

/// The same as an edge writes it.
fn console_request_text(wanted: &ConsoleRequest) -> String {
    let mut headers = HeaderMap::new();
    wanted.write(&mut headers);
    let mut text = format!("GET {CONSOLE_PATH} HTTP/1.1\r\n");
    for (name, value) in &headers {
        text.extend([name.as_str(), ": ", value.to_str().unwrap(), "\r\n"]);
    }
    text + "\r\n"
}

async fn upgrade(response: Response<Incoming>) -> Client {
    let upgraded = timeout(PATIENCE, hyper::upgrade::on(response)).await.unwrap().unwrap();
    let role = tokio_tungstenite::tungstenite::protocol::Role::Client;
    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), role, None).await
}

async fn next(client: &mut Client) -> Message {
    timeout(PATIENCE, client.next()).await.unwrap().unwrap().unwrap()
}

/// The close frame that it is sent, whatever comes before; then its end.
async fn farewell(mut client: Client) -> CloseFrame {
    loop {
        if let Message::Close(frame) = next(&mut client).await {
            let _end = timeout(PATIENCE, client.next()).await.unwrap();
            return frame.unwrap();
        }
    }
}

/// A refusal is a status and a reason, and nothing else.
async fn assert_refused(response: Response<Incoming>, reason: Reason) {
    assert_eq!(response.status(), reason.status(), "{:?}", response.headers());
    assert_eq!(response.headers()[REASON], reason.code());
    assert_eq!(body(response).await, "");
}
