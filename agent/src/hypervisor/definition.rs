//! A domain's persistent definition, as libvirt keeps it for the next start.

use porthole_shared::names::{ConsoleName, ConsoleUuid};
use porthole_shared::secret::Secret;

use super::domain::DomainState;
use super::error::CallError;

/// A definition, with whatever secrets it has: written back without them, it would lose them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The domain's UUID.
    pub uuid: ConsoleUuid,
    /// Its name.
    pub name: ConsoleName,
    /// What it was doing when libvirt answered.
    pub state: DomainState,
    /// What it will be at its next start.
    pub defined: Secret<String>,
    /// What it is now, if it runs. With its secrets, so that the two can be compared.
    pub live: Option<Secret<String>>,
    /// It was saved: at its next start it goes on as it was then, whatever its definition says.
    pub is_saved: bool,
}

/// A definition cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// This libvirt has no such domain.
    #[error("libvirt has no such domain")]
    NoSuchDomain,
    /// The domain is only there as long as it runs.
    #[error("the domain is transient: it has no definition that could be changed")]
    Transient,
    /// Its XML is longer than the agent takes.
    #[error("the domain's XML has {bytes} bytes; at most {} are read", super::MAX_XML_BYTES)]
    TooLarge {
        /// The length of the XML.
        bytes: usize,
    },
    /// The call failed.
    #[error("cannot read the domain's definition")]
    Call(#[from] CallError),
}

/// A definition cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedefineError {
    /// It cannot be read first.
    #[error(transparent)]
    Read(#[from] DefinitionError),
    /// It is not any more what it was when the change was made up.
    #[error("somebody else has changed the domain's definition meanwhile")]
    Changed,
    /// The call failed. After a deadline it may still be under way.
    #[error("cannot change the domain's definition")]
    Call(#[from] CallError),
}

impl RedefineError {
    /// Whether the definition may be changed all the same: nobody has said no.
    pub(crate) const fn may_be_done_yet(&self) -> bool {
        match self {
            Self::Read(_) | Self::Changed | Self::Call(CallError::Libvirt(_)) => false,
            Self::Call(_) => true,
        }
    }
}
