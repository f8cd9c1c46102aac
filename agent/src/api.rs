//! The agent's API, `/v1`, for its own host and, where that is configured, for the network: HTTP, JSON, errors as RFC 9457
//! problem details.
//!
//! ```text
//!  unix socket ── peer: who is there? ──┐
//!                                       ├──► connection ──► admission ──► role? ──► routes
//!  network ── TLS 1.3, certificate? ────┘    HTTP/1.1,      401, 429      403         └──► consoles, tokens, sessions
//!                                            bounds
//! ```
//!
//! What there is, is in the code beside each handler, and served as `OpenAPI` at `/v1/openapi.json`. Here HTTP becomes
//! calls of the use cases and back; nothing is decided here but who may ask.
//!
//! **Invariants**: without TLS nothing is served on a network; a certificate of an edge is never good for the API;
//! nothing is read of a request but its head before its caller is known; each handler stands behind an operation of
//! [`Role::scope`](crate::callers::Role::scope).

mod admission;
mod certificates;
mod config;
mod connection;
mod description;
mod extract;
mod failures;
mod idempotency;
mod network;
mod page;
mod problem;
mod routes;
mod schema;

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::serve::Listener;
use http::StatusCode;
use nix::unistd::geteuid;
use porthole_shared::clock::Clock;
use porthole_shared::lifecycle::Shutdown;
use porthole_shared::names::{NodeId, NodeName};
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::admission::{Gate, Peer};
pub use self::config::{Client, Config};
use self::description::{Frame, guarded};
use self::idempotency::Keys;
pub use self::network::{Network, NetworkError};
use self::problem::Problem;
use self::routes::tokens::TokenView;
use self::routes::{api_tokens, audit, consoles, definitions, events, ports, serial, sessions, status, tokens};
use crate::audit::Audit;
use crate::callers::{ApiTokens, Caller, CallerName, Operation, Role};
use crate::consoles::Consoles;
use crate::definitions::Definitions;
use crate::feed::Feed;
use crate::hook::Calls;
use crate::ports::Ports;
use crate::serial::Serial;
use crate::sessions::Sessions;
use crate::tokens::Tokens;
use crate::tunnel::Trust;
use crate::unix::Socket;
use crate::websocket::Pings;

/// The most connections to the unix socket at once.
const MAX_CONNECTIONS: usize = 64;

/// How long a request may take. Listing asks libvirt about each domain.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What the API is made of.
#[derive(Debug)]
pub struct Parts {
    /// `[api]`.
    pub config: Config,
    /// The node's name.
    pub node: NodeName,
    /// Its id in tokens.
    pub id: NodeId,
    /// The agent's certificate, for its expiry, and who is an edge.
    pub trust: Trust,
    /// The consoles.
    pub consoles: Consoles,
    /// Their tokens.
    pub tokens: Tokens,
    /// What is live.
    pub sessions: Sessions,
    /// The serial ports of domains.
    pub serial: Serial,
    /// How clients of these that vanished are noticed.
    pub pings: Pings,
    /// Which ports are whose.
    pub ports: Ports,
    /// What domains' consoles are defined to be.
    pub definitions: Definitions,
    /// What libvirt's hook has told.
    pub hook: Calls,
    /// Who may call by showing a token.
    pub api_tokens: ApiTokens,
    /// What happens.
    pub feed: Feed,
    /// What happened.
    pub audit: Audit,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// What the API offers. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Api(Arc<Shared>);

/// What handlers have.
#[derive(Debug)]
struct Shared {
    parts: Parts,
    gate: Gate,
    minted: Keys<TokenView>,
    description: Value,
}

impl Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}

impl Api {
    /// Puts it together.
    pub fn new(parts: Parts) -> Self {
        let Parts { config, api_tokens, trust, clock, .. } = &parts;
        let gate = Gate::new(api_tokens.clone(), &config.client, trust.clone(), Arc::clone(clock));
        let (_, description) = Self::resources().split_for_parts();
        let description = description::finish(description);
        Self(Arc::new(Shared { parts, gate, minted: Keys::default(), description }))
    }

    /// Whatever there is, with the operation that it is.
    fn resources() -> OpenApiRouter<Self> {
        OpenApiRouter::with_openapi(Frame::openapi())
            .routes(guarded(Operation::ListConsoles, routes!(consoles::list)))
            .routes(guarded(Operation::ListExternalConsoles, routes!(consoles::external)))
            .routes(guarded(Operation::ReadSerial, routes!(serial::show)))
            .routes(guarded(Operation::ReadSerial, routes!(serial::output)))
            .routes(guarded(Operation::AttachSerial, routes!(serial::attach::attach)))
            .routes(guarded(Operation::ShowDefinition, routes!(definitions::show)))
            .routes(guarded(Operation::DefineConsoles, routes!(definitions::apply, definitions::remove)))
            .routes(guarded(Operation::DefineConsoles, routes!(definitions::render)))
            .routes(guarded(Operation::DefineConsoles, routes!(definitions::merge)))
            .routes(guarded(Operation::ListPorts, routes!(ports::list)))
            .routes(guarded(Operation::AllocatePorts, routes!(ports::allocate)))
            .routes(guarded(Operation::AllocatePorts, routes!(ports::release)))
            .routes(guarded(Operation::MintToken, routes!(tokens::mint)))
            .routes(guarded(Operation::ListTokens, routes!(tokens::list)))
            .routes(guarded(Operation::RevokeToken, routes!(tokens::revoke_all_of)))
            .routes(guarded(Operation::RevokeToken, routes!(tokens::revoke)))
            .routes(guarded(Operation::ListSessions, routes!(sessions::list)))
            .routes(guarded(Operation::KillSession, routes!(sessions::kill_all_of)))
            .routes(guarded(Operation::KillSession, routes!(sessions::kill)))
            .routes(guarded(Operation::FollowEvents, routes!(events::follow)))
            .routes(guarded(Operation::ReadAudit, routes!(audit::show)))
            .routes(guarded(Operation::ListApiTokens, routes!(api_tokens::list)))
            .routes(guarded(Operation::CreateApiToken, routes!(api_tokens::create)))
            .routes(guarded(Operation::RevokeApiToken, routes!(api_tokens::revoke)))
            .routes(guarded(Operation::RotateSigningKeys, routes!(status::rotate)))
            .routes(guarded(Operation::ShowStatus, routes!(status::show)))
            .routes(guarded(Operation::ReadDescription, routes!(description::show)))
    }

    fn router(self) -> Router {
        let (router, _) = Self::resources().split_for_parts();
        let gate = self.0.gate.clone();
        router
            .fallback(async || Problem::new(StatusCode::NOT_FOUND, "no_such_resource", "there is no such resource"))
            .method_not_allowed_fallback(async || {
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not with this method")
            })
            .layer(from_fn(in_time))
            .layer(from_fn_with_state(gate, admission::admit))
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
pub async fn run(mut socket: Socket, network: Network, api: Api, shutdown: Shutdown) -> Result<(), Infallible> {
    let (feed, group_role) = (api.feed.clone(), api.config.group_role);
    let router = api.router();
    let connections = TaskTracker::new();
    tokio::select! {
        () = accept(&mut socket, group_role, &router, &connections, &shutdown) => {}
        () = network.accept(&router, &connections, &shutdown) => {}
        () = shutdown.soft.cancelled() => {}
    }
    drop(socket);
    feed.close();
    connections.close();
    let _cut_off = shutdown.hard.run_until_cancelled(connections.wait()).await;
    Ok(())
}

/// Accepts at the unix socket for as long as it is polled.
async fn accept(
    socket: &mut Socket,
    group_role: Role,
    router: &Router,
    connections: &TaskTracker,
    shutdown: &Shutdown,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Never closed.
        let place = Arc::clone(&places).acquire_owned().await.ok();
        // Waits and goes on where the process is out of descriptors.
        let (stream, _address) = Listener::accept(&mut socket.listener).await;
        let (router, shutdown, allowed) = (router.clone(), shutdown.clone(), socket.allowed);
        drop(connections.spawn(async move {
            match allowed.admit(&stream).await {
                Ok(Ok(uid)) => {
                    tracing::trace!(uid, "connection to the API");
                    let peer = Peer::Local(local_caller(uid, group_role));
                    connection::serve(stream, Some(peer), router, &shutdown).await;
                }
                Ok(Err(refusal)) => {
                    tracing::warn!(%refusal, "connection to the API refused");
                    let problem = Problem::new(StatusCode::FORBIDDEN, "not_allowed", refusal.to_string());
                    refuse(stream, problem, &shutdown).await;
                }
                Err(error) => tracing::warn!(%error, "cannot tell who connects to the API"),
            }
            drop(place);
        }));
    }
}

/// Root and the agent's own user may do everything; whoever else the socket lets in is of the group.
fn local_caller(uid: u32, group_role: Role) -> Caller {
    let role = if uid == 0 || uid == geteuid().as_raw() { Role::Admin } else { group_role };
    Caller { name: CallerName::User(uid), role }
}

async fn refuse(stream: UnixStream, problem: Problem, shutdown: &Shutdown) {
    connection::serve(stream, None, Router::new().fallback(async || problem), shutdown).await;
}

#[cfg(test)]
mod tests;
