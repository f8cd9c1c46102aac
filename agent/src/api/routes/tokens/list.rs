//! `GET /v1/tokens`.

use axum::Json;
use axum::extract::State;
use porthole_shared::clock::UnixTime;
use porthole_shared::names::{ConsoleKind, Requestor, TokenId};
use porthole_shared::reason::Reason;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::mint::TokenConsole;
use crate::api::admission::Rights;
use crate::api::extract::Asked;
use crate::api::page::{Piece, cursor};
use crate::api::problem::Problem;
use crate::api::routes::selection;
use crate::api::{Api, schema};
use crate::callers::CallerName;
use crate::store::{ListedToken, TokenPage, TokenRecord};
use crate::tokens::Policy;

/// Which tokens, and which piece of the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct TokensWanted {
    /// Those of this guest or external console, by name or UUID.
    console: Option<String>,
    /// Those that were asked for by this requestor.
    #[param(value_type = Option<String>, min_length = 1, max_length = 255)]
    requestor: Option<Requestor>,
    /// Also those that open nothing any more.
    #[serde(default)]
    all: bool,
    /// At most so many; 1000 if not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the piece before.
    after: Option<String>,
}

/// Tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct TokenList {
    /// In the order of their ids.
    tokens: Vec<ListedView>,
    /// `after` of the next piece, if there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// A token, without its text, which nobody has but its holder.
#[derive(Debug, Serialize, ToSchema)]
struct ListedView {
    #[schema(schema_with = schema::uuid)]
    id: TokenId,
    console: TokenConsole,
    #[schema(schema_with = schema::kind)]
    kind: ConsoleKind,
    /// Who asked for it.
    #[schema(value_type = Option<String>)]
    requestor: Option<Requestor>,
    /// Which caller of the API had it made.
    #[schema(value_type = Option<String>, example = "token:dashboard")]
    minted_by: Option<CallerName>,
    #[schema(schema_with = schema::policy)]
    policy: Policy,
    read_only: bool,
    force: bool,
    /// After so many seconds without input its session ends.
    idle: Option<i64>,
    /// After so many seconds its session ends; as configured, if not there.
    longest: Option<i64>,
    #[schema(schema_with = schema::time)]
    created: String,
    /// Until when it may be used for the first time.
    #[schema(schema_with = schema::time)]
    redeem_by: String,
    /// Until when it may be used at all.
    #[schema(schema_with = schema::time)]
    expires: String,
    /// How often it was used.
    uses: u64,
    #[schema(format = DateTime)]
    first_used: Option<String>,
    /// Whether its holder could open the console with it now.
    usable: bool,
    /// Why it is void.
    #[schema(value_type = Option<String>, example = "revoked")]
    void_reason: Option<Reason>,
}

impl ListedView {
    fn new(token: ListedToken, usable: bool) -> Self {
        let ListedToken { record, created, first_used } = token;
        let TokenRecord { id, console, name, requestor, minted_by, rights, state } = record;
        Self {
            id,
            kind: console.kind,
            console: TokenConsole { id: console, name },
            requestor,
            minted_by,
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

/// List tokens
#[utoipa::path(
    get, path = "/v1/tokens", operation_id = "list_tokens", tag = "tokens", params(TokensWanted),
    responses((status = 200, description = "The tokens that can still be used; a minter sees those that it minted.",
               body = TokenList))
)]
pub(in crate::api) async fn list(
    State(api): State<Api>,
    rights: Rights,
    Asked(wanted): Asked<TokensWanted>,
) -> Result<Json<TokenList>, Problem> {
    let TokensWanted { console, requestor, all, limit, after } = wanted;
    let piece = Piece { limit, after };
    let (limit, after) = (piece.limit()?, piece.after()?);
    let which = selection::selector(console.as_deref(), requestor, None, &rights)?;
    // One more tells whether there is a next piece.
    let most = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let page = TokenPage { which, all, after, limit: most };
    let mut list = api.tokens.list(&page).await.map_err(|error| Problem::internal(&error))?;
    let is_last = list.len() <= limit;
    list.truncate(limit);
    let next = list.last().filter(|_| !is_last).map(|token| cursor(&token.record.id)).transpose()?;
    let view = |token: ListedToken| {
        let usable = api.tokens.is_usable(&token);
        ListedView::new(token, usable)
    };
    Ok(Json(TokenList { tokens: list.into_iter().map(view).collect(), next }))
}
