//! `/v1/tokens`: made, listed, withdrawn.

mod list;
mod mint;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use porthole_shared::names::{Requestor, TokenId};
use porthole_shared::reason::Reason;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(in crate::api) use self::list::list;
pub(in crate::api) use self::mint::{TokenView, mint};
use super::{must_cover, selection, to_its_end};
use crate::api::Api;
use crate::api::admission::Rights;
use crate::api::extract::{Asked, Id};
use crate::api::problem::Problem;
use crate::audit::{Deed, Event, Target};

// `utoipa` makes an item beside each handler, which `routes!` looks for under the handler's path.
pub(in crate::api) use self::list::__path_list;
pub(in crate::api) use self::mint::__path_mint;

/// What becomes of the sessions.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct RevokeHow {
    /// Sessions that are live go on; they cannot be connected to again.
    #[serde(default)]
    keep_sessions: bool,
}

/// Withdraw a token, and end what it opened
#[utoipa::path(
    delete, path = "/v1/tokens/{id}", operation_id = "revoke_token", tag = "tokens",
    params(("id" = String, Path, description = "Its id", format = "uuid"), RevokeHow),
    responses((status = 204, description = "It opens nothing any more, and its sessions are told to end."),
              (status = 404, description = "There is none of this id, or it is not yours.", body = Problem,
               content_type = "application/problem+json"))
)]
pub(in crate::api) async fn revoke(
    State(api): State<Api>,
    rights: Rights,
    Id(id): Id<TokenId>,
    Asked(RevokeHow { keep_sessions }): Asked<RevokeHow>,
) -> Result<StatusCode, Problem> {
    must_cover(&api, &rights, id).await?;
    to_its_end(async move {
        let subject = api.tokens.subject(id).await;
        api.tokens.revoke(id).await?;
        // After the row: whoever redeemed a moment earlier holds a reservation, and is told too.
        let connections = if keep_sessions { 0 } else { api.sessions.end_token(id, Reason::Revoked) };
        tracing::info!(token = %id, connections, by = %rights.caller.name, "token withdrawn");
        let (to, caller) = (Target::Token { id, subject }, rights.caller.name);
        api.audit.tell(Event::Revoked(Deed { to, tokens: 1, connections: connections as u64, caller }));
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// What ended together.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Ended {
    /// Tokens that could still have been used.
    tokens: u64,
    /// Connections that were told to end.
    connections: usize,
}

impl Ended {
    pub(super) const fn new(tokens: u64, connections: usize) -> Self {
        Self { tokens, connections }
    }
}

/// Which tokens go, and what becomes of their sessions.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct RevokeWhich {
    /// Those of this guest or external console, by name or UUID.
    console: Option<String>,
    /// Those that were asked for by this requestor.
    #[param(value_type = Option<String>, min_length = 1, max_length = 255)]
    requestor: Option<Requestor>,
    /// Sessions that are live go on; they cannot be connected to again.
    #[serde(default)]
    keep_sessions: bool,
}

/// Withdraw tokens together, and end what they opened
#[utoipa::path(
    delete, path = "/v1/tokens", operation_id = "revoke_tokens", tag = "tokens", params(RevokeWhich),
    responses((status = 200, description = "They open nothing any more. How many there were; a minter withdraws those \
                                            that it minted.", body = Ended))
)]
pub(in crate::api) async fn revoke_all_of(
    State(api): State<Api>,
    rights: Rights,
    Asked(which): Asked<RevokeWhich>,
) -> Result<Json<Ended>, Problem> {
    let RevokeWhich { console, requestor, keep_sessions } = which;
    let which = selection::deliberate(console.as_deref(), requestor, &rights)?;
    to_its_end(async move {
        let tokens = api.tokens.revoke_all_of(&which, false).await.map_err(|error| Problem::internal(&error))?;
        let connections = if keep_sessions { 0 } else { api.sessions.end_all_of(&which, Reason::Revoked) };
        tracing::info!(?which, tokens, connections, by = %rights.caller.name, "tokens withdrawn");
        let (to, caller) = (Target::All(which), rights.caller.name);
        api.audit.tell(Event::Revoked(Deed { to, tokens, connections: connections as u64, caller }));
        Ok(Json(Ended { tokens, connections }))
    })
    .await
}
