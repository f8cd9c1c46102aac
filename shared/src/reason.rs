//! Why a console was refused, or how a session ended: the one table that agent, edge, pages and command line share.
//!
//! A reason has a code (what goes over the wire and into the database), an HTTP status (what a refusal answers), a
//! WebSocket close code (what an end sends; RFC 6455 section 7.4, ours from 4000 on) and words for the person in front
//! of the screen. The agent sends codes only; whoever faces the person words them.

use std::fmt;
use std::str::FromStr;

use http::StatusCode;
use serde::{Deserialize, Serialize};

/// Writes the table once and makes all directions from it.
macro_rules! reasons {
    ($($variant:ident $code:literal $status:literal $close:literal $words:literal $next:literal)*) => {
        /// Why a console was refused, or how a session ended.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "&'static str")]
        pub enum Reason {
            $(#[doc = $words] $variant,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code on the wire (`X-Porthole-Reason`, the text of a close frame), in JSON and in the database.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// What a refusal with this reason answers. For reasons that only ever end sessions: what a later request
            /// with the same token would be told.
            pub const fn status(self) -> StatusCode {
                match StatusCode::from_u16(match self { $(Self::$variant => $status,)* }) {
                    Ok(status) => status,
                    Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
                }
            }

            /// The WebSocket close code of a session that ends with this reason.
            pub const fn close_code(self) -> u16 {
                match self { $(Self::$variant => $close,)* }
            }

            /// What happened, in a sentence for a person.
            pub const fn words(self) -> &'static str {
                match self { $(Self::$variant => $words,)* }
            }

            /// What that person can do next, in a sentence.
            pub const fn next_step(self) -> &'static str {
                match self { $(Self::$variant => $next,)* }
            }
        }
    };
}

// Close codes: 1000-1015 as RFC 6455 and the IANA registry have them; 40xx are refusals and ends of our own. A close
// code may stand for several reasons; the close frame's text tells which.
reasons! {
    // Refusals of a request that is wrong in itself.
    BadRequest       "bad_request"       400 1002 "The request is not one that a console client makes." "Open the console again from where you got the link."
    MissingToken     "missing_token"     401 4401 "There is no token in this request." "Open the link exactly as you were given it."
    TokenConflict    "token_conflict"    400 4400 "The request carries two different tokens." "Open the link in a new private window, or delete this site's cookies."
    NoSuchKind       "no_such_kind"      400 4400 "The guest has no console of this kind." "Ask for another kind, or have one added to the guest."
    NoSuchPage       "no_such_page"      404 4404 "There is no such page." "Check the address."
    MethodNotAllowed "method_not_allowed" 405 4405 "This address does not take that kind of request." "Check the address."
    // Refusals of the token.
    BadSignature     "bad_signature"     401 4401 "The token was not made by the host that it names." "Ask for a new link."
    Expired          "expired"           401 4401 "This link has expired." "Ask for a new one."
    Revoked          "revoked"           403 4403 "This link was withdrawn." "Ask whoever gave it to you for a new one."
    Used             "used"              403 4403 "This link was already used." "Ask for a new one."
    NotYours         "not_yours"         403 4403 "This link belongs to another browser window." "Ask for a new one."
    OriginRefused    "origin_refused"    403 4403 "A page of another site tried to open this console." "Open the console from its own page, or have the site added to allowed_origins."
    UnknownToken     "unknown_token"     404 4404 "The host does not know this token." "Ask for a new link."
    WrongNode        "wrong_node"        421 4421 "The token is for another host." "Ask for a new link."
    UnknownNode      "unknown_node"      404 4404 "No host is known by what this token names." "Ask the operator to add the node to the edge's directory."
    // The console.
    NoSuchConsole    "no_such_console"   404 4404 "The guest is not on this host." "Ask for a new link; the guest may have moved."
    NotRunning       "not_running"       409 4409 "The guest is not running." "Start it, then open the console again."
    Migrating        "migrating"         409 4409 "The guest is moving to another host." "Try again in a minute, with a new link."
    InUse            "in_use"            409 4409 "Somebody else has this console open." "Try again later, or ask for a link that may take over."
    Unreachable      "unreachable"       502 4502 "The guest's console does not answer." "Try again; if it stays so, tell the operator."
    Unsupported      "unsupported"       501 4501 "The guest's console asks for something that this agent does not speak." "Tell the operator."
    AgentUnreachable "agent_unreachable" 502 4502 "The guest's host does not answer." "Try again; if it stays so, tell the operator."
    AgentInvalid     "agent_invalid"     502 4502 "The guest's host gave an answer that makes no sense." "Tell the operator; the host may run another version."
    HypervisorDown   "hypervisor_down"   503 4503 "The host's hypervisor service does not answer." "Try again; if it stays so, tell the operator."
    Full             "full"              503 4503 "The host has as many console sessions as it may." "Close one, or try again later."
    Busy             "busy"              503 4503 "The host has too much to do at the moment." "Try again in a moment."
    Draining         "draining"          503 1012 "This server is about to restart." "Try again in a moment."
    Internal         "internal"          500 1011 "Something went wrong on the server." "Try again; if it stays so, tell the operator."
    // Ends of sessions.
    ConsoleClosed    "console_closed"    409 4410 "The guest's console ended the connection." "Open it again."
    ShutOff          "shut_off"          409 4411 "The guest was shut down." "Start it, then ask for a new link."
    Destroyed        "destroyed"         409 4411 "The guest was switched off." "Start it, then ask for a new link."
    Crashed          "crashed"           409 4411 "The guest crashed." "Start it, then ask for a new link."
    Saved            "saved"             409 4411 "The guest was saved to disk." "Restore it, then ask for a new link."
    Failed           "failed"            409 4411 "The guest's emulator failed." "Tell the operator."
    Migrated         "migrated"          409 4412 "The guest moved to another host." "Ask for a new link."
    Killed           "killed"            403 4413 "The operator ended this session." "Ask the operator."
    Superseded       "superseded"        409 4414 "The console was opened again elsewhere, and that connection took over." "Go to the other window, or reconnect here."
    TakenOver        "taken_over"        409 4418 "Somebody else took this console over." "Ask them, or for a link that may take over; or watch."
    LimitReached     "limit_reached"     401 4415 "The session reached its longest duration." "Ask for a new link."
    Idle             "idle"              401 4417 "The session ended because nobody used it." "Ask for a new link."
    AgentStopping    "agent_stopping"    503 1012 "The host's console service is restarting." "Reconnect in a moment."
    EdgeDraining     "edge_draining"     503 1012 "The console gateway is restarting." "Reconnect in a moment."
    AgentRestarted   "agent_restarted"   503 1012 "The host's console service restarted." "Reconnect in a moment."
    ClientGone       "client_gone"       409 1000 "The viewer went away." "Open the console again."
    ClientClosed     "client_closed"     409 1000 "The viewer closed the session." "Open the console again."
    ClientStuck      "client_stuck"      409 4416 "The viewer stopped reading or answering." "Open the console again."
    ProtocolError    "protocol_error"    400 1002 "The viewer broke the WebSocket protocol." "Use another viewer."
    TextFrame        "text_frame"        400 1003 "The viewer sent text where only binary frames belong." "Use another viewer."
    MessageTooBig    "message_too_big"   400 1009 "The viewer sent a message that is too long." "Use another viewer."
}

/// Who may try again with the same token, after a refusal or an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// A viewer, without being asked: what happened is likely to be over in a moment without anybody's doing.
    ByItself,
    /// Only a person. A viewer that went on by itself would fight somebody's decision, or ask in vain.
    ByPerson,
    /// Nobody: the token is worth nothing any more.
    Never,
}

impl Reason {
    /// Who may try again.
    pub const fn retry(self) -> Retry {
        match self {
            Self::Unreachable
            | Self::AgentUnreachable
            | Self::HypervisorDown
            | Self::Full
            | Self::Busy
            | Self::Draining
            | Self::AgentStopping
            | Self::EdgeDraining
            | Self::AgentRestarted
            | Self::ConsoleClosed
            | Self::ClientGone
            | Self::ClientStuck => Retry::ByItself,
            Self::NoSuchPage
            | Self::MethodNotAllowed
            | Self::NoSuchConsole
            | Self::NotRunning
            | Self::Migrating
            | Self::InUse
            | Self::Unsupported
            | Self::AgentInvalid
            | Self::Internal
            | Self::Superseded
            | Self::TakenOver
            | Self::ClientClosed
            | Self::ProtocolError
            | Self::TextFrame
            | Self::MessageTooBig => Retry::ByPerson,
            Self::BadRequest
            | Self::MissingToken
            | Self::TokenConflict
            | Self::NoSuchKind
            | Self::BadSignature
            | Self::Expired
            | Self::Revoked
            | Self::Used
            | Self::NotYours
            | Self::OriginRefused
            | Self::UnknownToken
            | Self::WrongNode
            | Self::UnknownNode
            // A guest's end voids its tokens.
            | Self::ShutOff
            | Self::Destroyed
            | Self::Crashed
            | Self::Saved
            | Self::Failed
            | Self::Migrated
            | Self::Killed
            | Self::LimitReached
            | Self::Idle => Retry::Never,
        }
    }
}

/// A code that is not in the table: from another release, or no code at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a reason code of this release")]
pub struct UnknownReason;

impl FromStr for Reason {
    type Err = UnknownReason;
    fn from_str(code: &str) -> Result<Self, UnknownReason> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code).ok_or(UnknownReason)
    }
}

impl TryFrom<String> for Reason {
    type Error = UnknownReason;
    fn try_from(code: String) -> Result<Self, UnknownReason> {
        code.parse()
    }
}

impl From<Reason> for &'static str {
    fn from(reason: Reason) -> Self {
        reason.code()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_round_trip_and_are_unique() {
        let mut seen = HashSet::new();
        for &reason in Reason::ALL {
            assert_eq!(reason.code().parse(), Ok(reason));
            assert!(seen.insert(reason.code()), "{reason} stands twice");
            let json = serde_json::to_string(&reason).unwrap();
            assert_eq!(serde_json::from_str::<Reason>(&json).unwrap(), reason);
        }
        assert_eq!("no-such".parse::<Reason>(), Err(UnknownReason));
    }

    #[test]
    fn who_waits_for_what_passes_finds_it_again_with_the_same_token() {
        for &reason in Reason::ALL.iter().filter(|reason| reason.retry() == Retry::ByItself) {
            let answer = reason.status().as_u16();
            assert!([409, 502, 503].contains(&answer), "{reason}: {answer} says that the token itself is no good");
        }
        // What a restart of our own services sends must be among them.
        for &reason in Reason::ALL.iter().filter(|reason| reason.close_code() == 1012) {
            assert_eq!(reason.retry(), Retry::ByItself, "{reason}");
        }
    }

    #[test]
    fn every_row_is_usable() {
        for &reason in Reason::ALL {
            assert!(reason.status().as_u16() >= 400, "{reason}: a refusal is an error status");
            let close = reason.close_code();
            // RFC 6455 section 7.4: what an endpoint may send.
            assert!([1000, 1002, 1003, 1009, 1011, 1012].contains(&close) || (4000..5000).contains(&close), "{reason}");
            assert!(reason.code().len() <= 123, "a close frame's text has at most 123 bytes");
            for sentence in [reason.words(), reason.next_step()] {
                assert!(sentence.ends_with('.') && sentence.len() > 10, "{reason}: {sentence}");
            }
        }
    }
}
