//! Errors of the API: RFC 9457 problem details, and the one table from our errors to statuses and codes.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use porthole_shared::lifecycle::chain;
use porthole_shared::reason::Reason;
use serde::Serialize;

use crate::audit::ReadError;
use crate::consoles::{FindError, ListError};
use crate::sessions::NoSuchSession;
use crate::tokens::{MintError, RevokeError, RotateError};

/// What went wrong, for a program (`code`) and for a person (`detail`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        // The type says nothing beyond the status; the code does.
        Self { kind: "about:blank", title, status: status.as_u16(), detail: detail.into(), code }
    }

    /// With the status and the code that the reason has everywhere.
    fn reason(reason: Reason, detail: impl Into<String>) -> Self {
        Self::new(reason.status(), reason.code(), detail)
    }

    /// The request makes no sense.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::reason(Reason::BadRequest, detail)
    }

    /// Our own fault: the log says more than the answer.
    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        let detail = chain(error);
        tracing::error!(error = detail, "a request to the API failed");
        Self::reason(Reason::Internal, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

impl From<ListError> for Problem {
    fn from(error: ListError) -> Self {
        Self::reason(error.0.0.reason(), chain(&error))
    }
}

impl From<FindError> for Problem {
    fn from(error: FindError) -> Self {
        match &error {
            FindError::Ambiguous { .. } => Self::new(StatusCode::CONFLICT, "ambiguous", error.to_string()),
            FindError::NoSuchConsole { .. }
            | FindError::Lookup { .. }
            | FindError::Describe { .. }
            | FindError::Xml { .. } => Self::reason(error.reason(), chain(&error)),
        }
    }
}

impl From<MintError> for Problem {
    fn from(error: MintError) -> Self {
        match error {
            MintError::Find(error) => error.into(),
            MintError::NotRunning { .. } => Self::reason(Reason::NotRunning, error.to_string()),
            MintError::Migrating { .. } => Self::reason(Reason::Migrating, error.to_string()),
            MintError::NoSuchKind { .. } | MintError::SerialOfDomain { .. } => {
                Self::reason(Reason::NoSuchKind, error.to_string())
            }
            MintError::NoUrl { .. } => Self::new(StatusCode::CONFLICT, "no_base_url", error.to_string()),
            MintError::Length { .. }
            | MintError::Grace { .. }
            | MintError::SpiceOnce
            | MintError::SpiceReadOnly
            | MintError::CannotRecord => Self::bad_request(error.to_string()),
            MintError::Store(ref cause) if cause.is_full() => {
                tracing::error!(error = chain(&error), "no token can be made until there is room");
                Self::new(
                    StatusCode::INSUFFICIENT_STORAGE,
                    "disk_full",
                    "the token was not made, because there is no room on the disk of [node] state_dir: make some, then ask \
                     again; sessions go on meanwhile",
                )
            }
            MintError::Sign(_) | MintError::Store(_) => Self::internal(&error),
        }
    }
}

impl From<RevokeError> for Problem {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::UnknownToken => Self::reason(Reason::UnknownToken, error.to_string()),
            RevokeError::Store(_) => Self::internal(&error),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Off => Self::new(StatusCode::CONFLICT, "audit_off", error.to_string()),
            ReadError::Store(_) => Self::internal(&error),
        }
    }
}

impl From<NoSuchSession> for Problem {
    fn from(error: NoSuchSession) -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_such_session", error.to_string())
    }
}

impl From<RotateError> for Problem {
    fn from(error: RotateError) -> Self {
        match error {
            RotateError::TooMany(_) => Self::new(StatusCode::CONFLICT, "too_many_keys", error.to_string()),
            RotateError::Store(_) | RotateError::Keys(_) => Self::internal(&error),
        }
    }
}
