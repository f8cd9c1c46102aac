//! The resources of `/v1`, their JSON, and what each asks of the rest of the agent.

use std::future::Future;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use http::StatusCode;
use porthole_shared::config::Duration;
use porthole_shared::names::{ConsoleId, ConsoleKind, ConsoleName, ConsoleSource, ConsoleUuid, EdgeName, Requestor};
use porthole_shared::names::{NodeId, NodeName, SessionId, TokenId};
use porthole_shared::reason::Reason;
use porthole_shared::token::KeyId;
use serde::{Deserialize, Serialize};

use super::Api;
use super::problem::Problem;
use crate::consoles::Owner;
use crate::sessions::LiveSession;
use crate::tokens::{MintRequest, Minted, Policy, RevokeError, RightsWanted};

#[derive(Debug, Serialize)]
pub(super) struct ConsoleList {
    consoles: Vec<ConsoleView>,
}

#[derive(Debug, Serialize)]
struct ConsoleView {
    source: ConsoleSource,
    uuid: ConsoleUuid,
    name: ConsoleName,
    state: &'static str,
    kinds: Vec<KindView>,
}

#[derive(Debug, Serialize)]
struct KindView {
    kind: ConsoleKind,
    index: u8,
}

impl From<Owner> for ConsoleView {
    fn from(owner: Owner) -> Self {
        let Owner { source, uuid, name, state, kinds } = owner;
        let kinds = kinds.into_iter().map(|kind| KindView { kind: kind.kind, index: kind.index }).collect();
        Self { source, uuid, name, state: state.as_str(), kinds }
    }
}

/// `GET /v1/consoles`
pub(super) async fn consoles(State(api): State<Api>) -> Result<Json<ConsoleList>, Problem> {
    let owners = api.consoles.list().await?;
    Ok(Json(ConsoleList { consoles: owners.into_iter().map(ConsoleView::from).collect() }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenWanted {
    console: String,
    kind: Option<ConsoleKind>,
    #[serde(default)]
    index: u8,
    policy: Option<Policy>,
    /// In seconds, as all lengths here.
    ttl: Option<u64>,
    grace: Option<u64>,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    force: bool,
    idle: Option<u64>,
    longest: Option<u64>,
    requestor: Option<Requestor>,
}

/// Without `Debug`: it holds the token twice.
#[derive(Serialize)]
pub(super) struct TokenView {
    url: String,
    token: String,
    id: TokenId,
    console: TokenConsole,
    kind: ConsoleKind,
    policy: Policy,
    read_only: bool,
    force: bool,
    idle: Option<i64>,
    longest: Option<i64>,
    redeem_by: String,
    expires: String,
}

#[derive(Debug, Serialize)]
struct TokenConsole {
    #[serde(flatten)]
    id: ConsoleId,
    name: ConsoleName,
}

/// `POST /v1/tokens`
pub(super) async fn mint(
    State(api): State<Api>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<TokenView>), Problem> {
    let body = body.map_err(|error| Problem::new(error.status(), Reason::BadRequest.code(), error.body_text()))?;
    let wanted: TokenWanted =
        serde_json::from_slice(&body).map_err(|error| Problem::bad_request(format!("the body: {error}")))?;
    let TokenWanted { console, kind, index, policy, ttl, grace, read_only, force, idle, longest, requestor } = wanted;
    let length = |seconds: Option<u64>| seconds.map(Duration::from_secs);
    let rights = RightsWanted { read_only, force, idle: length(idle), longest: length(longest) };
    let (ttl, grace) = (length(ttl), length(grace));
    let request = MintRequest { console, kind, index, policy, ttl, grace, rights, requestor };
    let Minted { id, token, url, console, name, policy, rights, redeem_by, expires } = api.tokens.mint(request).await?;
    let view = TokenView {
        // The two places where the API shows a secret: this is what was asked for.
        url: url.expose().clone(),
        token: token.expose().to_owned(),
        id,
        kind: console.kind,
        console: TokenConsole { id: console, name },
        policy,
        read_only: rights.read_only,
        force: rights.force,
        idle: rights.idle,
        longest: rights.longest,
        redeem_by: redeem_by.to_rfc3339(),
        expires: expires.to_rfc3339(),
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// `DELETE /v1/tokens/{id}`
pub(super) async fn revoke(State(api): State<Api>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let id: TokenId = id.parse().map_err(|_| Problem::from(RevokeError::UnknownToken))?;
    to_its_end(async move {
        api.tokens.revoke(id).await?;
        // After the row: whoever redeemed a moment earlier holds a reservation, and is told too.
        let connections = api.sessions.end_token(id, Reason::Revoked);
        tracing::info!(token = %id, connections, "token withdrawn");
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

#[derive(Debug, Serialize)]
pub(super) struct SessionList {
    sessions: Vec<SessionView>,
}

#[derive(Debug, Serialize)]
struct SessionView {
    id: SessionId,
    token_id: TokenId,
    console: ConsoleId,
    name: ConsoleName,
    kind: ConsoleKind,
    requestor: Option<Requestor>,
    client_address: String,
    edge: EdgeName,
    started: String,
    bytes_in: u64,
    bytes_out: u64,
    connections: usize,
}

impl From<LiveSession> for SessionView {
    fn from(live: LiveSession) -> Self {
        let LiveSession { facts, connections } = live;
        Self {
            id: facts.id,
            token_id: facts.token,
            kind: facts.console.kind,
            console: facts.console,
            name: facts.name,
            requestor: facts.requestor,
            client_address: facts.client_address,
            edge: facts.edge,
            started: facts.started.to_rfc3339(),
            bytes_in: facts.bytes_in,
            bytes_out: facts.bytes_out,
            connections,
        }
    }
}

/// `GET /v1/sessions`
pub(super) async fn sessions(State(api): State<Api>) -> Json<SessionList> {
    Json(SessionList { sessions: api.sessions.list().into_iter().map(SessionView::from).collect() })
}

/// `DELETE /v1/sessions/{id}`
pub(super) async fn kill(State(api): State<Api>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let id: SessionId = id.parse().map_err(|_| Problem::from(crate::sessions::NoSuchSession))?;
    let token = match api.sessions.token_of(id) {
        Ok(token) => token,
        // Its page may be between two connections.
        Err(none) => api.tokens.to_continue(id).await.map_err(|error| Problem::internal(&error))?.ok_or(none)?,
    };
    to_its_end(async move {
        // A page reconnects by itself when its connection ends; killed is killed, so its token goes first.
        let revoked = api.tokens.revoke(token).await;
        // It may have ended meanwhile, which is what was asked for.
        let connections = api.sessions.kill(id).unwrap_or_default();
        tracing::info!(session = %id, %token, connections, "session killed");
        revoked?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Goes on even if whoever asked hangs up, which drops the handler: a token withdrawn in the database whose sessions
/// live on would be worse than either.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(Problem::internal(&error)))
}

#[derive(Debug, Serialize)]
pub(super) struct Rotated {
    kid: KeyId,
}

/// `POST /v1/signing-keys/rotate`
pub(super) async fn rotate(State(api): State<Api>) -> Result<Json<Rotated>, Problem> {
    Ok(Json(Rotated { kid: api.tokens.rotate_keys().await? }))
}

#[derive(Debug, Serialize)]
pub(super) struct Status {
    node: NodeName,
    id: NodeId,
    version: &'static str,
    libvirt: &'static str,
    /// Why libvirt is not connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    libvirt_error: Option<String>,
    sessions: usize,
    signing_key: KeyId,
    certificate_expires: String,
}

/// `GET /v1/status`
pub(super) async fn status(State(api): State<Api>) -> Json<Status> {
    let link = api.consoles.hypervisor().status().borrow().clone();
    let libvirt_error = match &link {
        crate::hypervisor::LinkState::Connecting { last_error, .. } => last_error.clone(),
        crate::hypervisor::LinkState::Disabled | crate::hypervisor::LinkState::Connected { .. } => None,
    };
    Json(Status {
        certificate_expires: api.trust.certificate_expires().to_rfc3339(),
        node: api.node,
        id: api.id,
        version: env!("CARGO_PKG_VERSION"),
        libvirt: link.as_str(),
        libvirt_error,
        sessions: api.sessions.len(),
        signing_key: api.tokens.keys().current(),
    })
}
