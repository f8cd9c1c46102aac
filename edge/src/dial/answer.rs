//! What an agent's answer must be to be believed. No I/O here.

use http::header::{
    AsHeaderName, CONNECTION, HeaderMap, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL,
    UPGRADE,
};
use http::{Response, StatusCode, Version};
use porthole_shared::binding::Subprotocol;
use porthole_shared::reason::Reason;
use porthole_shared::token::KeySetError;
use porthole_shared::tunnel::{ConsoleRequest, REASON};

/// An agent's answer is not one that the protocol allows.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAnswer {
    /// An upgrade by something else than HTTP/1.1.
    #[error("it upgrades in {0:?}")]
    Version(Version),
    /// A header of the upgrade is missing, doubled or wrong.
    #[error("the {0} header of its 101 is missing or wrong")]
    Header(&'static str),
    /// An upgrade with a WebSocket extension, which nobody offered.
    #[error("it chose a WebSocket extension that was not offered")]
    Extension,
    /// Neither success nor a refusal with one reason that an agent may give, with that reason's status.
    #[error("it answers {status} with the reason {reason:?}")]
    Refusal {
        /// Its status.
        status: StatusCode,
        /// The start of what it gave as the reason.
        reason: Option<String>,
    },
    /// A body over the bound.
    #[error("its body is longer than any answer has")]
    LongBody,
    /// A body that is not what was asked for.
    #[error("its body is not what was asked for")]
    Json(#[source] serde_json::Error),
    /// Keys that are none.
    #[error("its keys cannot be used")]
    Keys(#[source] KeySetError),
}

/// Checks a `101` (RFC 6455 section 4.1). Tells which subprotocol was chosen.
pub(super) fn upgraded<B>(head: &Response<B>, request: &ConsoleRequest) -> Result<Option<Subprotocol>, InvalidAnswer> {
    if head.version() != Version::HTTP_11 {
        return Err(InvalidAnswer::Version(head.version()));
    }
    let headers = head.headers();
    let websocket = |value: &str| value.eq_ignore_ascii_case("websocket");
    if !only(headers, UPGRADE).ok().flatten().is_some_and(websocket) {
        return Err(InvalidAnswer::Header("Upgrade"));
    }
    let mut options = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    if !options.any(|value| value.split(',').any(|option| option.trim().eq_ignore_ascii_case("upgrade"))) {
        return Err(InvalidAnswer::Header("Connection"));
    }
    if only(headers, SEC_WEBSOCKET_ACCEPT).ok().flatten() != Some(request.key.accept().as_str()) {
        return Err(InvalidAnswer::Header("Sec-WebSocket-Accept"));
    }
    if headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
        return Err(InvalidAnswer::Extension);
    }
    match only(headers, SEC_WEBSOCKET_PROTOCOL) {
        Ok(None) => Ok(None),
        Ok(Some(chosen)) => Subprotocol::ALL
            .into_iter()
            .find(|subprotocol| subprotocol.as_str() == chosen && was_offered(request, *subprotocol))
            .map(Some)
            .ok_or(InvalidAnswer::Header("Sec-WebSocket-Protocol")),
        Err(Unclear) => Err(InvalidAnswer::Header("Sec-WebSocket-Protocol")),
    }
}

const fn was_offered(request: &ConsoleRequest, subprotocol: Subprotocol) -> bool {
    match subprotocol {
        Subprotocol::Binary => request.binary,
        Subprotocol::SerialV1 => request.serial,
    }
}

/// Reads a refusal.
pub(super) fn refusal<B>(head: &Response<B>) -> Result<Reason, InvalidAnswer> {
    let text = only(head.headers(), REASON).ok().flatten();
    let reason = text.and_then(|code| code.parse::<Reason>().ok());
    reason.filter(|reason| may_be_an_agents(*reason) && reason.status() == head.status()).ok_or_else(|| {
        InvalidAnswer::Refusal {
            status: head.status(),
            reason: text.map(|text| text.chars().take(40).filter(char::is_ascii_graphic).collect()),
        }
    })
}

/// What only an edge can know, and what only ends sessions, is not an agent's refusal. A token whose guest has
/// stopped or moved, or whose session an operator killed or has reached a limit, may be refused with just that.
const fn may_be_an_agents(reason: Reason) -> bool {
    match reason {
        Reason::BadRequest
        | Reason::NoSuchKind
        | Reason::BadSignature
        | Reason::Expired
        | Reason::Revoked
        | Reason::Used
        | Reason::NotYours
        | Reason::UnknownToken
        | Reason::WrongNode
        | Reason::NoSuchConsole
        | Reason::NotRunning
        | Reason::Migrating
        | Reason::InUse
        | Reason::Unreachable
        | Reason::Unsupported
        | Reason::HypervisorDown
        | Reason::Full
        | Reason::Busy
        | Reason::Draining
        | Reason::Internal
        | Reason::ConsoleClosed
        | Reason::ShutOff
        | Reason::Destroyed
        | Reason::Crashed
        | Reason::Saved
        | Reason::Failed
        | Reason::Migrated
        | Reason::Killed
        | Reason::LimitReached
        | Reason::Idle
        | Reason::AgentStopping
        // It was told of the drain while it opened the console.
        | Reason::EdgeDraining => true,
        Reason::MissingToken
        | Reason::TokenConflict
        | Reason::NoSuchPage
        | Reason::MethodNotAllowed
        | Reason::OriginRefused
        | Reason::UnknownNode
        | Reason::AgentUnreachable
        | Reason::AgentInvalid
        | Reason::Superseded
        | Reason::TakenOver
        | Reason::AgentRestarted
        | Reason::ClientGone
        | Reason::ClientClosed
        | Reason::ClientStuck
        | Reason::ProtocolError
        | Reason::TextFrame
        | Reason::MessageTooBig => false,
    }
}

/// A header that stands more than once, or is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unclear;

fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Option<&str>, Unclear> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Unclear),
        (Some(_), Some(_)) => Err(Unclear),
    }
}

#[cfg(test)]
mod tests;
