//! What goes to the machinery over its channel: questions as plain data, each with the way back for its answer.
//!
//! An answer owns all that it holds (a descriptor is an [`OwnedFd`]), and nothing in a command refers to libvirt, so the
//! machinery could be a process of its own. A test of another module takes the receiving end of this channel and answers
//! itself; see [`Hypervisor::from_channel`](super::Hypervisor::from_channel).

use std::os::fd::OwnedFd;

use porthole_shared::names::ConsoleUuid;
use porthole_shared::secret::Secret;
use tokio::sync::oneshot;

use super::definition::{Definition, DefinitionError, RedefineError};
use super::domain::{DomainDescription, DomainSummary, NameOrUuid};
use super::error::{CallError, DescribeError, FindError, ListError, OpenConsoleError, OpenGraphicsError};

/// A question to libvirt.
#[derive(Debug)]
pub enum Command {
    /// All domains, also those that do not run.
    Domains {
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Vec<DomainSummary>, ListError>>,
    },
    /// One domain by name or UUID.
    Find {
        /// Which one.
        wanted: NameOrUuid,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<DomainSummary, FindError>>,
    },
    /// One domain with its XML.
    Describe {
        /// Which one.
        uuid: ConsoleUuid,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<DomainDescription, DescribeError>>,
    },
    /// One domain's definition, with its secrets.
    Definition {
        /// Which one.
        uuid: ConsoleUuid,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Definition, DefinitionError>>,
    },
    /// A domain is to have another definition.
    Redefine {
        /// Which one.
        uuid: ConsoleUuid,
        /// What it must be now.
        seen: Secret<String>,
        /// What it is to be.
        wanted: Secret<String>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<(), RedefineError>>,
    },
    /// A connection to one of a domain's graphical consoles.
    OpenGraphics {
        /// Which domain.
        uuid: ConsoleUuid,
        /// Which of its graphics devices, from 0 in the order of the XML.
        index: u8,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<OwnedFd, OpenGraphicsError>>,
    },
    /// A connection to one of a domain's text consoles.
    OpenConsole {
        /// Which domain.
        uuid: ConsoleUuid,
        /// The device's name; the first one, if there is none.
        device: Option<String>,
        /// Whoever else has it open is thrown out.
        force: bool,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<OwnedFd, OpenConsoleError>>,
    },
    /// Whether a migration holds a domain: asked when `OpenGraphics` has no answer.
    IsMigrating {
        /// Which domain.
        uuid: ConsoleUuid,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<bool, CallError>>,
    },
}

impl Command {
    /// Whether nobody waits for the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Domains { reply } => reply.is_closed(),
            Self::Find { reply, .. } => reply.is_closed(),
            Self::Describe { reply, .. } => reply.is_closed(),
            Self::Definition { reply, .. } => reply.is_closed(),
            Self::Redefine { reply, .. } => reply.is_closed(),
            Self::OpenGraphics { reply, .. } => reply.is_closed(),
            Self::OpenConsole { reply, .. } => reply.is_closed(),
            Self::IsMigrating { reply, .. } => reply.is_closed(),
        }
    }

    /// Answers without having asked libvirt.
    pub(super) fn refuse(self, error: CallError) {
        // A send fails when nobody waits any more, which is nobody's loss.
        match self {
            Self::Domains { reply } => drop(reply.send(Err(error.into()))),
            Self::Find { reply, .. } => drop(reply.send(Err(error.into()))),
            Self::Describe { reply, .. } => drop(reply.send(Err(error.into()))),
            Self::Definition { reply, .. } => drop(reply.send(Err(error.into()))),
            Self::Redefine { reply, .. } => drop(reply.send(Err(error.into()))),
            Self::OpenGraphics { reply, .. } => drop(reply.send(Err(error.into()))),
            Self::OpenConsole { reply, .. } => drop(reply.send(Err(error.into()))),
            Self::IsMigrating { reply, .. } => drop(reply.send(Err(error))),
        }
    }
}
