//! Takes up what hooks left in a folder because nobody answered them, in its order.

use std::path::PathBuf;

use porthole_hook::spool::{Found, Spool};
use porthole_shared::lifecycle::chain;
use tokio::sync::Mutex;

use super::Steps;
use crate::throttle::Throttle;

/// The folder.
#[derive(Debug)]
pub struct Spooled {
    path: PathBuf,
    spool: Spool,
    /// One at a time: a step is taken up once.
    turn: Mutex<()>,
    complaints: Throttle,
}

impl Spooled {
    /// At a path. Where there is no such folder, no hook has left anything.
    pub fn at(path: PathBuf) -> Self {
        Self { spool: Spool::at(&path), path, turn: Mutex::default(), complaints: Throttle::default() }
    }

    /// Takes up all that waits.
    pub async fn take_up(&self, steps: &Steps) {
        let _turn = self.turn.lock().await;
        let Some(Found { steps: found, overflow }) = self.look().await else { return };
        if found.is_empty() && !overflow {
            return;
        }
        tracing::info!(steps = found.len(), overflow, "taking up what libvirt's hook could not tell");
        for (path, waiting) in found {
            if let Some(waiting) = waiting {
                steps.later(&waiting);
            } else {
                tracing::warn!(path = %path.display(), "a step that makes no sense was passed over");
            }
            // Taken up twice, it would say nothing new.
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

    async fn look(&self) -> Option<Found> {
        let spool = self.spool.clone();
        match tokio::task::spawn_blocking(move || spool.look()).await.ok()? {
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
