//! Why a domain does not get its consoles.

use porthole_domain::{AllocationError, MergeError, NoRandomness, PasswordError, ReadError};

use crate::hypervisor::{DefinitionError, FindError, RedefineError};
use crate::ports::AllocateError;
use crate::store;

/// Consoles cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The XML cannot be used.
    #[error("the domain's XML, {0}")]
    Xml(#[from] ReadError),
    /// There are no ports for it.
    #[error(transparent)]
    Ports(#[from] AllocateError),
    /// QEMU cannot use the ports of the table.
    #[error("{0}: choose another range in [ports]")]
    Unfit(AllocationError),
    /// The screen's password is missing, or one too many.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// No password can be made.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// A mistake of ours.
    #[error("cannot write the consoles")]
    Edit(#[source] MergeError),
}

impl From<AllocationError> for RenderError {
    fn from(error: AllocationError) -> Self {
        Self::Unfit(error)
    }
}

impl From<MergeError> for RenderError {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::Read(error) => Self::Xml(error),
            MergeError::Allocation(error) => Self::Unfit(error),
            MergeError::Password(error) => Self::Password(error),
            MergeError::Edit(_) => Self::Edit(error),
        }
    }
}

impl From<porthole_domain::RenderError> for RenderError {
    fn from(error: porthole_domain::RenderError) -> Self {
        match error {
            porthole_domain::RenderError::Allocation(error) => Self::Unfit(error),
            porthole_domain::RenderError::Password(error) => Self::Password(error),
        }
    }
}

/// A domain's definition cannot be shown, or stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The domain cannot be looked up.
    #[error(transparent)]
    Find(#[from] FindError),
    /// Its definition cannot be read.
    #[error(transparent)]
    Read(#[from] DefinitionError),
    /// The consoles cannot be written.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A log is to be where it must not be.
    #[error("the log {log} is not in {folder}: libvirt writes it as root, so nothing else is taken ([consoles] logs)")]
    LogElsewhere {
        /// Where it was to be.
        log: String,
        /// Where it may be.
        folder: String,
    },
    /// libvirt does not take the definition, or has another one now.
    #[error(transparent)]
    Redefine(#[from] RedefineError),
    /// The table of ports cannot be read or written.
    #[error("cannot read or write whose the ports are")]
    Store(#[from] store::Error),
}

impl From<ReadError> for ApplyError {
    fn from(error: ReadError) -> Self {
        Self::Render(error.into())
    }
}

impl From<MergeError> for ApplyError {
    fn from(error: MergeError) -> Self {
        Self::Render(error.into())
    }
}

impl From<AllocateError> for ApplyError {
    fn from(error: AllocateError) -> Self {
        Self::Render(error.into())
    }
}

impl From<NoRandomness> for ApplyError {
    fn from(error: NoRandomness) -> Self {
        Self::Render(error.into())
    }
}
