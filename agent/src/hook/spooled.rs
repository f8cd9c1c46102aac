//! Takes up what hooks left in a folder because nobody answered them, in its order.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use porthole_hook::spool::{Found, Spool};
use porthole_shared::clock::UnixTime;
use porthole_shared::lifecycle::chain;
use tokio::sync::Notify;

use super::Steps;
use crate::throttle::Throttle;

/// The folder.
#[derive(Debug)]
pub struct Spooled {
    path: PathBuf,
    spool: Spool,
    hurry: Notify,
    complaints: Throttle,
}

impl Spooled {
    /// At a path. Where there is no such folder, no hook has left anything.
    pub fn at(path: PathBuf) -> Self {
        Self { spool: Spool::at(&path), path, hurry: Notify::new(), complaints: Throttle::default() }
    }

    /// Something may wait.
    pub(super) fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// Waits until something may wait.
    pub(super) async fn awaited(&self) {
        self.hurry.notified().await;
    }

    /// Takes up all that waits, one after the other; for one task alone.
    pub(super) async fn take_up(&self, steps: &Steps) {
        let now = UNIX_EPOCH + Duration::from_secs(u64::try_from(steps.now().0).unwrap_or_default());
        let Some(Found { steps: found, overflow }) = self.look(now).await else { return };
        if found.is_empty() && !overflow {
            return;
        }
        tracing::info!(steps = found.len(), overflow, "taking up what libvirt's hook could not tell");
        for (path, waiting) in found {
            if let Some((waiting, at)) = waiting {
                let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                steps.later(&waiting, UnixTime(i64::try_from(seconds).unwrap_or(i64::MAX))).await;
            } else {
                tracing::warn!(path = %path.display(), "a step that makes no sense was passed over");
            }
            // Taken up twice, it would say nothing new: it counts as of when it happened.
            if let Err(error) = tokio::fs::remove_file(&path).await {
                self.complain("remove a step from", &error);
            }
        }
        if overflow {
            steps.all_later();
            if let Err(error) = self.spool.forget_overflow() {
                self.complain("remove a mark from", &error);
            }
        }
    }

    async fn look(&self, now: SystemTime) -> Option<Found> {
        let spool = self.spool.clone();
        match tokio::task::spawn_blocking(move || spool.sweep(now).and_then(|()| spool.look())).await.ok()? {
            Ok(found) => Some(found),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                self.complain("look into", &error);
                None
            }
        }
    }

    fn complain(&self, what: &str, error: &std::io::Error) {
        if self.complaints.pass().is_some() {
            tracing::error!(error = chain(error), path = %self.path.display(), "cannot {what} the hook's folder");
        }
    }
}
