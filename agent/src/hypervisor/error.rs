//! Why an operation on libvirt has no result: one enum per operation, over what can happen to any of them.

use porthole_shared::reason::Reason;

/// What libvirt itself said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("libvirt says: {message} (error {code})")]
pub struct LibvirtError {
    /// libvirt's error number (`virErrorNumber`).
    pub code: u32,
    /// libvirt's words. They may name paths of this host: for the operator, not for a browser.
    pub message: String,
}

/// What can happen to any call, whatever it asks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There is no connection to libvirt now, or it ended under the call.
    #[error("libvirt is not connected; see the agent's log, and whether libvirtd runs")]
    Disconnected,
    /// The client waited as long as it may. The call may still be under way.
    #[error("libvirt did not answer in time; the domain's emulator or libvirtd may hang")]
    DeadlineExceeded,
    /// Earlier calls for the same domain, or for too many stuck domains, have not returned.
    #[error("earlier calls have not returned; the domain's emulator may hang")]
    Busy,
    /// libvirt refused in a way this module does not tell apart.
    #[error(transparent)]
    Libvirt(#[from] LibvirtError),
}

/// The domains cannot be listed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot list the domains")]
pub struct ListError(#[from] pub CallError);

/// A domain cannot be looked up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// This libvirt has no such domain.
    #[error("libvirt has no such domain")]
    NoSuchDomain,
    /// The call failed.
    #[error("cannot look up the domain")]
    Call(#[from] CallError),
}

/// A domain cannot be described.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescribeError {
    /// This libvirt has no such domain.
    #[error("libvirt has no such domain")]
    NoSuchDomain,
    /// Its XML is longer than the agent takes.
    #[error("the domain's XML has {bytes} bytes; at most {} are read", super::MAX_XML_BYTES)]
    TooLarge {
        /// The length of the XML.
        bytes: usize,
    },
    /// The call failed.
    #[error("cannot read the domain's XML")]
    Call(#[from] CallError),
}

/// A graphical console cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenGraphicsError {
    /// This libvirt has no such domain.
    #[error("libvirt has no such domain")]
    NoSuchDomain,
    /// The domain does not run.
    #[error("the domain is not running")]
    NotRunning,
    /// A migration, in or out, holds the domain.
    #[error("the domain is migrating")]
    Migrating,
    /// Another long operation (saving, dumping, a snapshot) holds the domain.
    #[error("another operation of libvirt holds the domain; try again when it has ended")]
    Occupied,
    /// The domain has no graphics of that index.
    #[error("the domain has no graphics device {index}")]
    NoSuchGraphics {
        /// What was asked for.
        index: u8,
    },
    /// This libvirt is reached over a network, which carries no descriptors.
    #[error("libvirt is not reached by a unix socket of this host, so it cannot pass the console's descriptor")]
    Remote,
    /// This hypervisor driver cannot do it.
    #[error("libvirt's driver cannot open graphics by descriptor")]
    Unsupported,
    /// The call failed.
    #[error("cannot open the domain's graphics")]
    Call(#[from] CallError),
}

/// A text console cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenConsoleError {
    /// This libvirt has no such domain.
    #[error("libvirt has no such domain")]
    NoSuchDomain,
    /// The domain does not run.
    #[error("the domain is not running")]
    NotRunning,
    /// Somebody has it open, and only one can.
    #[error("somebody else has this console open through libvirt (`virsh console`, for one)")]
    InUse,
    /// This hypervisor driver cannot do it.
    #[error("libvirt's driver cannot open this console")]
    Unsupported,
    /// The system gives no socket or thread.
    #[error("cannot carry the console's bytes: {0}")]
    System(String),
    /// The call failed.
    #[error("cannot open the domain's console")]
    Call(#[from] CallError),
}

impl OpenConsoleError {
    /// What a client is told.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NoSuchDomain => Reason::NoSuchConsole,
            Self::NotRunning => Reason::NotRunning,
            Self::InUse => Reason::InUse,
            Self::Unsupported => Reason::Unsupported,
            Self::System(_) => Reason::Internal,
            Self::Call(call) => call.reason(),
        }
    }
}

impl CallError {
    /// What a client is told.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Disconnected => Reason::HypervisorDown,
            Self::DeadlineExceeded | Self::Busy | Self::Libvirt(_) => Reason::Unreachable,
        }
    }
}

impl FindError {
    /// What a client is told.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NoSuchDomain => Reason::NoSuchConsole,
            Self::Call(call) => call.reason(),
        }
    }
}

impl DescribeError {
    /// What a client is told.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NoSuchDomain => Reason::NoSuchConsole,
            Self::TooLarge { .. } => Reason::Unsupported,
            Self::Call(call) => call.reason(),
        }
    }
}

impl OpenGraphicsError {
    /// What a client is told.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NoSuchDomain | Self::NoSuchGraphics { .. } => Reason::NoSuchConsole,
            Self::NotRunning => Reason::NotRunning,
            Self::Migrating => Reason::Migrating,
            Self::Remote | Self::Unsupported => Reason::Unsupported,
            Self::Occupied => Reason::Unreachable,
            Self::Call(call) => call.reason(),
        }
    }
}
