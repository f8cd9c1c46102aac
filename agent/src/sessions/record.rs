//! The promise that an opened session row is closed again, whatever becomes of the task that opened it.

use std::sync::Arc;

use porthole_shared::clock::Clock;
use porthole_shared::lifecycle::chain;
use porthole_shared::names::SessionId;
use porthole_shared::reason::Reason;
use tokio_util::task::TaskTracker;

use crate::store::{SessionEnd, Store};

/// What writing an end needs.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    /// The process waits for these before it leaves.
    pub(crate) tasks: TaskTracker,
}

/// One connection counted as open in its session's row. Redeeming makes it; dropped, it ends as `client_gone`, because
/// then the client went away between its token's redeeming and its first byte.
#[derive(Debug)]
pub(crate) struct OpenRow {
    session: SessionId,
    recorder: Option<Recorder>,
}

impl OpenRow {
    pub(crate) const fn new(session: SessionId, recorder: Recorder) -> Self {
        Self { session, recorder: Some(recorder) }
    }

    pub(crate) fn end(mut self, reason: Reason, bytes_in: u64, bytes_out: u64) {
        self.write(reason, bytes_in, bytes_out);
    }

    fn write(&mut self, reason: Reason, bytes_in: u64, bytes_out: u64) {
        let Some(Recorder { store, clock, tasks }) = self.recorder.take() else { return };
        let end = SessionEnd { id: self.session, ended: clock.now(), reason, bytes_in, bytes_out };
        // The caller may be a destructor, so the row is written by a task of its own.
        drop(tasks.spawn(async move {
            if let Err(error) = store.end_connection(&end).await {
                tracing::error!(session = %end.id, error = chain(&error), "the session's end could not be written");
            }
        }));
    }
}

impl Drop for OpenRow {
    fn drop(&mut self) {
        self.write(Reason::ClientGone, 0, 0);
    }
}
