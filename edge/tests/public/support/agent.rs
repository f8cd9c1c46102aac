//! An agent of the test's own: mutual TLS, the tunnel protocol, and consoles that send every byte back.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, SERVER, SET_COOKIE, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use porthole_shared::clock::{Clock as _, SystemClock, UnixTime};
use porthole_shared::names::{ConsoleKind, NodeId, NodeName, TokenId};
use porthole_shared::reason::Reason;
use porthole_shared::tls::{IdentityFiles, Role, agent_server_config};
use porthole_shared::token::{Claims, KeySet, SigningKey, Token};
use porthole_shared::tunnel::{
    CONSOLE_PATH, ConsoleRequest, DRAIN_PATH, Drain, Drained, INSPECT_PATH, Inspection, JWKS_PATH, Presented, REASON,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::pki::Pki;

/// What the agent does with a console request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Behaviour {
    /// Sends `hello`, then everything back, until the client ends or the edge drains; then says `bye`.
    Echo,
    /// As above, with fields in its answer that no browser may see.
    EchoAndLie,
    /// Says no.
    Refuse(Reason),
    /// Answers nothing.
    Silent,
}

/// Whether consoles were opened, with what, and what was drained.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) consoles: Vec<ConsoleRequest>,
    pub(crate) heads: Vec<HeaderMap>,
    pub(crate) drains: Vec<Drain>,
}

pub(crate) struct Agent {
    pub(crate) node: NodeName,
    pub(crate) address: SocketAddr,
    pub(crate) key: SigningKey,
    state: Arc<State>,
}

struct State {
    jwks: Vec<u8>,
    behaviour: Mutex<Behaviour>,
    seen: Mutex<Seen>,
    drained: CancellationToken,
}

impl Agent {
    pub(crate) async fn start(pki: &Pki, name: &str) -> Self {
        let node: NodeName = name.parse().unwrap();
        let files = pki.identity(name, &Role::Agent(node.clone()));
        let (key, _pkcs8) = SigningKey::generate().unwrap();
        let state = Arc::new(State {
            jwks: KeySet::publish([&key]).unwrap(),
            behaviour: Mutex::new(Behaviour::Echo),
            seen: Mutex::default(),
            drained: CancellationToken::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(tokio::spawn(listen(listener, files, Arc::clone(&state))));
        Self { node, address, key, state }
    }

    pub(crate) fn id(&self) -> NodeId {
        NodeId::derived_from(&self.node)
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock().unwrap() = behaviour;
    }

    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.state.seen.lock().unwrap())
    }

    /// A token that is good for ten minutes.
    pub(crate) fn token(&self) -> Token {
        self.token_from(SystemClock.now())
    }

    pub(crate) fn token_from(&self, iat: UnixTime) -> Token {
        self.key.sign(&self.claims(iat)).unwrap()
    }

    pub(crate) fn claims(&self, iat: UnixTime) -> Claims {
        Claims {
            node: self.id(),
            kind: ConsoleKind::Vnc,
            jti: TokenId::random(),
            iat,
            redeem_by: iat.plus(600),
            exp: iat.plus(3600),
        }
    }
}

async fn listen(listener: TcpListener, files: IdentityFiles, state: Arc<State>) {
    let acceptor = TlsAcceptor::from(agent_server_config(&files).unwrap());
    loop {
        let (tcp, _peer) = listener.accept().await.unwrap();
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        drop(tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(tcp).await else { return };
            let service = service_fn(move |request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, Infallible>(state.answer(request).await) }
            });
            // Broken connections are what some tests are about.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await);
        }));
    }
}

impl State {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match request.uri().path() {
            JWKS_PATH => Response::new(self.jwks.clone().into()),
            INSPECT_PATH => self.inspect(&request),
            DRAIN_PATH => {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                self.seen.lock().unwrap().drains.push(serde_json::from_slice(&body).unwrap());
                self.drained.cancel();
                Response::new(serde_json::to_vec(&Drained { closed: 1 }).unwrap().into())
            }
            CONSOLE_PATH => self.console(request).await,
            path => panic!("an edge asked for {path}"),
        }
    }

    fn inspect(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let presented = Presented::read(request.headers()).expect("a good inspect request");
        if let Behaviour::Refuse(reason) = *self.behaviour.lock().unwrap() {
            return refusal(reason);
        }
        let now = SystemClock.now();
        assert!(presented.token.unverified_origin().is_ok());
        let inspection = Inspection {
            kind: ConsoleKind::Vnc,
            name: "<guest> & co".parse().unwrap(),
            redeem_by: now.plus(600),
            expires: now.plus(3600),
            read_only: true,
            force: false,
            writer: None,
        };
        Response::new(serde_json::to_vec(&inspection).unwrap().into())
    }

    async fn console(self: Arc<Self>, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
        let console = ConsoleRequest::read(request.headers()).expect("a good console request");
        let behaviour = *self.behaviour.lock().unwrap();
        {
            let mut seen = self.seen.lock().unwrap();
            seen.consoles.push(console.clone());
            seen.heads.push(request.headers().clone());
        }
        let lies = match behaviour {
            Behaviour::Refuse(reason) => return refusal(reason),
            Behaviour::Silent => return std::future::pending().await,
            Behaviour::Echo => false,
            Behaviour::EchoAndLie => true,
        };
        let upgrade = hyper::upgrade::on(&mut request);
        let drained = self.drained.clone();
        drop(tokio::spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                echo(TokioIo::new(upgraded), drained).await;
            }
        }));
        let mut response = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_ACCEPT, console.key.accept());
        if console.binary {
            response = response.header(SEC_WEBSOCKET_PROTOCOL, "binary");
        }
        if lies {
            response = response.header(SET_COOKIE, "evil=1").header(SERVER, "evil").header("x-evil", "1");
        }
        response.body(Full::default()).unwrap()
    }
}

fn refusal(reason: Reason) -> Response<Full<Bytes>> {
    Response::builder().status(reason.status()).header(REASON, reason.code()).body(Full::default()).unwrap()
}

async fn echo(mut stream: TokioIo<Upgraded>, drained: CancellationToken) {
    let mut buffer = vec![0; 64 * 1024];
    stream.write_all(b"hello").await.unwrap();
    loop {
        let read = tokio::select! {
            read = stream.read(&mut buffer) => read,
            () = drained.cancelled() => Ok(0),
        };
        match read {
            Ok(0) | Err(_) => break,
            Ok(count) => {
                if stream.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
    // The client may be gone.
    let _said = stream.write_all(b"bye").await;
    let _ended = stream.shutdown().await;
}
