//! `/v1/sessions`: listed, ended.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use porthole_shared::names::{ConsoleId, ConsoleKind, ConsoleName, EdgeName, Requestor, SessionId, TokenId};
use porthole_shared::reason::Reason;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::selection::{self, Together};
use super::tokens::Ended;
use super::{must_cover, to_its_end};
use crate::api::admission::Rights;
use crate::api::extract::{Asked, Id, Named as _};
use crate::api::page::Piece;
use crate::api::problem::Problem;
use crate::api::{Api, schema};
use crate::audit::{Deed, Event, Target};
use crate::callers::CallerName;
use crate::sessions::LiveSession;

/// Live sessions.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct SessionList {
    /// Oldest first.
    sessions: Vec<SessionView>,
    /// `after` of the next piece, if there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// A live session.
#[derive(Debug, Serialize, ToSchema)]
struct SessionView {
    #[schema(schema_with = schema::uuid)]
    id: SessionId,
    #[schema(schema_with = schema::uuid)]
    token_id: TokenId,
    #[schema(value_type = schema::ConsoleIdView)]
    console: ConsoleId,
    /// The console's name when the token was made.
    #[schema(value_type = String)]
    name: ConsoleName,
    #[schema(schema_with = schema::kind)]
    kind: ConsoleKind,
    /// Who asked for the token.
    #[schema(value_type = Option<String>)]
    requestor: Option<Requestor>,
    /// Which caller of the API had it made.
    #[schema(value_type = Option<String>, example = "token:dashboard")]
    minted_by: Option<CallerName>,
    /// Where the latest connection came from, as the edge sees it.
    client_address: String,
    #[schema(value_type = String)]
    edge: EdgeName,
    #[schema(schema_with = schema::time)]
    started: String,
    /// When it reaches its longest duration.
    #[schema(schema_with = schema::time)]
    until: String,
    read_only: bool,
    force: bool,
    /// Since there was input, or since it began.
    idle_seconds: u64,
    /// After how many of these it ends.
    idle_limit: Option<i64>,
    /// From the client.
    bytes_in: u64,
    /// To the client.
    bytes_out: u64,
    /// How many connections it has now.
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
            minted_by: facts.minted_by,
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

/// Which sessions, and which piece of the list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct SessionsWanted {
    /// Those of this guest or external console, by name or UUID.
    console: Option<String>,
    /// Those that were asked for by this requestor.
    #[param(value_type = Option<String>, min_length = 1, max_length = 255)]
    requestor: Option<Requestor>,
    /// Those whose viewer has this address.
    #[param(value_type = Option<String>)]
    client: Option<IpAddr>,
    /// At most so many; 1000 if not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the piece before.
    after: Option<String>,
}

/// List live sessions
#[utoipa::path(
    get, path = "/v1/sessions", operation_id = "list_sessions", tag = "sessions", params(SessionsWanted),
    responses((status = 200, description = "The live sessions; a minter sees those of tokens that it minted.",
               body = SessionList))
)]
pub(in crate::api) async fn list(
    State(api): State<Api>,
    rights: Rights,
    Asked(wanted): Asked<SessionsWanted>,
) -> Result<Json<SessionList>, Problem> {
    let SessionsWanted { console, requestor, client, limit, after } = wanted;
    let which = selection::selector(console.as_deref(), requestor, client, &rights)?;
    let live = api.sessions.list_of(&which);
    let (sessions, next) = Piece { limit, after }.cut(live, |live| (live.facts.started, live.facts.id))?;
    Ok(Json(SessionList { sessions: sessions.into_iter().map(SessionView::from).collect(), next }))
}

/// End sessions together, and withdraw their tokens
#[utoipa::path(
    delete, path = "/v1/sessions", operation_id = "kill_sessions", tag = "sessions", params(Together),
    responses((status = 200, description = "Their clients are told, and cannot come back. How many there were; a minter \
                                            ends those of tokens that it minted.", body = Ended))
)]
pub(in crate::api) async fn kill_all_of(
    State(api): State<Api>,
    rights: Rights,
    Asked(meant): Asked<Together>,
) -> Result<Json<Ended>, Problem> {
    let which = meant.selector(&rights)?;
    to_its_end(async move {
        // Killed is killed: their pages, also those between two connections, must not come back.
        let revoke = async || api.tokens.revoke_all_of(&which, true).await.map_err(|error| Problem::internal(&error));
        let before = revoke().await?;
        let connections = api.sessions.end_all_of(&which, Reason::Killed);
        // Those that were used for the first time between the two.
        let tokens = before + revoke().await?;
        tracing::info!(?which, tokens, connections, by = %rights.caller.name, "sessions killed");
        let (to, caller) = (Target::All(which), rights.caller.name);
        api.audit.tell(Event::Killed(Deed { to, tokens, connections: connections as u64, caller }));
        Ok(Json(Ended::new(tokens, connections)))
    })
    .await
}

/// End a session, and withdraw its token
#[utoipa::path(
    delete, path = "/v1/sessions/{id}", operation_id = "kill_session", tag = "sessions",
    params(("id" = String, Path, description = "Its id", format = "uuid")),
    responses((status = 204, description = "Its client is told, and cannot come back with this token."),
              (status = 404, description = "None of this id is live, or it is not yours.", body = Problem,
               content_type = "application/problem+json"))
)]
pub(in crate::api) async fn kill(
    State(api): State<Api>,
    rights: Rights,
    Id(id): Id<SessionId>,
) -> Result<StatusCode, Problem> {
    let token = match api.sessions.token_of(id) {
        Ok(token) => token,
        // Its page may be between two connections.
        Err(none) => api.tokens.to_continue(id).await.map_err(|error| Problem::internal(&error))?.ok_or(none)?,
    };
    must_cover(&api, &rights, token).await.map_err(|problem| problem.instead_of_absence(SessionId::unknown()))?;
    to_its_end(async move {
        // A page reconnects by itself when its connection ends; killed is killed, so its token goes first.
        let revoked = api.tokens.revoke(token).await;
        // It may have ended meanwhile, which is what was asked for.
        let connections = api.sessions.kill(id).unwrap_or_default();
        tracing::info!(session = %id, %token, connections, by = %rights.caller.name, "session killed");
        let to = Target::Session { id, token, subject: api.tokens.subject(token).await };
        let (tokens, caller) = (revoked.is_ok().into(), rights.caller.name);
        api.audit.tell(Event::Killed(Deed { to, tokens, connections: connections as u64, caller }));
        revoked?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
