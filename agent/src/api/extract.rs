//! What a request says, read into types; what cannot be read becomes a problem that says where.

use std::error::Error as _;
use std::str::FromStr;
use std::time::Duration;

use axum::body::{Bytes, HttpBody as _, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use http_body_util::LengthLimitError;
use porthole_shared::lifecycle::chain;
use porthole_shared::names::{ApiTokenId, ConsoleUuid, SessionId, TokenId};
use porthole_shared::reason::Reason;
use porthole_shared::tunnel::MAX_BODY_BYTES;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::problem::Problem;
use crate::callers::RevokeApiTokenError;
use crate::hypervisor::{FindError, NameOrUuid};
use crate::sessions::NoSuchSession;
use crate::tokens::RevokeError;

/// How long a body may be under way.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// A JSON body of so many bytes at most.
#[derive(Debug)]
pub(super) struct Body<T, const MOST: usize = MAX_BODY_BYTES> {
    /// What it says.
    pub(super) value: T,
    /// As it was sent.
    pub(super) bytes: Bytes,
}

impl<T: DeserializeOwned, S: Send + Sync, const MOST: usize> FromRequest<S> for Body<T, MOST> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the body must be JSON, and say so: `Content-Type: application/json`",
            ));
        }
        let too_long = || {
            let detail = format!("the body is longer than {MOST} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Reason::BadRequest.code(), detail)
        };
        // What says beforehand that it is too long is not waited for.
        if request.body().size_hint().lower() > MOST as u64 {
            return Err(too_long());
        }
        let body = timeout(BODY_PATIENCE, to_bytes(request.into_body(), MOST)).await.map_err(|_elapsed| {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "the body did not come in time")
        })?;
        let bytes = body.map_err(|error| {
            let is_too_long = error.source().is_some_and(<dyn std::error::Error>::is::<LengthLimitError>);
            if is_too_long { too_long() } else { Problem::bad_request(format!("the body: {}", chain(&error))) }
        })?;
        let value = serde_json::from_slice(&bytes).map_err(|error| Problem::bad_json(&error))?;
        Ok(Self { value, bytes })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// What stands behind the question mark.
#[derive(Debug)]
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|Query(asked)| Self(asked))
            .map_err(|error| Problem::bad_request(format!("the query: {}", error.body_text())))
    }
}

/// What a path's last part can name.
pub(super) trait Named: FromStr {
    /// There is none of that name. What is no name at all is none, too.
    fn unknown() -> Problem;
}

impl Named for TokenId {
    fn unknown() -> Problem {
        RevokeError::UnknownToken.into()
    }
}

impl Named for SessionId {
    fn unknown() -> Problem {
        NoSuchSession.into()
    }
}

impl Named for ConsoleUuid {
    fn unknown() -> Problem {
        Problem::no_such_ports()
    }
}

impl Named for NameOrUuid {
    fn unknown() -> Problem {
        FindError::NoSuchDomain.into()
    }
}

impl Named for ApiTokenId {
    fn unknown() -> Problem {
        RevokeApiTokenError::Unknown.into()
    }
}

/// The id in a path.
#[derive(Debug)]
pub(super) struct Id<T>(pub(super) T);

impl<T: Named, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(Path(text)) = Path::<String>::from_request_parts(parts, state).await else { return Err(T::unknown()) };
        text.parse().map(Self).map_err(|_| T::unknown())
    }
}
