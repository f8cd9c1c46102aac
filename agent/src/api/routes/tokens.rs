//! Tokens: made, listed, withdrawn.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use http::StatusCode;
use porthole_shared::clock::UnixTime;
use porthole_shared::config::Duration;
use porthole_shared::names::{ConsoleId, ConsoleKind, ConsoleName, Requestor, TokenId};
use porthole_shared::reason::Reason;
use serde::{Deserialize, Serialize};

use super::{selection, to_its_end};
use crate::api::Api;
use crate::api::problem::Problem;
use crate::audit::{Deed, Event, Target};
use crate::store::{ListedToken, TokenPage, TokenRecord};
use crate::tokens::{MintRequest, Minted, Policy, RevokeError, RightsWanted};

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
    #[serde(default)]
    record: bool,
    idle: Option<u64>,
    longest: Option<u64>,
    requestor: Option<Requestor>,
}

/// Without `Debug`: it holds the token twice.
#[derive(Serialize)]
pub(in crate::api) struct TokenView {
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
pub(in crate::api) async fn mint(
    State(api): State<Api>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<TokenView>), Problem> {
    let body = body.map_err(|error| Problem::new(error.status(), Reason::BadRequest.code(), error.body_text()))?;
    let wanted: TokenWanted =
        serde_json::from_slice(&body).map_err(|error| Problem::bad_request(format!("the body: {error}")))?;
    let TokenWanted { console, kind, index, policy, ttl, grace, read_only, force, record, idle, longest, requestor } =
        wanted;
    let length = |seconds: Option<u64>| seconds.map(Duration::from_secs);
    let rights = RightsWanted { read_only, force, record, idle: length(idle), longest: length(longest) };
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

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct RevokeHow {
    console: Option<String>,
    requestor: Option<Requestor>,
    /// Sessions that are live go on.
    #[serde(default)]
    keep_sessions: bool,
}

/// `DELETE /v1/tokens/{id}?keep_sessions=`
pub(in crate::api) async fn revoke(
    State(api): State<Api>,
    Path(id): Path<String>,
    how: Result<Query<RevokeHow>, QueryRejection>,
) -> Result<StatusCode, Problem> {
    let RevokeHow { console, requestor, keep_sessions } = selection::read(how)?;
    if console.is_some() || requestor.is_some() {
        return Err(Problem::bad_request("either an id, or ?console= and ?requestor="));
    }
    let id: TokenId = id.parse().map_err(|_| Problem::from(RevokeError::UnknownToken))?;
    to_its_end(async move {
        let subject = api.tokens.subject(id).await;
        api.tokens.revoke(id).await?;
        // After the row: whoever redeemed a moment earlier holds a reservation, and is told too.
        let connections = if keep_sessions { 0 } else { api.sessions.end_token(id, Reason::Revoked) };
        let to = Target::Token { id, subject };
        api.audit.tell(Event::Revoked(Deed { to, tokens: 1, connections: connections as u64, caller: None }));
        tracing::info!(token = %id, connections, "token withdrawn");
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// What ended together.
#[derive(Debug, Serialize)]
pub(in crate::api) struct Ended {
    tokens: u64,
    connections: usize,
}

impl Ended {
    pub(super) const fn new(tokens: u64, connections: usize) -> Self {
        Self { tokens, connections }
    }
}

/// `DELETE /v1/tokens?console=&requestor=&keep_sessions=`
pub(in crate::api) async fn revoke_all_of(
    State(api): State<Api>,
    how: Result<Query<RevokeHow>, QueryRejection>,
) -> Result<Json<Ended>, Problem> {
    let RevokeHow { console, requestor, keep_sessions } = selection::read(how)?;
    let which = selection::deliberate(selection::selector(console.as_deref(), requestor, None)?)?;
    to_its_end(async move {
        let tokens = api.tokens.revoke_all_of(&which, false).await.map_err(|error| Problem::internal(&error))?;
        let connections = if keep_sessions { 0 } else { api.sessions.end_all_of(&which, Reason::Revoked) };
        tracing::info!(?which, tokens, connections, "tokens withdrawn");
        let to = Target::All(which);
        api.audit.tell(Event::Revoked(Deed { to, tokens, connections: connections as u64, caller: None }));
        Ok(Json(Ended { tokens, connections }))
    })
    .await
}

/// The most tokens in one answer.
const LONGEST_PAGE: u32 = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct PageWanted {
    console: Option<String>,
    requestor: Option<Requestor>,
    #[serde(default)]
    all: bool,
    limit: Option<u32>,
    after: Option<TokenId>,
}

#[derive(Debug, Serialize)]
pub(in crate::api) struct TokenList {
    tokens: Vec<ListedView>,
    /// The `after` of the next page; none if this is the last.
    next: Option<TokenId>,
}

#[derive(Debug, Serialize)]
struct ListedView {
    id: TokenId,
    console: TokenConsole,
    kind: ConsoleKind,
    requestor: Option<Requestor>,
    policy: Policy,
    read_only: bool,
    force: bool,
    idle: Option<i64>,
    longest: Option<i64>,
    created: String,
    redeem_by: String,
    expires: String,
    uses: u64,
    first_used: Option<String>,
    /// Whether its holder could open the console with it now.
    usable: bool,
    /// Why it is void.
    void_reason: Option<Reason>,
}

impl ListedView {
    fn new(token: ListedToken, usable: bool) -> Self {
        let ListedToken { record, created, first_used } = token;
        let TokenRecord { id, console, name, requestor, rights, state } = record;
        Self {
            id,
            kind: console.kind,
            console: TokenConsole { id: console, name },
            requestor,
            policy: state.policy,
            read_only: rights.read_only,
            force: rights.force,
            idle: rights.idle,
            longest: rights.longest,
            created: created.to_rfc3339(),
            redeem_by: state.redeem_by.to_rfc3339(),
            expires: state.expires.to_rfc3339(),
            uses: state.uses,
            first_used: first_used.map(UnixTime::to_rfc3339),
            usable,
            void_reason: state.void,
        }
    }
}

/// `GET /v1/tokens?console=&requestor=&all=&limit=&after=`
pub(in crate::api) async fn tokens(
    State(api): State<Api>,
    wanted: Result<Query<PageWanted>, QueryRejection>,
) -> Result<Json<TokenList>, Problem> {
    let PageWanted { console, requestor, all, limit, after } = selection::read(wanted)?;
    let limit = limit.unwrap_or(100);
    if !(1..=LONGEST_PAGE).contains(&limit) {
        return Err(Problem::bad_request(format!("limit is {limit}; use 1 to {LONGEST_PAGE}")));
    }
    let which = selection::selector(console.as_deref(), requestor, None)?;
    // One more tells whether there is a next page.
    let page = TokenPage { which, all, after, limit: limit + 1 };
    let mut list = api.tokens.list(&page).await.map_err(|error| Problem::internal(&error))?;
    let most = limit as usize;
    let is_last = list.len() <= most;
    list.truncate(most);
    let next = list.last().filter(|_| !is_last).map(|token| token.record.id);
    let view = |token: ListedToken| {
        let usable = api.tokens.is_usable(&token);
        ListedView::new(token, usable)
    };
    Ok(Json(TokenList { tokens: list.into_iter().map(view).collect(), next }))
}
