//! The promise that an opened session row is closed again, whatever becomes of the task that opened it.

use std::sync::Arc;
use std::time::Duration;

use porthole_shared::clock::Clock;
use porthole_shared::lifecycle::chain;
use porthole_shared::names::ConsoleUuid;
use porthole_shared::reason::Reason;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::SessionFacts;
use crate::audit::{Audit, Ending, Event, Subject, Viewer};
use crate::store::{SessionEnd, Store, TokenMark};

/// Between two attempts to write an end. There are no more of these than connections that lived when the database
/// began to fail, because while it fails none can begin. Short enough for the process's end to wait for one.
const RETRY: Duration = Duration::from_secs(5);

/// What writing an end needs.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) audit: Audit,
    /// The process waits for these before it leaves.
    pub(crate) tasks: TaskTracker,
}

/// One connection counted as open in its session's row. Redeeming makes it; dropped, it ends as `client_gone`, because
/// then the client went away between its token's redeeming and its first byte.
#[derive(Debug)]
pub(crate) struct OpenRow {
    viewer: Viewer,
    recorder: Option<Recorder>,
}

impl OpenRow {
    pub(crate) fn new(facts: &SessionFacts, recorder: Recorder) -> Self {
        let viewer = viewer(facts);
        if facts.first_use {
            recorder.audit.tell(Event::Redeemed(viewer.clone()));
        }
        recorder.audit.tell(Event::Started { viewer: viewer.clone(), connections: facts.connections });
        Self { viewer, recorder: Some(recorder) }
    }

    pub(crate) fn end(mut self, reason: Reason, bytes_in: u64, bytes_out: u64) {
        self.write(reason, bytes_in, bytes_out);
    }

    fn write(&mut self, reason: Reason, bytes_in: u64, bytes_out: u64) {
        let Some(recorder) = self.recorder.take() else { return };
        let end = SessionEnd { id: self.viewer.session, ended: recorder.clock.now(), reason, bytes_in, bytes_out };
        let viewer = self.viewer.clone();
        // The caller may be a destructor, so the row is written by a task of its own.
        drop(recorder.tasks.clone().spawn(async move {
            // Of an end that is not written here, the next run tells.
            let Some(connections) = recorder.end(&end, RETRY).await else { return };
            let SessionEnd { ended: at, reason, bytes_in, bytes_out, .. } = end;
            let bytes = Some((bytes_in, bytes_out));
            recorder.audit.tell(Event::Ended(Ending { viewer, at, reason, connections, bytes }));
        }));
    }
}

fn viewer(facts: &SessionFacts) -> Viewer {
    let SessionFacts { id, token, console, name, requestor, minted_by, client_address, edge, .. } = facts;
    let subject = Subject {
        token: *token,
        console: *console,
        name: name.clone(),
        requestor: requestor.clone(),
        minted_by: minted_by.clone(),
    };
    Viewer { subject, session: *id, client: client_address.clone(), edge: edge.clone() }
}

impl Recorder {
    /// Writes an end; where the database is full or locked, again and again until it is not, or the process ends (its
    /// next run closes the row). How many connections the session has left, once it is written.
    pub(super) async fn end(&self, end: &SessionEnd, retry: Duration) -> Option<u64> {
        loop {
            let error = match self.store.end_connection(end).await {
                Ok(left) => return Some(left),
                Err(error) => chain(&error),
            };
            if self.tasks.is_closed() {
                tracing::error!(session = %end.id, error, "the session's end could not be written");
                return None;
            }
            tracing::error!(session = %end.id, error, "the session's end could not be written: trying again");
            sleep(retry).await;
        }
    }
}

impl Recorder {
    /// Makes a domain's tokens void, as often tried as an end.
    pub(crate) async fn void_domain(&self, uuid: ConsoleUuid, reason: Reason, until: TokenMark) {
        loop {
            match self.store.void_domain(uuid, reason, until, self.clock.now()).await {
                Ok(tokens) => return tracing::debug!(%uuid, %reason, tokens, "a guest's tokens are void"),
                Err(error) => tracing::error!(%uuid, error = chain(&error), "a guest's tokens are not void yet"),
            }
            if self.tasks.is_closed() {
                return;
            }
            sleep(RETRY).await;
        }
    }
}

impl Drop for OpenRow {
    fn drop(&mut self) {
        self.write(Reason::ClientGone, 0, 0);
    }
}

#[cfg(test)]
impl OpenRow {
    pub(super) fn take_recorder(&mut self) -> Recorder {
        self.recorder.take().unwrap()
    }
}
