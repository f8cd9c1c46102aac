//! Connects to agents: over mutual TLS 1.3 to the node's own name, with requests that are built here.
//!
//! Nothing of a client's request goes on but the typed [`ConsoleRequest`], and nothing of an agent's answer comes back
//! but what is checked here: a `101` that fits the key, or a reason of the table. An agent is not trusted to be brief,
//! quick or right: heads, bodies and waiting times are bounded.
//!
//! Where nodes are is the directory's to know, whether a token is good enough to dial for is the gate's, and what is
//! done with the connection is the relay's.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use porthole_shared::binding::Subprotocol;
use porthole_shared::leg::Leg;
use porthole_shared::lifecycle::{Shutdown, chain};
use porthole_shared::names::EdgeInstance;
use porthole_shared::reason::Reason;
use porthole_shared::tls::{EdgeClientConfigs, IdentityFiles, TlsError, load_certificates};
use porthole_shared::token::KeySet;
use porthole_shared::tunnel::{
    CONSOLE_PATH, ConsoleRequest, DRAIN_PATH, Drain, Drained, INSPECT_PATH, Inspection, JWKS_PATH, Presented,
};
use porthole_shared::watch::FileWatch;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use crate::directory::{Config, Node};
use crate::gate::Admission;
use crate::metrics::instruments;
use porthole_shared::validity::Validity;

mod answer;
mod connect;
mod exchange;

pub use answer::InvalidAnswer;
pub use connect::ConnectError;
use connect::Connector;
use exchange::Exchange;

/// How long an agent may take from the request to the end of its answer. It may itself wait 5 s for libvirt.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// Dials agents. Clones share one state.
#[derive(Debug, Clone)]
pub struct Dialer {
    inner: Arc<Inner>,
    connector: Arc<Connector>,
}

#[derive(Debug)]
struct Inner {
    files: IdentityFiles,
    identity: ArcSwap<Identity>,
    connect_timeout: ArcSwap<Duration>,
    instruments: instruments::Agents,
}

/// What is presented to agents.
#[derive(Debug)]
struct Identity {
    tls: EdgeClientConfigs,
    validity: Validity,
}

impl Identity {
    fn load(files: &IdentityFiles) -> Result<Self, TlsError> {
        let tls = EdgeClientConfigs::load(files)?;
        let chain = load_certificates(&files.certificate)?;
        let leaf = chain.first().ok_or_else(|| TlsError::Empty { path: files.certificate.clone() })?;
        Ok(Self { tls, validity: Validity::of(leaf)? })
    }
}

/// A console that an agent has opened.
#[derive(Debug)]
pub struct AgentConsole {
    /// The connection to it.
    pub leg: Leg,
    /// What was read behind the answer's head.
    pub early: Bytes,
    /// The subprotocol that was chosen.
    pub subprotocol: Option<Subprotocol>,
}

/// An agent gave nothing of use.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// It was not reached.
    #[error("the agent was not reached")]
    Connect(#[from] ConnectError),
    /// It took too long.
    #[error("the agent did not answer in {ANSWER_DEADLINE:?}")]
    Slow,
    /// The connection broke, or what came is not HTTP within our bounds.
    #[error("the agent's answer cannot be read")]
    Broken(#[from] hyper::Error),
    /// The answer is not one of the protocol.
    #[error("the agent's answer makes no sense")]
    Invalid(#[from] InvalidAnswer),
    /// It said no.
    #[error("the agent refused: {0}")]
    Refused(Reason),
}

impl DialError {
    /// What a client is told.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Broken(error) if is_no_http(error) => Reason::AgentInvalid,
            Self::Connect(_) | Self::Slow | Self::Broken(_) => Reason::AgentUnreachable,
            Self::Invalid(_) => Reason::AgentInvalid,
            Self::Refused(reason) => *reason,
        }
    }
}

impl Dialer {
    /// Reads the edge's internal certificate and what it trusts.
    pub fn new(config: &Config) -> Result<Self, TlsError> {
        let inner = Inner {
            files: config.identity.clone(),
            identity: ArcSwap::from_pointee(Identity::load(&config.identity)?),
            connect_timeout: ArcSwap::from_pointee(config.connect_timeout.get()),
            instruments: instruments::Agents::default(),
        };
        Ok(Self { inner: Arc::new(inner), connector: Arc::new(Connector::new()) })
    }

    /// The same, with name lookups that do not wait for those of the others: for what anybody can cause.
    #[must_use]
    pub fn with_lookups_apart(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), connector: Arc::new(Connector::new()) }
    }

    /// From now on a connection may take so long.
    pub fn set_connect_timeout(&self, timeout: Duration) {
        self.inner.connect_timeout.store(Arc::new(timeout));
    }

    /// What is counted and measured of it.
    pub fn instruments(&self) -> &instruments::Agents {
        &self.inner.instruments
    }

    /// When the certificate towards agents is valid.
    pub fn validity(&self) -> Validity {
        self.inner.identity.load().validity
    }

    /// Reads the certificate files again whenever they change, until the process stops.
    pub async fn watch(self, shutdown: Shutdown) {
        let mut changes = FileWatch::new(self.inner.files.paths());
        loop {
            // At first, too: they may have changed between `new` and now.
            if let Err(error) = self.reload()
                && let Some(error) = changes.failed(&error)
            {
                tracing::error!(
                    error,
                    "the certificate towards agents cannot be used: the one read before stays in force"
                );
            }
            tokio::select! {
                () = shutdown.hard.cancelled() => return,
                () = changes.changed() => {}
            }
        }
    }

    fn reload(&self) -> Result<(), TlsError> {
        let identity = Identity::load(&self.inner.files)?;
        tracing::info!(valid_until = %identity.validity.not_after, "the certificate towards agents was read again");
        self.inner.identity.store(Arc::new(identity));
        Ok(())
    }

    /// Asks an agent to redeem a token and to open its console.
    pub async fn console(&self, node: &Node, admission: &Admission<ConsoleRequest>) -> Result<AgentConsole, Reason> {
        self.redeem(node, admission.request()).await
    }

    /// Asks an agent what a token is for.
    pub async fn inspect(&self, node: &Node, admission: &Admission<Presented>) -> Result<Inspection, Reason> {
        self.explain(node, admission.request()).await
    }

    async fn redeem(&self, node: &Node, request: &ConsoleRequest) -> Result<AgentConsole, Reason> {
        self.open(node, request).await.map_err(|error| told(node, "console", &error))
    }

    async fn explain(&self, node: &Node, presented: &Presented) -> Result<Inspection, Reason> {
        let mut request = asking(Method::POST, INSPECT_PATH, Bytes::new());
        presented.write(request.headers_mut());
        self.ask(node, request).await.map_err(|error| told(node, "inspect", &error))
    }

    /// Asks an agent for its public keys.
    pub async fn jwks(&self, node: &Node) -> Result<KeySet, DialError> {
        let body = self.ask_bytes(node, asking(Method::GET, JWKS_PATH, Bytes::new())).await?;
        Ok(KeySet::parse(&body).map_err(InvalidAnswer::Keys)?)
    }

    /// Tells an agent that this edge goes away.
    pub async fn drain(&self, node: &Node, instance: EdgeInstance) -> Result<Drained, DialError> {
        let body = serde_json::to_vec(&Drain { instance }).unwrap_or_default();
        let mut request = asking(Method::POST, DRAIN_PATH, body.into());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.ask(node, request).await
    }

    async fn open(&self, node: &Node, request: &ConsoleRequest) -> Result<AgentConsole, DialError> {
        let mut upgrade = asking(Method::GET, CONSOLE_PATH, Bytes::new());
        request.write(upgrade.headers_mut());
        self.exchange(node, upgrade, async |mut exchange: Exchange| {
            let head = exchange.head().await?;
            if head.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Err(refused(&head));
            }
            let subprotocol = answer::upgraded(&head, request)?;
            let (leg, early) = exchange.into_upgraded().await?;
            Ok(AgentConsole { leg, early, subprotocol })
        })
        .await
    }

    async fn ask<T: DeserializeOwned>(&self, node: &Node, request: Request<Full<Bytes>>) -> Result<T, DialError> {
        let body = self.ask_bytes(node, request).await?;
        Ok(serde_json::from_slice(&body).map_err(InvalidAnswer::Json)?)
    }

    async fn ask_bytes(&self, node: &Node, request: Request<Full<Bytes>>) -> Result<Bytes, DialError> {
        self.exchange(node, request, async |mut exchange: Exchange| {
            let head = exchange.head().await?;
            if head.status() != StatusCode::OK {
                return Err(refused(&head));
            }
            exchange.body(head).await
        })
        .await
    }

    /// One connection, one request; `read` reads the answer, under the deadline for it.
    async fn exchange<T>(
        &self,
        node: &Node,
        mut request: Request<Full<Bytes>>,
        read: impl AsyncFnOnce(Exchange) -> Result<T, DialError>,
    ) -> Result<T, DialError> {
        if let Ok(host) = HeaderValue::try_from(node.address.to_string()) {
            request.headers_mut().insert(HOST, host);
        }
        let began = Instant::now();
        let connected = self.connect(node).await;
        match &connected {
            Ok(_) => self.inner.instruments.reached(began.elapsed()),
            Err(_) => self.inner.instruments.not_reached(),
        }
        let (leg, asked) = (connected?, Instant::now());
        let answered = timeout(ANSWER_DEADLINE, async { read(Exchange::begin(leg, request).await?).await }).await;
        self.inner.instruments.answered(asked.elapsed());
        answered.unwrap_or(Err(DialError::Slow))
    }

    async fn connect(&self, node: &Node) -> Result<Leg, ConnectError> {
        let tls = self.inner.identity.load().tls.for_agent(&node.identity);
        let patience = **self.inner.connect_timeout.load();
        let connected = timeout(patience, self.connector.connect(node, tls)).await;
        connected.unwrap_or(Err(ConnectError::Slow(patience)))
    }
}

fn asking(method: Method, path: &'static str, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = http::Uri::from_static(path);
    request
}

/// What came cannot be read, as against: nothing came.
fn is_no_http(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    // hyper has no better word for a body whose chunks are none.
    error.is_parse()
        || error.is_parse_too_large()
        || cause.is_some_and(|cause| cause.kind() == io::ErrorKind::InvalidInput)
}

fn refused(head: &exchange::Head) -> DialError {
    match answer::refusal(head) {
        Ok(reason) => DialError::Refused(reason),
        Err(invalid) => invalid.into(),
    }
}

/// An agent's no is ordinary; everything else is an operator's business.
fn told(node: &Node, asked: &'static str, error: &DialError) -> Reason {
    let reason = error.reason();
    match error {
        DialError::Refused(_) => tracing::debug!(node = %node.name, asked, %reason, "refused"),
        DialError::Connect(_) | DialError::Slow | DialError::Broken(_) | DialError::Invalid(_) => {
            tracing::warn!(node = %node.name, address = %node.address, asked, error = chain(error), "an agent is of no use");
        }
    }
    reason
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
