//! Errors of the API: RFC 9457 problem details, and the one table from our errors to statuses and codes.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use porthole_shared::lifecycle::chain;
use porthole_shared::names::TokenId;
use porthole_shared::reason::Reason;
use serde::Serialize;
use utoipa::ToSchema;

use super::schema;
use crate::audit::ReadError;
use crate::callers::{CreateError, Operation, RevokeApiTokenError, Role};
use crate::consoles::{FindError, ListError};
use crate::definitions::{ApplyError, RenderError};
use crate::hypervisor::{self, DefinitionError, RedefineError};
use crate::ports::AllocateError;
use crate::sessions::NoSuchSession;
use crate::store::{self, Ailment};
use crate::tokens::{MintError, RevokeError, RotateError};

/// When to ask again, where the database had too much to do: it makes some thousand changes a second.
const BUSY_SECONDS: u64 = 1;

/// What went wrong, for a program (`code`) and for a person (`detail`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Always `about:blank`: the code says more.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    #[schema(example = "Not Found")]
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What was wrong, where, and what to do.
    detail: String,
    /// What went wrong, for a program: a reason's code, or a word of the API's.
    #[schema(example = "no_such_console")]
    code: &'static str,
    #[serde(flatten)]
    #[schema(inline)]
    more: Box<More>,
    /// `WWW-Authenticate`
    #[serde(skip)]
    challenge: Option<&'static str>,
    /// `Retry-After`, in seconds.
    #[serde(skip)]
    retry_after: Option<u64>,
}

/// What some problems say beyond that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
struct More {
    /// The least role that may do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::role)]
    needed_role: Option<Role>,
    /// The token that was made under this idempotency key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::uuid)]
    token_id: Option<TokenId>,
    /// The line of the body, or of the XML, that is wrong, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    line: Option<usize>,
    /// The column in that line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    column: Option<usize>,
}

/// How to ask for a token (RFC 6750).
const CHALLENGE: &str = r#"Bearer realm="porthole""#;

/// How to refuse one.
const BAD_TOKEN: &str = r#"Bearer realm="porthole", error="invalid_token""#;

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            // The type says nothing beyond the status; the code does.
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            code,
            more: Box::default(),
            challenge: None,
            retry_after: None,
        }
    }

    /// With the status and the code that the reason has everywhere.
    pub(super) fn reason(reason: Reason, detail: impl Into<String>) -> Self {
        Self::new(reason.status(), reason.code(), detail)
    }

    /// The request makes no sense.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::reason(Reason::BadRequest, detail)
    }

    /// The body makes no sense, at this place.
    pub(super) fn bad_json(error: &serde_json::Error) -> Self {
        let mut problem = Self::bad_request(format!("the body: {error}"));
        if error.line() > 0 {
            (problem.more.line, problem.more.column) = (Some(error.line()), Some(error.column()));
        }
        problem
    }

    /// Nobody can tell who is asking.
    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self { challenge: Some(CHALLENGE), ..Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail) }
    }

    /// What was shown as a token is no good.
    pub(super) fn bad_token(detail: impl Into<String>) -> Self {
        Self { challenge: Some(BAD_TOKEN), ..Self::unauthorized(detail) }
    }

    /// Too many tokens that were no good came from one address.
    pub(super) fn too_many_failures(wait: Duration) -> Self {
        let seconds = wait.as_secs().max(1);
        let detail = format!("too many tokens that are no good came from your address: try again in {seconds} s");
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", detail);
        Self { retry_after: Some(seconds), ..problem }
    }

    /// A role does not go that far.
    pub(super) fn forbidden(operation: Operation, role: Role) -> Self {
        let needed = operation.least_role();
        let detail = format!("the role {role} may not {}: this takes the role {needed}", operation.words());
        let mut problem = Self::new(StatusCode::FORBIDDEN, "not_allowed", detail);
        problem.more.needed_role = Some(needed);
        problem
    }

    /// About this token.
    pub(super) fn of_token(mut self, id: TokenId) -> Self {
        self.more.token_id = Some(id);
        self
    }

    /// Says the other, if this one says that something is not there.
    pub(super) fn instead_of_absence(self, other: Self) -> Self {
        if self.status == StatusCode::NOT_FOUND.as_u16() { other } else { self }
    }

    /// A domain has no ports.
    pub(super) fn no_such_ports() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no_such_ports",
            "no port is this domain's: `porthole ports` shows whose they are",
        )
    }

    /// The table of ports could not be written.
    pub(super) fn of_ports(cause: &store::Error, error: &(dyn std::error::Error + 'static)) -> Self {
        let Some(ailment) = cause.ailment() else { return Self::internal(error) };
        tracing::error!(error = chain(error), remedy = ailment.remedy(), "no port changes hands meanwhile");
        let detail = format!("no port has changed hands: {}; guests and sessions go on meanwhile", ailment.remedy());
        let status = match ailment {
            Ailment::Full => StatusCode::INSUFFICIENT_STORAGE,
            Ailment::ReadOnly | Ailment::Damaged | Ailment::Failing => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, ailment.code(), detail)
    }

    /// Our own fault: the log says more than the answer. Or the database's, which had too much to do.
    pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        let detail = chain(error);
        if store::is_busy(error) {
            tracing::warn!(error = detail, "a request to the API was refused: the database has too much to do");
            return Self { retry_after: Some(BUSY_SECONDS), ..Self::reason(Reason::Busy, detail) };
        }
        tracing::error!(error = detail, "a request to the API failed");
        Self::reason(Reason::Internal, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (challenge, retry_after) = (self.challenge, self.retry_after);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(challenge) = challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
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
            MintError::NoSuchKind { .. } => Self::reason(Reason::NoSuchKind, error.to_string()),
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

impl From<AllocateError> for Problem {
    fn from(error: AllocateError) -> Self {
        match error {
            AllocateError::Devices | AllocateError::Twice(_) => Self::bad_request(error.to_string()),
            AllocateError::Exhausted(_) => Self::new(StatusCode::CONFLICT, "ports_exhausted", error.to_string()),
            AllocateError::Held(_) => Self::new(StatusCode::CONFLICT, "ports_held", error.to_string()),
            AllocateError::Contended => Self::new(StatusCode::CONFLICT, "ports_contended", error.to_string()),
            AllocateError::Store(ref cause) => Self::of_ports(cause, &error),
            AllocateError::Probe(_) => Self::internal(&error),
        }
    }
}

impl From<hypervisor::FindError> for Problem {
    fn from(error: hypervisor::FindError) -> Self {
        Self::reason(error.reason(), chain(&error))
    }
}

impl From<DefinitionError> for Problem {
    fn from(error: DefinitionError) -> Self {
        match &error {
            DefinitionError::NoSuchDomain => Self::reason(Reason::NoSuchConsole, error.to_string()),
            DefinitionError::Transient => Self::new(StatusCode::CONFLICT, "transient_domain", error.to_string()),
            DefinitionError::TooLarge { .. } => Self::new(StatusCode::CONFLICT, "bad_xml", error.to_string()),
            DefinitionError::Call(call) => Self::reason(call.reason(), chain(&error)),
        }
    }
}

impl From<RenderError> for Problem {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Xml(ref cause) => {
                let place = cause.place();
                let mut problem = Self::new(StatusCode::BAD_REQUEST, "bad_xml", error.to_string());
                (problem.more.line, problem.more.column) = (Some(place.line), Some(place.column));
                problem
            }
            RenderError::Ports(error) => error.into(),
            RenderError::Unfit(_) => Self::new(StatusCode::CONFLICT, "ports_unfit", error.to_string()),
            RenderError::Password(_) => Self::bad_request(error.to_string()),
            RenderError::Randomness(_) | RenderError::Edit(_) => Self::internal(&error),
        }
    }
}

impl From<ApplyError> for Problem {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Find(error) => error.into(),
            ApplyError::Read(error) | ApplyError::Redefine(RedefineError::Read(error)) => error.into(),
            // Not the caller's fault: it is what libvirt has.
            ApplyError::Render(error @ RenderError::Xml(_)) => {
                let status = StatusCode::CONFLICT;
                let title = status.canonical_reason().unwrap_or("Error");
                Self { status: status.as_u16(), title, ..error.into() }
            }
            ApplyError::Render(error) => error.into(),
            ApplyError::LogElsewhere { .. } => Self::bad_request(error.to_string()),
            ApplyError::Redefine(RedefineError::Changed) => {
                let detail = format!("{error}, again and again: ask again when nobody else does");
                Self::new(StatusCode::CONFLICT, "definition_changed", detail)
            }
            ApplyError::Redefine(RedefineError::Call(ref call)) => Self::reason(call.reason(), chain(&error)),
            ApplyError::Store(ref cause) => Self::of_ports(cause, &error),
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

impl From<CreateError> for Problem {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::TooShort => Self::bad_request(error.to_string()),
            CreateError::TooMany => Self::new(StatusCode::CONFLICT, "too_many_api_tokens", error.to_string()),
            CreateError::NoRandomness | CreateError::Store(_) => Self::internal(&error),
        }
    }
}

impl From<RevokeApiTokenError> for Problem {
    fn from(error: RevokeApiTokenError) -> Self {
        match error {
            RevokeApiTokenError::Unknown => Self::new(StatusCode::NOT_FOUND, "no_such_api_token", error.to_string()),
            RevokeApiTokenError::Store(_) => Self::internal(&error),
        }
    }
}
