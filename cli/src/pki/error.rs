//! What goes wrong with certificates, and what the operator does about it.

use std::path::{Path, PathBuf};

use porthole_shared::lifecycle::chain;
use porthole_shared::tls::TlsError;

use super::authority::IssueError;
use super::command;
use super::folder::FolderError;
use super::names::Purpose;
use crate::failure::{Exit, Failure};

/// A `porthole pki` command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PkiError {
    /// Files.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Making the certificate.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// Reading a certificate.
    #[error(transparent)]
    Read(#[from] TlsError),
    /// There is no CA.
    #[error("there is no CA in {}", root.display())]
    NoAuthority {
        /// The folder.
        root: PathBuf,
    },
    /// One half of the CA is missing.
    #[error("{} is there, but not {}", present.display(), missing.display())]
    HalfAuthority {
        /// The half that is there.
        present: PathBuf,
        /// The other.
        missing: PathBuf,
    },
    /// There is such a certificate already.
    #[error("{} holds the certificate of {purpose} already", path.display())]
    Exists {
        /// What for.
        purpose: Purpose,
        /// Where.
        path: PathBuf,
    },
    /// There is no such certificate.
    #[error("there is no certificate of {purpose} in {}", path.display())]
    Missing {
        /// What for.
        purpose: Purpose,
        /// Where it would be.
        path: PathBuf,
    },
    /// A node's name looks like an address, or ends in a number.
    #[error("the node name {0} cannot be a TLS server name: its last part must not be a number")]
    NodeName(String),
    /// More than browsers take.
    #[error("browsers take no certificate that is valid for more than 397 days, and {0} were asked for")]
    TooLongForBrowsers(u32),
}

impl PkiError {
    /// With what to do about it, in this folder.
    pub(super) fn into_failure(self, root: &Path) -> Failure {
        let text = chain(&self);
        let refused = || Failure::new(Exit::Refused, &text);
        let internal = || Failure::new(Exit::Internal, &text);
        let type_in = |what: &str, words: &str| format!("{what}: {}", command(root, words));
        match &self {
            Self::NoAuthority { .. } => refused().next(type_in("Make one first", "init")),
            Self::HalfAuthority { present, missing } => refused().next(format!(
                "Bring {} back from a backup; or, if nothing that this CA signed is in use, move {} away and run \
                 `porthole pki init` again.",
                missing.display(),
                present.display()
            )),
            Self::Exists { purpose: Purpose::Authority, path } => refused()
                .next(type_in("To let it last longer", "renew ca"))
                .next(format!("To start over, move {} away: nothing that it signed will be trusted.", path.display())),
            Self::Exists { purpose, .. } => refused()
                .next(type_in("To make it anew, with the names that it has", &format!("renew {}", purpose.argument()))),
            Self::Missing { purpose, .. } => {
                let make = match purpose {
                    Purpose::Authority => "init".to_owned(),
                    Purpose::Agent(node) => format!("agent --node {node} --san ADDRESS"),
                    Purpose::Edge(name) => format!("edge --name {name}"),
                    Purpose::Client(name) => format!("client --name {name}"),
                    Purpose::Public => "public --san NAME".to_owned(),
                };
                refused().next(type_in("To make one", &make)).next(type_in("To see what there is", "show"))
            }
            Self::NodeName(_) => refused().next("Name the node otherwise, for example compute-1."),
            Self::TooLongForBrowsers(_) => refused().next("Ask for --days 397 or less."),
            Self::Folder(FolderError::Open { path }) => {
                refused().next(format!("Look at who wrote what, then: chmod o-w {}", path.display()))
            }
            Self::Folder(FolderError::Occupied { .. }) => {
                refused().next(type_in("Nothing was overwritten. To see what there is", "show"))
            }
            Self::Folder(FolderError::Busy { .. }) => refused().next("Wait until it has ended, then try again."),
            Self::Folder(FolderError::Io { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => {
                internal().next("Run it as the user that the folder belongs to (root, for /etc/porthole/pki).")
            }
            Self::Issue(IssueError::Expired(_)) => refused()
                .next(type_in("Renew it", "renew ca"))
                .next("Then give its new ca.pem to every agent and edge."),
            Self::Issue(IssueError::TooFar(_)) => refused().next("Ask for fewer --days."),
            Self::Issue(IssueError::Foreign) => refused().next("Renew it with what it was made with."),
            Self::Issue(IssueError::NotAuthority(_)) => refused()
                .next("ca.pem and ca.key must be a CA's certificate and the key to it. Bring them back from a backup."),
            Self::Folder(FolderError::Io { .. })
            | Self::Issue(IssueError::Make(_) | IssueError::Key(_) | IssueError::NoRandomness)
            | Self::Read(_) => internal(),
        }
    }
}
