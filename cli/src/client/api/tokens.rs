//! Links: how they are asked for, and what is said of them.

use std::str::FromStr;

use porthole_shared::names::{ConsoleKind, ConsoleName, Requestor};
use serde::{Deserialize, Serialize};

/// The body of a `POST` to [`TOKENS`](super::TOKENS).
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Mint<'a> {
    /// By name or UUID.
    pub(crate) console: &'a ConsoleName,
    /// What is spoken on it; the agent chooses otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<ConsoleKind>,
    /// Which one of that kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<Index>,
    /// How often, and by whom, it can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<Policy>,
    /// For how many seconds it can be used for the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ttl: Option<i64>,
    /// For how many seconds after its longest session it is still known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grace: Option<i64>,
    /// To watch only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) read_only: bool,
    /// To take over.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) force: bool,
    /// After how many seconds without input a session ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idle: Option<i64>,
    /// After how many seconds a session ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) longest: Option<i64>,
    /// Who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requestor: Option<&'a Requestor>,
}

/// Which console of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Index {
    /// The one of this number.
    Number(u8),
    /// A word.
    Word(IndexWord),
}

/// Instead of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IndexWord {
    /// The first serial port that is free.
    Any,
}

impl FromStr for Index {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "any" => Ok(Self::Word(IndexWord::Any)),
            number => number.parse().map(Self::Number).map_err(|_| "use a number from 0 to 255, or `any`".to_owned()),
        }
    }
}

/// How often, and by whom, a link can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Policy {
    /// By the first browser window that opens it, as often as that likes; any other viewer: once
    Bound,
    /// Once
    Once,
    /// By anybody, as often as they like, until --ttl is over
    Reusable,
}

/// The answer to it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Minted {
    /// The link.
    pub(crate) url: String,
}

/// The answer to a `GET` of [`TOKENS`](super::TOKENS).
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Tokens {
    /// Some of them.
    pub(crate) tokens: Vec<Token>,
    /// Where the list goes on.
    #[serde(default)]
    pub(crate) next: Option<String>,
}

/// A token in it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Token {
    /// Its id.
    pub(crate) id: String,
    /// What it is for.
    pub(crate) console: TokenConsole,
    /// What is spoken there.
    pub(crate) kind: String,
    /// Who asked for it.
    #[serde(default)]
    pub(crate) requestor: Option<String>,
    /// How often, and by whom, it can be used.
    pub(crate) policy: String,
    /// To watch only.
    #[serde(default)]
    pub(crate) read_only: bool,
    /// How often it was used.
    pub(crate) uses: u64,
    /// Until when it can be used for the first time.
    pub(crate) redeem_by: String,
    /// Until when it can be used at all.
    pub(crate) expires: String,
    /// Whether it can be used now.
    pub(crate) usable: bool,
    /// Why it is void.
    #[serde(default)]
    pub(crate) void_reason: Option<String>,
}

/// The console of a token.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TokenConsole {
    /// What it is called.
    pub(crate) name: String,
}
