//! A port of the table.

use std::fmt;
use std::str::FromStr;

use porthole_shared::clock::UnixTime;
use porthole_shared::names::ConsoleUuid;

use super::Device;

/// What a port of the table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PortState {
    /// Given to a domain that libvirt has not been seen to know.
    Pending,
    /// A domain's, for as long as libvirt knows that.
    Leased,
    /// Still a domain's, which libvirt seems not to know any more.
    Releasing,
    /// Nobody's of ours: something else was found there.
    Foreign,
}

impl PortState {
    /// All.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Leased, Self::Releasing, Self::Foreign];

    /// The word in API and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Leased => "leased",
            Self::Releasing => "releasing",
            Self::Foreign => "foreign",
        }
    }
}

impl fmt::Display for PortState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a state of a port")]
pub struct UnknownState;

impl FromStr for PortState {
    type Err = UnknownState;
    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(UnknownState)
    }
}

/// Whose a port is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// The domain.
    pub domain: ConsoleUuid,
    /// Which of its devices.
    pub device: Device,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.device, self.domain)
    }
}

/// A port of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRow {
    /// Its number.
    pub port: u16,
    /// What it is.
    pub state: PortState,
    /// Whose; `None` if foreign.
    pub owner: Option<Owner>,
    /// The domain was found to use it; nobody asked for it.
    pub adopted: bool,
    /// Since when it is in this state.
    pub since: UnixTime,
    /// When this state ends by itself.
    pub expires: Option<UnixTime>,
}
