//! The agent's API, `/v1`, for its own host: HTTP over a unix socket, JSON, errors as RFC 9457 problem details.
//!
//! | request | does |
//! |---|---|
//! | `GET /v1/consoles` | lists domains and external consoles |
//! | `POST /v1/tokens` | makes a token and the URL that opens its console |
//! | `GET /v1/tokens` | lists them: `console`, `requestor`, `all`; `limit` and `after` |
//! | `DELETE /v1/tokens?console=&requestor=` | withdraws all that are meant, and ends what they opened |
//! | `DELETE /v1/tokens/{id}` | withdraws one; with `keep_sessions=true`, what it opened goes on |
//! | `GET /v1/sessions` | lists live sessions: `console`, `requestor`, `client` |
//! | `DELETE /v1/sessions?console=&requestor=` | ends all that are meant, and withdraws their tokens |
//! | `DELETE /v1/sessions/{id}` | ends one, and withdraws its token |
//! | `GET /v1/audit` | what happened: `since`, `until`, `console`, `requestor`, `event`; `limit` and `after` |
//! | `POST /v1/signing-keys/rotate` | lets the next signing key sign |
//! | `GET /v1/status` | says how the agent is |
//!
//! Here HTTP becomes calls of the use cases and back; nothing is decided here. Whoever may use this socket can open any
//! console of the host, so the kernel is asked who is there: root, the agent's own user, or a member of the group.

mod config;
mod peer;
mod problem;
mod routes;
mod socket;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::serve::Listener;
use http::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use porthole_shared::lifecycle::Shutdown;
use porthole_shared::names::{NodeId, NodeName};
use porthole_shared::tunnel::MAX_BODY_BYTES;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

pub use self::config::Config;
use self::problem::Problem;
use self::routes::{sessions, tokens};
pub use self::socket::{BindError, Socket};
use crate::audit::Audit;
use crate::consoles::Consoles;
use crate::sessions::Sessions;
use crate::tokens::Tokens;
use crate::tunnel::Trust;

/// The most connections at once.
const MAX_CONNECTIONS: usize = 64;

/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request may take. Listing asks libvirt about each domain.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest request head, and what is buffered of a connection.
const MAX_BUFFER: usize = 16 * 1024;

/// What the API offers.
#[derive(Debug, Clone)]
pub struct Api {
    /// The node's name.
    pub node: NodeName,
    /// Its id in tokens.
    pub id: NodeId,
    /// The agent's certificate, for its expiry.
    pub trust: Trust,
    /// The consoles.
    pub consoles: Consoles,
    /// Their tokens.
    pub tokens: Tokens,
    /// What is live.
    pub sessions: Sessions,
    /// What happened.
    pub audit: Audit,
}

impl Api {
    fn router(self) -> Router {
        Router::new()
            .route("/v1/consoles", get(routes::consoles))
            .route("/v1/tokens", post(tokens::mint).get(tokens::tokens).delete(tokens::revoke_all_of))
            .route("/v1/tokens/{id}", delete(tokens::revoke))
            .route("/v1/sessions", get(sessions::sessions).delete(sessions::kill_all_of))
            .route("/v1/sessions/{id}", delete(sessions::kill))
            .route("/v1/audit", get(routes::audit::audit))
            .route("/v1/signing-keys/rotate", post(routes::rotate))
            .route("/v1/status", get(routes::status))
            .fallback(async || Problem::new(StatusCode::NOT_FOUND, "no_such_resource", "there is no such resource"))
            .method_not_allowed_fallback(async || {
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not with this method")
            })
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .layer(from_fn(in_time))
            .with_state(self)
    }
}

async fn in_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await.unwrap_or_else(|_| {
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "the request took too long; libvirt may hang")
            .into_response()
    })
}

/// Serves until the agent stops. Requests that have begun are finished.
pub async fn run(mut socket: Socket, api: Api, shutdown: Shutdown) -> Result<(), Infallible> {
    let router = api.router();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let accepted = async {
            // Never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            // Waits and goes on where the process is out of descriptors.
            let (stream, _address) = Listener::accept(&mut socket.listener).await;
            (stream, place)
        };
        let Some((stream, place)) = shutdown.soft.run_until_cancelled(accepted).await else { break };
        let (router, shutdown, allowed) = (router.clone(), shutdown.clone(), socket.allowed);
        drop(connections.spawn(async move {
            match allowed.admit(&stream).await {
                Ok(Ok(uid)) => {
                    tracing::trace!(uid, "connection to the API");
                    serve(stream, router, &shutdown).await;
                }
                Ok(Err(refusal)) => {
                    tracing::warn!(%refusal, "connection to the API refused");
                    let problem = Problem::new(StatusCode::FORBIDDEN, "not_allowed", refusal.to_string());
                    serve(stream, Router::new().fallback(async || problem), &shutdown).await;
                }
                Err(error) => tracing::warn!(%error, "cannot tell who connects to the API"),
            }
            drop(place);
        }));
    }
    drop(socket);
    connections.close();
    let _cut_off = shutdown.hard.run_until_cancelled(connections.wait()).await;
    Ok(())
}

async fn serve(stream: UnixStream, router: Router, shutdown: &Shutdown) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.soft.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match shutdown.hard.run_until_cancelled(connection).await {
                Some(ended) => ended,
                None => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the API ended badly");
    }
}

#[cfg(test)]
mod tests;
