//! What can happen to consoles, as those tell it whom it happens to.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use porthole_shared::clock::UnixTime;
use porthole_shared::names::{ConsoleId, ConsoleName, EdgeName, Requestor, SessionId, TokenId};
use porthole_shared::reason::Reason;

use crate::callers::CallerName;
use crate::sessions::Selector;

/// Writes the table of kinds once: variant and word.
macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident $word:literal)*) => {
        /// What sort of thing happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $variant,)*
        }

        impl Kind {
            /// All of them, for tables and parsers.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word in the file, the log and the API.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

kinds! {
    /// A token was made.
    Minted "minted"
    /// A token was used for the first time.
    Redeemed "redeemed"
    /// Clients were refused: one entry for all of the same sort within a minute.
    Refused "refused"
    /// A connection of a session began.
    Started "started"
    /// A connection of a session ended.
    Ended "ended"
    /// Somebody withdrew tokens.
    Revoked "revoked"
    /// Somebody ended sessions.
    Killed "killed"
    /// Entries are missing here.
    Lost "lost"
}

/// A word that is no kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such event: use minted, redeemed, refused, started, ended, revoked, killed or lost")]
pub struct UnknownKind;

impl FromStr for Kind {
    type Err = UnknownKind;
    fn from_str(word: &str) -> Result<Self, UnknownKind> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word).ok_or(UnknownKind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A token and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The token's public name.
    pub token: TokenId,
    /// Its console.
    pub console: ConsoleId,
    /// What that was called when the token was made.
    pub name: ConsoleName,
    /// Who asked for it.
    pub requestor: Option<Requestor>,
    /// Which caller of the API had it made.
    pub minted_by: Option<CallerName>,
}

/// One who is connected, and to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// By which token.
    pub subject: Subject,
    /// In which session.
    pub session: SessionId,
    /// From where, as the edge sees it.
    pub client: String,
    /// By which edge.
    pub edge: EdgeName,
}

/// The end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Whose.
    pub viewer: Viewer,
    /// When.
    pub at: UnixTime,
    /// Why.
    pub reason: Reason,
    /// How many connections the session has left; with none, it has ended, too.
    pub connections: u64,
    /// What this connection carried from and to the client, if that is known.
    pub bytes: Option<(u64, u64)>,
}

/// A client that did not get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// By which edge it came.
    pub edge: EdgeName,
    /// From where, as the edge sees it.
    pub client: IpAddr,
    /// With which token, if that is one of this host.
    pub subject: Option<Subject>,
}

/// What an operator or control plane did to tokens or sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// To which.
    pub to: Target,
    /// How many tokens were withdrawn.
    pub tokens: u64,
    /// How many connections were told to end.
    pub connections: u64,
    /// Which caller of the API did it.
    pub caller: CallerName,
}

/// What a deed was done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One token.
    Token {
        /// Its name.
        id: TokenId,
        /// What is known of it.
        subject: Option<Subject>,
    },
    /// One session, and its token.
    Session {
        /// Its name.
        id: SessionId,
        /// The token's name.
        token: TokenId,
        /// What is known of that.
        subject: Option<Subject>,
    },
    /// All that have something in common.
    All(Selector),
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A token was made.
    Minted(Subject),
    /// A token was used for the first time.
    Redeemed(Viewer),
    /// A connection began.
    Started {
        /// Whose.
        viewer: Viewer,
        /// How many the session has with this one. One: the session began, or goes on after a pause.
        connections: u64,
    },
    /// A connection ended.
    Ended(Ending),
    /// A client was refused.
    Refused(Refusal),
    /// Tokens were withdrawn.
    Revoked(Deed),
    /// Sessions were ended.
    Killed(Deed),
}
