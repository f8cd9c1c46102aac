//! Sessions: listed, ended.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use porthole_shared::names::{ConsoleId, ConsoleKind, ConsoleName, EdgeName, Requestor, SessionId, TokenId};
use porthole_shared::reason::Reason;
use serde::Serialize;

use super::selection::Meant;
use super::tokens::Ended;
use super::{selection, to_its_end};
use crate::api::Api;
use crate::api::problem::Problem;
use crate::audit::{Deed, Event, Target};
use crate::sessions::LiveSession;

#[derive(Debug, Serialize)]
pub(in crate::api) struct SessionList {
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
    /// When it reaches its longest duration.
    until: String,
    read_only: bool,
    force: bool,
    /// Since there was input, or since it began.
    idle_seconds: u64,
    /// After how many of these it ends.
    idle_limit: Option<i64>,
    bytes_in: u64,
    bytes_out: u64,
    connections: usize,
}

impl From<LiveSession> for SessionView {
    fn from(live: LiveSession) -> Self {
        let LiveSession { facts, connections, latest_input } = live;
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
            until: facts.until.to_rfc3339(),
            read_only: facts.rights.read_only,
            force: facts.rights.force,
            idle_seconds: latest_input.elapsed().as_secs(),
            idle_limit: facts.rights.idle,
            bytes_in: facts.bytes_in,
            bytes_out: facts.bytes_out,
            connections,
        }
    }
}

/// `GET /v1/sessions?console=&requestor=&client=`
pub(in crate::api) async fn sessions(
    State(api): State<Api>,
    meant: Result<Query<Meant>, QueryRejection>,
) -> Result<Json<SessionList>, Problem> {
    let which = selection::read(meant)?.selector()?;
    Ok(Json(SessionList { sessions: api.sessions.list_of(&which).into_iter().map(SessionView::from).collect() }))
}

/// `DELETE /v1/sessions?console=&requestor=`
pub(in crate::api) async fn kill_all_of(
    State(api): State<Api>,
    meant: Result<Query<Meant>, QueryRejection>,
) -> Result<Json<Ended>, Problem> {
    let which = selection::read(meant)?.deliberate()?;
    if which.client.is_some() {
        return Err(Problem::bad_request("sessions are ended by ?console= and ?requestor=, not by ?client="));
    }
    to_its_end(async move {
        // Killed is killed: their pages, also those between two connections, must not come back.
        let tokens = api.tokens.revoke_all_of(&which, true).await.map_err(|error| Problem::internal(&error))?;
        let connections = api.sessions.end_all_of(&which, Reason::Killed);
        tracing::info!(?which, tokens, connections, "sessions killed");
        let to = Target::All(which);
        api.audit.tell(Event::Killed(Deed { to, tokens, connections: connections as u64, caller: None }));
        Ok(Json(Ended::new(tokens, connections)))
    })
    .await
}

/// `DELETE /v1/sessions/{id}`
pub(in crate::api) async fn kill(State(api): State<Api>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
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
        let to = Target::Session { id, token, subject: api.tokens.subject(token).await };
        let tokens = revoked.is_ok().into();
        api.audit.tell(Event::Killed(Deed { to, tokens, connections: connections as u64, caller: None }));
        revoked?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
