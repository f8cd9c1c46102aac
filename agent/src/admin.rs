//! The admin listener: is this process alive, can it do its work, and what has it done?
//!
//! | path | answers |
//! |---|---|
//! | `/healthz` | 200 while the process is not stuck |
//! | `/readyz` | [`Readiness`]: 200 or 503, as text, or as JSON where that is accepted |
//! | `/metrics` | [`Metrics`] as `OpenMetrics` text |
//!
//! It goes on answering while sessions drain. There is no authentication, and nothing here that tells of a token, a
//! console or a person; it listens on loopback unless it is told otherwise.

mod config;
mod health;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::serve::Listener;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use porthole_shared::clock::Clock;
use porthole_shared::health::Readiness;
use porthole_shared::lifecycle::Shutdown;
use porthole_shared::reload;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use self::config::Config;
use self::health::Health;
use crate::consoles::Consoles;
use crate::metrics::{self, Metrics, instruments};
use crate::sessions::Sessions;
use crate::store::Store;
use crate::tokens::Tokens;
use crate::tunnel::Trust;

/// The most connections at once.
const MAX_CONNECTIONS: usize = 32;

/// How long a connection may last, idle time included.
const LONGEST: Duration = Duration::from_secs(30);

/// The largest request head.
const MAX_HEAD: usize = 8 * 1024;

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ([admin] listen)")]
pub struct BindError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// What is told of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Draining begins with its soft token.
    pub shutdown: Shutdown,
    /// libvirt, and whether there are consoles without it.
    pub consoles: Consoles,
    /// The database.
    pub store: Store,
    /// Mints and redeems.
    pub tokens: Tokens,
    /// Who is connected.
    pub sessions: Sessions,
    /// What edges are answered.
    pub tunnel: instruments::Tunnel,
    /// The certificate.
    pub trust: Trust,
    /// The configuration file.
    pub reloads: reload::Report,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// Bound, and not serving yet.
#[derive(Debug)]
pub struct Admin(TcpListener);

/// What is answered.
#[derive(Debug, Clone)]
pub struct Answers {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

impl Answers {
    /// Of these.
    pub fn new(parts: Parts) -> Self {
        let metrics = Arc::new(Metrics::new(&parts));
        Self { health: Arc::new(Health::new(parts)), metrics }
    }

    fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/metrics", get(scrape))
            .fallback(async || (StatusCode::NOT_FOUND, "not found: try /healthz, /readyz or /metrics\n"))
            .with_state(self)
    }
}

impl Admin {
    /// Listens.
    pub async fn bind(config: &Config) -> Result<Self, BindError> {
        let address = config.listen;
        TcpListener::bind(address).await.map(Self).map_err(|source| BindError { address, source })
    }

    /// Where it listens: tests bind port 0.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Serves until the process is told to drop everything.
    pub async fn run(mut self, answers: Answers, shutdown: Shutdown) -> Result<(), Infallible> {
        let router = answers.router();
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let accepted = async {
                // Never closed.
                let place = Arc::clone(&places).acquire_owned().await.ok();
                // Waits and goes on where the process is out of descriptors.
                let (stream, _from) = Listener::accept(&mut self.0).await;
                (stream, place)
            };
            let Some((stream, place)) = shutdown.hard.run_until_cancelled(accepted).await else { return Ok(()) };
            let (router, hard) = (router.clone(), shutdown.hard.clone());
            drop(tokio::spawn(async move {
                let _cut_off = hard.run_until_cancelled(timeout(LONGEST, serve(stream, router))).await;
                drop(place);
            }));
        }
    }
}

async fn serve(stream: TcpStream, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(LONGEST)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = served.await {
        tracing::debug!(%error, "admin connection ended");
    }
}

async fn healthz(headers: HeaderMap) -> Response {
    #[derive(Serialize)]
    struct Alive {
        status: &'static str,
    }
    worded(&headers, StatusCode::OK, &Alive { status: "alive" }, "alive\n".to_owned())
}

async fn readyz(State(answers): State<Answers>, headers: HeaderMap) -> Response {
    let readiness: Readiness = answers.health.readiness().await;
    worded(&headers, readiness.code(), &readiness, readiness.text())
}

async fn scrape(State(answers): State<Answers>) -> Response {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], answers.metrics.text()).into_response()
}

/// JSON for who asks for it, text for all others.
fn worded(headers: &HeaderMap, status: StatusCode, value: &impl Serialize, text: String) -> Response {
    let accepts = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut response = if accepts.contains("application/json") {
        (status, Json(value)).into_response()
    } else {
        (status, text).into_response()
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
