//! The one task that writes entries down.
//!
//! ```text
//!  tell ──► queue (bounded) ──┐
//!  refusals, each minute ─────┼──► a line of the log each ──► one transaction ──► written
//!  losses, when there is room ┘                                   │      ▲
//!                                                     it fails:   ▼      │ again in a second
//!                                                              waiting ──┘   nothing more is taken meanwhile
//! ```
//!
//! While the file cannot be written to, one batch waits here, and the queue fills up behind it; what finds the queue full
//! is lost, and counted. Refusals are not lost: they go on being counted where they are.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use porthole_shared::lifecycle::chain;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::State;
use super::entry::Entry;
use super::store::{AuditStore, Swept};

/// The most entries in one transaction.
const BATCH: usize = 256;

/// Between two sweeps, where there is little to write.
const SWEEP_PERIOD: Duration = Duration::from_mins(10);

/// After so many entries the file's size is looked at in any case. With a batch they fit between where the oldest make
/// room and the wall, also in the smallest file: 756 entries of at most 1.3 KiB in 1.6 MiB.
const SWEEP_AFTER: usize = 500;

/// Between two attempts to write.
const RETRY: Duration = Duration::from_secs(1);

/// What comes by the queue.
#[derive(Debug)]
pub(super) enum Message {
    /// To be written.
    Entry(Box<Entry>),
    /// To be answered when everything before is written.
    Settle(oneshot::Sender<()>),
}

/// The task's own.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) state: Arc<State>,
    pub(super) store: AuditStore,
    pub(super) queue: mpsc::Receiver<Message>,
    pub(super) closing: CancellationToken,
    pub(super) log: bool,
    /// How long refusals are counted before they become entries.
    pub(super) refusals_period: Duration,
    pub(super) batch: Batch,
}

/// What was taken and is not written yet, and how that went so far.
#[derive(Debug, Default)]
pub(super) struct Batch {
    waiting: Vec<Entry>,
    asking: Vec<oneshot::Sender<()>>,
    failing: bool,
    written: usize,
    told_of_bound: bool,
}

impl Writer {
    /// Writes until everybody who could tell something is gone, or it is told to close; then what is left.
    pub(super) async fn run(mut self) {
        let mut refusals = interval(self.refusals_period);
        let mut sweep = interval(SWEEP_PERIOD);
        refusals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let closing = self.closing.clone();
        let mut taken = Vec::with_capacity(BATCH);
        loop {
            let is_idle = self.batch.waiting.is_empty();
            tokio::select! {
                () = closing.cancelled() => break,
                count = self.queue.recv_many(&mut taken, BATCH), if is_idle => {
                    if count == 0 {
                        break;
                    }
                    self.take(&mut taken);
                }
                _ = refusals.tick(), if is_idle => self.take_refusals(),
                _ = sweep.tick() => self.sweep().await,
                () = sleep(RETRY), if !is_idle => {}
            }
            self.write().await;
        }
        self.finish().await;
    }

    fn take(&mut self, taken: &mut Vec<Message>) {
        for message in taken.drain(..) {
            match message {
                Message::Entry(entry) => self.wait(*entry),
                Message::Settle(asking) => self.batch.asking.push(asking),
            }
        }
    }

    fn take_refusals(&mut self) {
        let entries = self.state.refusals().take();
        for entry in entries {
            self.wait(entry);
        }
    }

    /// The line first: it is there also where the file cannot be written to.
    fn wait(&mut self, entry: Entry) {
        if self.log {
            entry.log();
        }
        self.batch.waiting.push(entry);
    }

    /// Writes what waits. If it cannot, that goes on waiting.
    async fn write(&mut self) {
        let lost = self.state.losses.take();
        let told = lost.map(|lost| Entry::lost(lost.count, lost.first, lost.last));
        let entries: Vec<Entry> = self.batch.waiting.iter().cloned().chain(told.clone()).collect();
        let outcome = if entries.is_empty() { Ok(()) } else { self.store.insert(&entries).await };
        let Err(error) = outcome else {
            if self.batch.failing {
                tracing::warn!(lost = lost.map_or(0, |lost| lost.count), "the audit is written again");
            }
            told.filter(|_| self.log).iter().for_each(Entry::log);
            self.batch.failing = false;
            self.state.failing.store(false, Ordering::Relaxed);
            self.batch.waiting.clear();
            for asking in self.batch.asking.drain(..) {
                let _nobody_asks = asking.send(());
            }
            self.batch.written += entries.len();
            if self.batch.written >= SWEEP_AFTER {
                self.sweep().await;
            }
            return;
        };
        if let Some(lost) = lost {
            self.state.losses.keep(lost);
        }
        if !self.batch.failing {
            tracing::error!(
                error = chain(&error),
                "the audit cannot be written: trying again; sessions go on, and what finds no room will be counted"
            );
        }
        self.batch.failing = true;
        self.state.failing.store(true, Ordering::Relaxed);
        if error.is_full() {
            // Perhaps it is its own bound that it has reached, because that was larger in an earlier run.
            self.sweep().await;
        }
    }

    async fn sweep(&mut self) {
        self.batch.written = 0;
        match self.store.sweep(self.state.clock.now()).await {
            Ok(Swept { expired, for_room: 0 }) => tracing::trace!(expired, "swept the audit"),
            Ok(Swept { expired, for_room }) if self.batch.told_of_bound => {
                tracing::debug!(expired, for_room, "the audit's oldest entries made room");
            }
            Ok(Swept { expired, for_room }) => {
                self.batch.told_of_bound = true;
                tracing::warn!(
                    expired,
                    for_room,
                    "the audit is as large as [audit] max_mib allows: from now on its oldest entries make room, before \
                     their retention is over"
                );
            }
            Err(error) if self.batch.failing => tracing::debug!(error = chain(&error), "the audit was not swept"),
            Err(error) => tracing::warn!(error = chain(&error), "old entries of the audit were not removed"),
        }
    }

    /// Writes all that was told until now.
    async fn finish(mut self) {
        self.queue.close();
        let mut taken = Vec::with_capacity(BATCH);
        loop {
            self.write().await;
            if self.batch.failing || self.queue.recv_many(&mut taken, BATCH).await == 0 {
                break;
            }
            self.take(&mut taken);
        }
        self.take_refusals();
        self.write().await;
        let unwritten = self.batch.waiting.len() + self.queue.len();
        if unwritten > 0 {
            tracing::error!(entries = unwritten, "the audit's last entries could not be written");
        }
        self.store.close().await;
    }
}
