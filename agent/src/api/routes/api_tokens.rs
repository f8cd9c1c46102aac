//! `/v1/api-tokens`: who may call over the network by showing a token.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use porthole_shared::clock::UnixTime;
use porthole_shared::config::Duration;
use porthole_shared::names::{ApiTokenId, ApiTokenName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::to_its_end;
use crate::api::admission::Rights;
use crate::api::extract::{Asked, Body, Id};
use crate::api::page::Piece;
use crate::api::problem::Problem;
use crate::api::{Api, schema};
use crate::callers::{ApiToken, Role};

/// The longest `expires_in`, in seconds: ten years.
const LONGEST: u64 = 10 * 365 * 24 * 60 * 60;

/// The API tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct ApiTokenList {
    /// In the order in which they were made; those that have expired stay for 30 days.
    api_tokens: Vec<ApiTokenView>,
    /// `after` of the next piece, if there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// An API token, without its text, which nobody has but its holder.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct ApiTokenView {
    #[schema(schema_with = schema::uuid)]
    id: ApiTokenId,
    /// Who uses it.
    #[schema(value_type = String)]
    name: ApiTokenName,
    #[schema(schema_with = schema::role)]
    role: Role,
    #[schema(schema_with = schema::time)]
    created: String,
    /// Who had it made.
    #[schema(example = "uid:0")]
    created_by: String,
    /// Until when it is good; for ever, if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    expires: Option<String>,
    /// When it was last used, give or take ten minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    last_used: Option<String>,
}

impl From<ApiToken> for ApiTokenView {
    fn from(token: ApiToken) -> Self {
        let ApiToken { id, name, role, created, created_by, expires, last_used } = token;
        Self {
            id,
            name,
            role,
            created: created.to_rfc3339(),
            created_by: created_by.to_string(),
            expires: expires.map(UnixTime::to_rfc3339),
            last_used: last_used.map(UnixTime::to_rfc3339),
        }
    }
}

/// List API tokens
#[utoipa::path(
    get, path = "/v1/api-tokens", operation_id = "list_api_tokens", tag = "api-tokens", params(Piece),
    responses((status = 200, description = "The API tokens.", body = ApiTokenList))
)]
pub(in crate::api) async fn list(
    State(api): State<Api>,
    _rights: Rights,
    Asked(piece): Asked<Piece>,
) -> Result<Json<ApiTokenList>, Problem> {
    let all = api.api_tokens.list().await.map_err(|error| Problem::internal(&error))?;
    let (tokens, next) = piece.cut(all, |token| (token.created, token.id))?;
    Ok(Json(ApiTokenList { api_tokens: tokens.into_iter().map(ApiTokenView::from).collect(), next }))
}

/// An API token that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ApiTokenWanted {
    /// Who will use it. Tokens of one name are one caller: a new one sees what was minted with an old one.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9._@-]{1,64}$")]
    name: ApiTokenName,
    #[schema(schema_with = schema::role)]
    role: Role,
    /// For how many seconds it is good; for ever, if not given.
    #[schema(minimum = 1, maximum = 315_360_000)]
    expires_in: Option<u64>,
}

/// A new API token. Without `Debug`: it holds its text.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ApiTokenMade {
    #[serde(flatten)]
    view: ApiTokenView,
    /// Its text: shown now and never again.
    #[schema(pattern = "^pth_[A-Za-z0-9_-]{43}$")]
    token: String,
}

/// Make an API token
#[utoipa::path(
    post, path = "/v1/api-tokens", operation_id = "create_api_token", tag = "api-tokens", request_body = ApiTokenWanted,
    responses((status = 201, description = "Made. Its text is in this answer and nowhere else.", body = ApiTokenMade),
              (status = 409, description = "There are as many as there may be.", body = Problem,
               content_type = "application/problem+json"))
)]
pub(in crate::api) async fn create(
    State(api): State<Api>,
    rights: Rights,
    Body { value: wanted, .. }: Body<ApiTokenWanted>,
) -> Result<(StatusCode, Json<ApiTokenMade>), Problem> {
    let ApiTokenWanted { name, role, expires_in } = wanted;
    if expires_in.is_some_and(|seconds| seconds > LONGEST) {
        return Err(Problem::bad_request(format!("expires_in: at most {LONGEST} seconds, or leave it out")));
    }
    let made = api.api_tokens.create(name, role, expires_in.map(Duration::from_secs), &rights.caller.name).await?;
    // The one place where the API shows it: this is what was asked for.
    let token = made.text.expose().to_owned();
    Ok((StatusCode::CREATED, Json(ApiTokenMade { view: made.token.into(), token })))
}

/// Withdraw an API token
#[utoipa::path(
    delete, path = "/v1/api-tokens/{id}", operation_id = "revoke_api_token", tag = "api-tokens",
    params(("id" = String, Path, description = "Its id", format = "uuid")),
    responses((status = 204, description = "It is of no use any more. Whoever follows events with it is cut off."),
              (status = 404, description = "There is none of this id.", body = Problem,
               content_type = "application/problem+json"))
)]
pub(in crate::api) async fn revoke(
    State(api): State<Api>,
    rights: Rights,
    Id(id): Id<ApiTokenId>,
) -> Result<StatusCode, Problem> {
    to_its_end(async move {
        api.api_tokens.revoke(id, &rights.caller.name).await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
