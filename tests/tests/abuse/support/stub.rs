//! An agent of the test's own: the right certificate, a signing key that is ours, and answers to the test's taste.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use porthole_shared::clock::{Clock as _, SystemClock};
use porthole_shared::names::{ConsoleKind, NodeId, TokenId};
use porthole_shared::tls::{IdentityFiles, agent_server_config};
use porthole_shared::token::{Claims, KeySet, SigningKey};
use porthole_shared::tunnel::{CONSOLE_PATH, INSPECT_PATH, JWKS_PATH, WebSocketKey};
use porthole_tests::edge::{Edge, Node};
use porthole_tests::pki::{Files, Pki};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Duration, interval};
use tokio_rustls::TlsAcceptor;

/// What the stub says to a request.
#[derive(Debug, Clone)]
pub(crate) struct Saying {
    /// At once, in one write. `{accept}` stands for the right `Sec-WebSocket-Accept`.
    bytes: Vec<u8>,
    then: Then,
}

/// And then?
#[derive(Debug, Clone, Copy)]
pub(crate) enum Then {
    /// Nothing more, until the edge goes.
    Hold,
    /// An orderly end.
    Close,
    /// What comes is sent back.
    Echo,
    /// This, over and over, as fast as it is taken.
    Forever(&'static [u8]),
    /// This, over and over, now and then.
    Drip(&'static [u8]),
}

impl Saying {
    pub(crate) fn new(bytes: impl Into<Vec<u8>>, then: Then) -> Self {
        Self { bytes: bytes.into(), then }
    }

    /// A head (its lines joined by `\n`) and then nothing more.
    pub(crate) fn head(lines: &str) -> Self {
        Self::new(format!("{}\r\n\r\n", lines.replace('\n', "\r\n")), Then::Hold)
    }

    /// The right `101`, with more header lines if need be, and an echo behind it.
    pub(crate) fn switching(more: &str) -> Self {
        let mut lines = String::from(
            "HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Accept: {accept}",
        );
        if !more.is_empty() {
            lines.extend(["\n", more]);
        }
        Self { then: Then::Echo, ..Self::head(&lines) }
    }

    #[must_use]
    pub(crate) fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    /// More bytes in the same write.
    #[must_use]
    pub(crate) fn and(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }
}

/// A running stub. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Stub {
    name: String,
    address: SocketAddr,
    key: SigningKey,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    tls: Mutex<Arc<ServerConfig>>,
    keys: Mutex<Saying>,
    console: Mutex<Saying>,
    inspection: Mutex<Saying>,
    fetches: AtomicUsize,
    asked: Mutex<Vec<String>>,
}

impl Stub {
    /// One with the certificate of the node of this name. It has its own signing key and opens an echo.
    pub(crate) async fn start(name: &str, pki: &Pki) -> Self {
        let key = SigningKey::generate().unwrap().0;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            tls: Mutex::new(server_config(&pki.agent(name).await.unwrap())),
            keys: Mutex::new(publishing([&key])),
            console: Mutex::new(Saying::switching("Sec-WebSocket-Protocol: binary")),
            inspection: Mutex::new(Saying::head("HTTP/1.1 500 Internal Server Error")),
            fetches: AtomicUsize::new(0),
            asked: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(Arc::clone(&serving), stream));
            }
        });
        Self { name: name.to_owned(), address, key, shared, accepting }
    }

    pub(crate) fn node(&self) -> Node {
        Node::new(&self.name, self.address)
    }

    pub(crate) fn key(&self) -> &SigningKey {
        &self.key
    }

    /// A good token of this node.
    pub(crate) fn token(&self) -> String {
        token(&self.name, &self.key)
    }

    /// The URL of a console of this node.
    pub(crate) fn link(&self, edge: &Edge) -> String {
        link(edge, &self.token())
    }

    /// What to say to a request for a console, from now on.
    pub(crate) fn says(&self, saying: Saying) {
        *self.shared.console.lock().unwrap() = saying;
    }

    /// What to say to the question what a token is for.
    pub(crate) fn explains(&self, saying: Saying) {
        *self.shared.inspection.lock().unwrap() = saying;
    }

    /// What to say when asked for keys.
    pub(crate) fn publishes(&self, saying: Saying) {
        *self.shared.keys.lock().unwrap() = saying;
    }

    /// Be somebody else from now on.
    pub(crate) fn show(&self, files: &Files) {
        *self.shared.tls.lock().unwrap() = server_config(files);
    }

    /// How often it was asked for its keys.
    pub(crate) fn fetches(&self) -> usize {
        self.shared.fetches.load(Ordering::SeqCst)
    }

    /// The heads of all requests for a console so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// These keys, as an agent publishes them.
pub(crate) fn publishing<'a>(keys: impl IntoIterator<Item = &'a SigningKey>) -> Saying {
    let set = KeySet::publish(keys).unwrap();
    let head = format!("HTTP/1.1 200 OK\ncontent-type: application/json\ncontent-length: {}", set.len());
    Saying::head(&head).and(&set)
}

/// A token in the name of a node, signed by this key.
pub(crate) fn token(node: &str, key: &SigningKey) -> String {
    let now = SystemClock.now();
    let claims = Claims {
        node: NodeId::derived_from(&node.parse().unwrap()),
        kind: ConsoleKind::Tcp,
        jti: TokenId::random(),
        iat: now,
        redeem_by: now.plus(600),
        exp: now.plus(3600),
    };
    key.sign(&claims).unwrap().expose().to_owned()
}

pub(crate) fn link(edge: &Edge, token: &str) -> String {
    format!("{}/console?token={token}", edge.url())
}

fn server_config(files: &Files) -> Arc<ServerConfig> {
    let Files { certificate, key, ca } = files.clone();
    agent_server_config(&IdentityFiles { certificate, key, ca }).unwrap()
}

/// One request; what breaks, breaks.
async fn serve(shared: Arc<Shared>, stream: TcpStream) -> Option<()> {
    let config = Arc::clone(&shared.tls.lock().unwrap());
    let mut stream = TlsAcceptor::from(config).accept(stream).await.ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let path = head.split(' ').nth(1)?;
    let saying = if path == JWKS_PATH {
        shared.fetches.fetch_add(1, Ordering::SeqCst);
        shared.keys.lock().unwrap().clone()
    } else if path == INSPECT_PATH {
        shared.inspection.lock().unwrap().clone()
    } else if path == CONSOLE_PATH {
        shared.asked.lock().unwrap().push(head.clone());
        shared.console.lock().unwrap().clone()
    } else {
        Saying::head("HTTP/1.1 404 Not Found\ncontent-length: 0")
    };
    let bytes = with_accept(saying.bytes, &head);
    stream.write_all(&bytes).await.ok()?;
    stream.flush().await.ok()?;
    let (mut reading, mut writing) = tokio::io::split(stream);
    match saying.then {
        Then::Hold => drop(tokio::io::copy(&mut reading, &mut tokio::io::sink()).await),
        Then::Close => drop(writing.shutdown().await),
        Then::Echo => drop(tokio::io::copy(&mut reading, &mut writing).await),
        Then::Forever(more) => {
            let many = more.repeat(1 + 16 * 1024 / more.len());
            while writing.write_all(&many).await.is_ok() {}
        }
        Then::Drip(more) => {
            let mut ticks = interval(Duration::from_millis(100));
            while writing.write_all(more).await.is_ok() && writing.flush().await.is_ok() {
                ticks.tick().await;
            }
        }
    }
    Some(())
}

fn with_accept(bytes: Vec<u8>, head: &str) -> Vec<u8> {
    const PLACE: &[u8] = b"{accept}";
    let Some(at) = bytes.windows(PLACE.len()).position(|window| window == PLACE) else { return bytes };
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap_or_default();
    let accept = WebSocketKey::parse(key.trim()).map(|key| key.accept()).unwrap_or_default();
    [&bytes[..at], accept.as_bytes(), &bytes[at + PLACE.len()..]].concat()
}
