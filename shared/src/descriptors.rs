//! Descriptors that wait with the service manager while their daemon is away: systemd's descriptor store.
//!
//! ```text
//!  daemon ── FDSTORE=1, FDNAME=… and the descriptor ──► manager          while it runs
//!  manager ── the descriptors, LISTEN_FDNAMES ──► daemon's next run      and the manager keeps them
//!  daemon ── FDSTOREREMOVE=1, FDNAME=… ──► manager                       when it has no more use for one
//! ```
//!
//! A socket that is kept so stays connected over a restart and a crash, and what its peer says waits in it. systemd
//! gives them up when the service is stopped for good, and drops by itself one whose peer is gone. The unit says how many
//! it keeps (`FileDescriptorStoreMax=`); without that, or without systemd, nothing is kept and nothing here has an effect.

use std::collections::HashMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use sd_notify::NotifyState;

/// What waited, and where to leave more.
#[derive(Debug, Default)]
pub struct Descriptors {
    offered: bool,
    waited: Mutex<HashMap<String, OwnedFd>>,
}

impl Descriptors {
    /// Takes over what the manager has passed to this process: once, before anything else. `offered`: there is a manager
    /// that listens.
    pub fn receive(offered: bool) -> Self {
        let passed = sd_listen_fds::get().unwrap_or_else(|error| {
            tracing::warn!(%error, "what the service manager says of its descriptors makes no sense");
            Vec::new()
        });
        let named = passed.into_iter().filter_map(|(name, descriptor)| {
            let descriptor = descriptor.into_std();
            // Nothing that this process might start inherits it.
            fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
            Some((name?, descriptor))
        });
        Self { offered, waited: Mutex::new(named.collect()) }
    }

    /// Whether what is left with the manager may be there again later.
    pub const fn are_offered(&self) -> bool {
        self.offered
    }

    /// One that waited. The manager has it still.
    pub fn take(&self, name: &str) -> Option<OwnedFd> {
        self.waited().remove(name)
    }

    /// Those that waited and begin so, and were not taken.
    pub fn left(&self, prefix: &str) -> Vec<String> {
        self.waited().keys().filter(|name| name.starts_with(prefix)).cloned().collect()
    }

    /// Leaves one with the manager. (It knows a descriptor that it has already.)
    pub fn keep(&self, name: &str, descriptor: BorrowedFd<'_>) {
        if !self.offered {
            return;
        }
        let said = [NotifyState::FdStore, NotifyState::FdName(name)];
        if let Err(error) = sd_notify::notify_with_fds(&said, &[descriptor]) {
            tracing::debug!(name, %error, "the service manager was not given a descriptor");
        }
    }

    /// The manager need not have it any more, nor have we.
    pub fn give_up(&self, name: &str) {
        drop(self.waited().remove(name));
        if !self.offered {
            return;
        }
        if let Err(error) = sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]) {
            tracing::debug!(name, %error, "the service manager was not told to drop a descriptor");
        }
    }

    fn waited(&self) -> MutexGuard<'_, HashMap<String, OwnedFd>> {
        // No operation on the map can leave it half done.
        self.waited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
