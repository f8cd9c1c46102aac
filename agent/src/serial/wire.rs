//! `porthole.serial.v1`: what agent and page say to each other on a serial console's WebSocket.
//!
//! Binary frames are the port's bytes, both ways. Text frames are control messages: one JSON object each, told apart by
//! its `type`. Neither side minds types and fields that it does not know; text that is no such object ends the session.
//!
//! ```text
//!  agent                                                page
//!    │ state {role, start, oldest, end, …} ──────────────► │
//!    │ ◄────────── history {last: 65536}                   │   or {start, from}: it goes on where it was
//!    │ at {start, offset} ───────────────────────────────► │
//!    │ ▓▓▓ bytes from that offset on ▓▓▓ ────────────────► │
//!    │ skipped {from, to, why} ──────────────────────────► │   the next byte is that of offset `to`
//!    │ ▓▓▓ ──────────────────────────────────────────────► │
//!    │ ◄──────────────────────── ▓▓▓ what is typed ▓▓▓     │
//!    │ ◄────────── write | watch | break                   │
//!    │ state {…} or refused {what, why} ─────────────────► │
//! ```
//!
//! No byte of the port comes before the page has asked for history, so it never gets one twice. It may ask again at any
//! time; what it gets from the next `at` on is contiguous, but for what `skipped` tells. An offset counts the bytes
//! since `start`, which is a name and no time: with another `start`, offsets of an earlier one mean nothing, and asking
//! from one gets what was said last.

use porthole_shared::tunnel::Writer;
use serde::{Deserialize, Serialize};

use super::roles::Role;

/// The longest control message that is read, in bytes.
pub(super) const MAX_CONTROL: usize = 4096;

/// What the agent says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromAgent {
    /// How things are: at the beginning, and whenever something of it but `end` changes.
    State(State),
    /// The next byte is the one of this offset.
    At {
        /// Of which start of the guest.
        start: String,
        /// Its offset.
        offset: u64,
    },
    /// Bytes that do not come. The next byte is the one of offset `to`.
    Skipped {
        /// The offset of the first that is left out.
        from: u64,
        /// The offset of the first that is not. With `lost` it equals `from`: nobody knows how many there were.
        to: u64,
        /// Why they do not come.
        why: Why,
    },
    /// What the page asked for is not done.
    Refused {
        /// The `type` of what it asked.
        what: String,
        /// A reason code, as in a refused connection.
        why: String,
    },
}

/// Why bytes do not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The page was too slow for what the guest said.
    Slow,
    /// They are not kept any more.
    NotKept,
    /// Nobody was attached to the port when the guest said them.
    Lost,
}

/// How things are on a port, for one viewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What this viewer is now.
    pub role: Role,
    /// What offsets count from.
    pub start: String,
    /// The offset of the first byte that is kept.
    pub oldest: u64,
    /// The offset of the next byte that the guest will say.
    pub end: u64,
    /// Who writes.
    pub writer: Option<Writer>,
    /// How many watch.
    pub watchers: usize,
    /// How far this viewer's link goes.
    pub may: May,
    /// Whether `break` has an effect: the port speaks telnet.
    pub can_break: bool,
    /// Whether the port answers now. False: its guest has stopped, or starts.
    pub attached: bool,
}

/// How far a viewer's link goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum May {
    /// To see what the guest says.
    Watch,
    /// And to write while nobody else does.
    Write,
    /// And to take over from whoever does.
    Force,
}

/// What the page says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromPage {
    /// Send what was said, and go on with what will be.
    History(Wanted),
    /// Let me write; take over, if my link has that right.
    Write,
    /// Let me only watch from now on.
    Watch,
    /// Send a break on the line.
    Break,
    /// Something of a later release.
    #[serde(other)]
    Unknown,
}

impl FromPage {
    /// Its `type`.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::History(_) => "history",
            Self::Write => "write",
            Self::Watch => "watch",
            Self::Break => "break",
            Self::Unknown => "unknown",
        }
    }
}

/// Which part of what was said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// What `from` counts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// From this offset on, if `start` is still the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Otherwise the most recent so many bytes; all that is kept, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use porthole_shared::clock::UnixTime;
    use serde_json::{Value, json};

    #[test]
    fn the_agents_messages_are_as_documented() {
        let client = Some("192.0.2.7:40000".parse().unwrap());
        let writer = Writer { who: Some("mia".parse().unwrap()), client, since: UnixTime(1000) };
        let state = State {
            role: Role::Watcher,
            start: "3-71".to_owned(),
            oldest: 0,
            end: 70_000,
            writer: Some(writer),
            watchers: 2,
            may: May::Write,
            can_break: false,
            attached: true,
        };
        let written: [(FromAgent, Value); 5] = [
            (
                FromAgent::State(state),
                json!({
                    "type": "state", "role": "watcher", "start": "3-71", "oldest": 0, "end": 70_000,
                    "writer": { "who": "mia", "client": "192.0.2.7:40000", "since": 1000 }, "watchers": 2,
                    "may": "write", "can_break": false, "attached": true,
                }),
            ),
            (
                FromAgent::At { start: "3-71".to_owned(), offset: 4464 },
                json!({ "type": "at", "start": "3-71", "offset": 4464 }),
            ),
            (
                FromAgent::Skipped { from: 1, to: 9, why: Why::NotKept },
                json!({ "type": "skipped", "from": 1, "to": 9, "why": "not_kept" }),
            ),
            (
                FromAgent::Skipped { from: 9, to: 9, why: Why::Lost },
                json!({ "type": "skipped", "from": 9, "to": 9, "why": "lost" }),
            ),
            (
                FromAgent::Refused { what: "write".to_owned(), why: "in_use".to_owned() },
                json!({ "type": "refused", "what": "write", "why": "in_use" }),
            ),
        ];
        for (message, json) in written {
            assert_eq!(serde_json::to_value(&message).unwrap(), json);
            assert_eq!(serde_json::from_value::<FromAgent>(json).unwrap(), message);
        }
    }

    #[test]
    fn the_pages_messages_are_as_documented() {
        let wanted =
            |start: Option<&str>, from, last| FromPage::History(Wanted { start: start.map(str::to_owned), from, last });
        for (json, message) in [
            (json!({ "type": "history", "last": 65536 }), wanted(None, None, Some(65536))),
            (json!({ "type": "history", "start": "3-71", "from": 70_000 }), wanted(Some("3-71"), Some(70_000), None)),
            (json!({ "type": "history" }), wanted(None, None, None)),
            (json!({ "type": "write" }), FromPage::Write),
            (json!({ "type": "watch" }), FromPage::Watch),
            (json!({ "type": "break" }), FromPage::Break),
        ] {
            assert_eq!(serde_json::from_value::<FromPage>(json.clone()).unwrap(), message);
            assert_eq!(serde_json::to_value(&message).unwrap(), json);
            assert_eq!(json["type"], message.as_str());
        }
    }

    #[test]
    fn what_a_later_release_says_does_no_harm() {
        let later = json!({ "type": "resize", "rows": 24 });
        assert_eq!(serde_json::from_value::<FromPage>(later).unwrap(), FromPage::Unknown);
        let more = json!({ "type": "write", "politely": true });
        assert_eq!(serde_json::from_value::<FromPage>(more).unwrap(), FromPage::Write);
        for wrong in [json!("write"), json!({}), json!({ "type": "history", "from": -1 })] {
            assert!(serde_json::from_value::<FromPage>(wrong).is_err());
        }
    }
}
