//! The resources of `/v1`: their JSON, and what each asks of the rest of the agent.
//!
//! Whether a caller may ask at all is settled before these run; of whose things it may, each hands on. Each takes the
//! [`Rights`] that its guard leaves it: without a guard it answers nobody.

pub(super) mod api_tokens;
pub(super) mod audit;
pub(super) mod consoles;
pub(super) mod definitions;
pub(super) mod events;
pub(super) mod ports;
mod selection;
pub(super) mod serial;
pub(super) mod sessions;
pub(super) mod status;
pub(super) mod tokens;

use std::future::Future;

use porthole_shared::names::TokenId;

use super::Api;
use super::admission::Rights;
use super::problem::Problem;
use crate::tokens::RevokeError;

/// Goes on even if whoever asked hangs up, which drops the handler: a token withdrawn in the database whose sessions
/// live on would be worse than either.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(Problem::internal(&error)))
}

/// To whoever may touch its own only, somebody else's token does not exist.
async fn must_cover(api: &Api, rights: &Rights, token: TokenId) -> Result<(), Problem> {
    let Some(own) = rights.only() else { return Ok(()) };
    match api.tokens.is_minted_by(token, own).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(RevokeError::UnknownToken.into()),
        Err(error) => Err(Problem::internal(&error)),
    }
}
