//! The audit: who asked for which console, who saw it, who was refused, and how it ended.
//!
//! ```text
//!  tokens, sessions, tunnel, api ──tell──► Audit ──► queue ──► writer ──► audit.db, and lines of the log
//!                                            └─ refusals, counted by sort ──┘            │
//!                                                       api: GET /v1/audit ◄─────────────┘
//! ```
//!
//! [`Audit::tell`] never waits: not for the disk, and not for whoever else tells. So a slow or full disk costs entries
//! (which are counted, and the gap stands in the audit afterwards), never a session or a token. Refusals are what
//! strangers can cause; they become one entry a minute for each sort (`refusals`), and are the first to
//! go when the file is as large as it may be (`store`).
//!
//! It keeps no state of anything: what is live or valid, others know.
//!
//! **Invariants**: only `audit::store` has SQL for the file; no text of a token, binding or URL is in an [`Event`], so
//! none can be in the file or in a line.

mod config;
mod entry;
mod event;
mod losses;
mod refusals;
mod store;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use porthole_shared::clock::Clock;
use porthole_shared::reason::Reason;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use self::config::Config;
use self::entry::Entry;
pub use self::event::{Deed, Ending, Event, Kind, Refusal, Subject, Target, UnknownKind, Viewer};
use self::losses::Losses;
use self::refusals::Refusals;
use self::store::AuditStore;
pub use self::store::{OpenError, Page, Record};
use self::writer::{Batch, Message, Writer};

/// What is fixed but for tests.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// How many entries may be on their way to the file: a few seconds of the busiest host.
    queue: usize,
    /// How long refusals are counted before they become entries.
    refusals: Duration,
}

const PACE: Pace = Pace { queue: 4096, refusals: Duration::from_mins(1) };

/// How long whoever reads waits for what was told a moment ago, and the end of the process for the last entries.
const SETTLE_PATIENCE: Duration = Duration::from_secs(1);
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// How long the agent's start waits for one entry's place in the queue.
const LEFT_OPEN_PATIENCE: Duration = Duration::from_millis(10);

/// Where events are told. Clones are handles to the same; with `enabled = false`, to nothing.
#[derive(Debug, Clone)]
pub struct Audit(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    state: Arc<State>,
    queue: mpsc::Sender<Message>,
    store: AuditStore,
    closing: CancellationToken,
    writing: Mutex<Option<JoinHandle<()>>>,
}

/// What those who tell and the one who writes both have.
#[derive(Debug)]
struct State {
    clock: Arc<dyn Clock>,
    refusals: Mutex<Refusals>,
    losses: Losses,
    /// The file cannot be written to now.
    failing: AtomicBool,
}

impl State {
    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        // Counting cannot be left half done, so a panic elsewhere under the lock costs nothing.
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The audit cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is none.
    #[error("this agent keeps no audit ([audit] enabled is false in its configuration)")]
    Off,
    /// The file fails.
    #[error("the audit cannot be read")]
    Store(#[source] crate::store::Error),
}

impl Audit {
    /// Opens `audit.db` in the agent's state directory, which is its own already, and begins to write.
    pub async fn open(config: &Config, state_dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        if !config.enabled {
            return Ok(Self::off());
        }
        let store = AuditStore::open(state_dir, config.into()).await?;
        Ok(Self::on(store, clock, config.log, PACE))
    }

    /// None: what is told is forgotten.
    pub const fn off() -> Self {
        Self(None)
    }

    fn on(store: AuditStore, clock: Arc<dyn Clock>, log: bool, pace: Pace) -> Self {
        let (sender, receiver) = mpsc::channel(pace.queue);
        let state = Arc::new(State {
            clock,
            refusals: Mutex::default(),
            losses: Losses::default(),
            failing: AtomicBool::default(),
        });
        let closing = CancellationToken::new();
        let writer = Writer {
            state: Arc::clone(&state),
            store: store.clone(),
            queue: receiver,
            closing: closing.clone(),
            log,
            refusals_period: pace.refusals,
            batch: Batch::default(),
        };
        let writing = Mutex::new(Some(tokio::spawn(writer.run())));
        Self(Some(Arc::new(Shared { state, queue: sender, store, closing, writing })))
    }

    /// Has it written down. Never waits; where there is no room, it is counted as lost.
    pub fn tell(&self, event: Event) {
        let Some(shared) = &self.0 else { return };
        let state = &shared.state;
        let now = state.clock.now();
        if let Event::Refused(refusal) = event {
            state.refusals().note(refusal, now);
        } else if shared.queue.try_send(Message::Entry(Box::new(Entry::from(event, now)))).is_err() {
            state.losses.note(now);
        }
    }

    /// Tells of sessions that were live when an earlier run of this agent died.
    /// There may be more than the queue holds, so this one waits.
    pub async fn tell_left_open(&self, viewers: &[Viewer]) {
        let Some(shared) = &self.0 else { return };
        let at = shared.state.clock.now();
        for viewer in viewers.iter().cloned() {
            let reason = Reason::AgentRestarted;
            let event = Event::Ended(Ending { viewer, at, reason, connections: 0, bytes: None });
            let message = Message::Entry(Box::new(Entry::from(event, at)));
            let sent = timeout(LEFT_OPEN_PATIENCE, shared.queue.send(message)).await;
            if !matches!(sent, Ok(Ok(()))) {
                shared.state.losses.note(at);
            }
        }
    }

    /// How many events found no room since the agent started.
    pub fn lost(&self) -> u64 {
        self.0.as_ref().map_or(0, |shared| shared.state.losses.total())
    }

    /// Some entries, with those in it that were told until now, if they can be written soon. Refusals of the last minute
    /// are not yet among them.
    pub async fn page(&self, page: &Page) -> Result<Vec<Record>, ReadError> {
        let shared = self.0.as_ref().ok_or(ReadError::Off)?;
        // Not while the writer waits for room: each question would take the place of an entry.
        if !shared.state.failing.load(Ordering::Relaxed) {
            let (asking, asked) = oneshot::channel();
            if shared.queue.try_send(Message::Settle(asking)).is_ok() {
                // Late or never: then with what is there.
                drop(timeout(SETTLE_PATIENCE, asked).await);
            }
        }
        shared.store.page(page).await.map_err(ReadError::Store)
    }

    /// Writes what is left, and closes the file. What is told from now on is lost.
    pub async fn close(&self) {
        let Some(shared) = &self.0 else { return };
        shared.closing.cancel();
        let writing = shared.writing.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(writing) = writing else { return };
        if timeout(CLOSE_PATIENCE, writing).await.is_err() {
            tracing::error!("the audit's last entries could not be written in time");
        }
    }
}

#[cfg(test)]
impl Audit {
    /// Whether the writer has taken everything from the queue.
    fn is_writing(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.queue.capacity() == shared.queue.max_capacity())
    }
}

#[cfg(test)]
mod tests;
