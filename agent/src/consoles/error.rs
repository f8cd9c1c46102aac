//! Why a console cannot be listed, found or resolved: one error per operation.

use porthole_shared::names::{ConsoleKind, ConsoleName, ConsoleUuid};
use porthole_shared::reason::Reason;

use super::XmlError;
use crate::hypervisor::{self, DescribeError, DomainState};

/// The consoles cannot be listed.
#[derive(Debug, thiserror::Error)]
#[error("cannot list the consoles")]
pub struct ListError(#[from] pub hypervisor::ListError);

/// No owner was found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// There is none.
    #[error("there is no console {wanted:?} on this host: `porthole consoles` lists what there is")]
    NoSuchConsole {
        /// What was asked for.
        wanted: String,
    },
    /// There are two.
    #[error("{name} is both the domain {domain} and the external console {external}: ask by UUID")]
    Ambiguous {
        /// The name.
        name: ConsoleName,
        /// The domain that has it.
        domain: ConsoleUuid,
        /// The external console that has it.
        external: ConsoleUuid,
    },
    /// libvirt cannot look it up.
    #[error("cannot look up {wanted:?}")]
    Lookup {
        /// What was asked for.
        wanted: String,
        /// Why.
        #[source]
        source: hypervisor::FindError,
    },
    /// libvirt cannot describe it.
    #[error("cannot look into {wanted:?}")]
    Describe {
        /// What was asked for.
        wanted: String,
        /// Why.
        #[source]
        source: DescribeError,
    },
    /// Its XML makes no sense.
    #[error("cannot look into {wanted:?}")]
    Xml {
        /// What was asked for.
        wanted: String,
        /// Why.
        #[source]
        source: XmlError,
    },
}

impl FindError {
    /// What whoever asks is told.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NoSuchConsole { .. } => Reason::NoSuchConsole,
            Self::Ambiguous { .. } => Reason::BadRequest,
            Self::Lookup { source, .. } => source.reason(),
            Self::Describe { source, .. } => source.reason(),
            Self::Xml { .. } => Reason::Unsupported,
        }
    }
}

/// A console cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Its owner is gone.
    #[error("the domain or external console is not on this host (any more)")]
    NoSuchOwner,
    /// Its owner does not run.
    #[error("the domain is {state}")]
    NotRunning {
        /// What it is doing instead.
        state: DomainState,
    },
    /// Its owner has no such console (any more).
    #[error("the domain has no {kind} console {index} (any more)")]
    NoSuchKind {
        /// The kind.
        kind: ConsoleKind,
        /// Which of them.
        index: u8,
    },
    /// Nobody but a local libvirt reaches it.
    #[error("the console listens {0}, and libvirt is not on this host")]
    OutOfReach(&'static str),
    /// libvirt cannot describe its owner.
    #[error("cannot look into the domain")]
    Describe(#[source] DescribeError),
    /// The owner's XML makes no sense.
    #[error("cannot look into the domain")]
    Xml(#[source] XmlError),
}

impl ResolveError {
    /// What the client is told.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NoSuchOwner => Reason::NoSuchConsole,
            Self::NotRunning { .. } => Reason::NotRunning,
            Self::NoSuchKind { .. } => Reason::NoSuchKind,
            Self::OutOfReach(_) | Self::Xml(_) => Reason::Unsupported,
            Self::Describe(error) => error.reason(),
        }
    }
}
