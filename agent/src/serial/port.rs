//! What is known of one port, between the task that holds it and those who look at it.
//!
//! ```text
//!                        append                read, each at its own place
//!  hub (one task) ──────────────► Port ◄─────────────────────────────────── Attachment (one of each viewer)
//!        ▲                          │ history, roles, link
//!        └────── input queue ◄──────┴────────── the writer's bytes
//! ```
//!
//! The history is all there is between them: a viewer holds a place in it and no bytes, so a slow one costs nothing, and
//! what is not kept any more when it comes to it is skipped. The hub never waits for a viewer.
//!
//! **Invariants**: the lock is held for copies and map operations only; only the writer's bytes get into the queue.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use porthole_shared::clock::Clock;
use porthole_shared::names::ConsoleUuid;
use porthole_shared::reason::Reason;
use porthole_shared::tunnel::Writer;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::PollSender;

pub use self::attachment::Attachment;
pub(super) use self::attachment::Next;
use super::history::{Cursor, History};
use super::output::{MOST_OUTPUT, Output, Part};
use super::roles::{Applicant, Claimed, Roles, ViewerId};

mod attachment;

/// How many pieces of input wait for the guest to take them.
const INPUT_QUEUE: usize = 4;

/// Which port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) uuid: ConsoleUuid,
    pub(super) index: u8,
}

/// How a port is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether it answers now.
    pub attached: bool,
    /// What offsets count from.
    pub start: String,
    /// The offset of the next byte.
    pub end: u64,
    /// Who writes to it.
    pub writer: Option<Writer>,
    /// How many watch it.
    pub watchers: usize,
}

/// What a writer does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// It types.
    Bytes(Bytes),
    /// It sends a break.
    Break,
}

/// Whether the port answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// Not yet, or not now: it is being connected to.
    Opening,
    /// Yes.
    Open,
    /// Never again: this is what whoever waits is told.
    Over(Reason),
}

/// One port, from one start of its guest to its stop.
pub(super) struct Port {
    pub(super) key: Key,
    /// libvirt's number of the domain, which tells its starts apart.
    pub(super) number: Option<u32>,
    pub(super) can_break: bool,
    /// Held whether somebody looks or not.
    pub(super) keep: AtomicBool,
    clock: Arc<dyn Clock>,
    link: watch::Sender<Link>,
    inner: Mutex<Inner>,
    input: mpsc::Sender<Input>,
    /// Somebody has left.
    left: Notify,
}

struct Inner {
    start: String,
    history: History,
    roles: Roles,
    viewers: Vec<Arc<Viewer>>,
    last_viewer: u64,
    /// Those who wait for the port, and those who look at it.
    interest: usize,
    /// Counts what viewers are told of.
    version: u64,
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").field("key", &self.key).field("number", &self.number).finish_non_exhaustive()
    }
}

/// What a port is made with.
#[derive(Debug)]
pub(super) struct About {
    pub(super) key: Key,
    pub(super) number: Option<u32>,
    pub(super) can_break: bool,
    pub(super) keep: bool,
    pub(super) start: String,
    pub(super) history: History,
    pub(super) most_watchers: usize,
}

impl Port {
    /// Not connected to yet. The receiver is the hub's.
    pub(super) fn new(about: About, clock: Arc<dyn Clock>) -> (Arc<Self>, mpsc::Receiver<Input>) {
        let About { key, number, can_break, keep, start, history, most_watchers } = about;
        let (input, taken) = mpsc::channel(INPUT_QUEUE);
        let inner = Inner {
            start,
            history,
            roles: Roles::new(most_watchers),
            viewers: Vec::new(),
            last_viewer: 0,
            interest: 0,
            version: 0,
        };
        let port = Self {
            key,
            number,
            can_break,
            keep: AtomicBool::new(keep),
            clock,
            link: watch::Sender::new(Link::Opening),
            inner: Mutex::new(inner),
            input,
            left: Notify::new(),
        };
        (Arc::new(port), taken)
    }

    /// The port said this.
    pub(super) fn append(&self, bytes: &[u8]) {
        let mut inner = self.inner();
        inner.history.append(bytes);
        inner.wake();
    }

    /// What was kept, to be changed by whoever joins it to a log.
    pub(super) fn with_history<T>(&self, change: impl FnOnce(&mut History, &mut String) -> T) -> T {
        let mut inner = self.inner();
        let Inner { history, start, .. } = &mut *inner;
        let result = change(history, start);
        inner.tell();
        result
    }

    /// The last so many bytes, the offset behind them, and what that counts from.
    pub(super) fn latest(&self, bytes: u64) -> (Vec<u8>, u64, String) {
        let inner = self.inner();
        (inner.history.last(bytes), inner.history.end(), inner.start.clone())
    }

    /// What it said last; none if it said nothing that is kept.
    pub(super) fn output(&self, part: Part) -> Option<Output> {
        let inner = self.inner();
        let end = inner.history.end();
        let from = match part {
            Part::Lines(lines) => inner.history.recent_lines(lines),
            Part::Bytes(bytes) => inner.history.recent(bytes.min(MOST_OUTPUT)),
        };
        let bytes = inner.history.last((end - from).min(MOST_OUTPUT));
        let from = end - bytes.len() as u64;
        (end > 0).then(|| Output { bytes, place: Some((inner.start.clone(), from)) })
    }

    /// How it is, for whoever has no place on it.
    pub(super) fn status(&self) -> Status {
        let inner = self.inner();
        Status {
            attached: self.link() == Link::Open,
            start: inner.start.clone(),
            end: inner.history.end(),
            writer: inner.roles.writer().cloned(),
            watchers: inner.roles.watchers(),
        }
    }

    /// Whether it answers, now.
    pub(super) fn link(&self) -> Link {
        *self.link.borrow()
    }

    /// It answers from now on, or not any more.
    pub(super) fn set_link(&self, link: Link) {
        let before = self.link.send_replace(link);
        if before == link {
            return;
        }
        let mut inner = self.inner();
        if let Link::Over(_) = link {
            for viewer in &inner.viewers {
                viewer.tell(Reason::ConsoleClosed);
            }
        }
        inner.tell();
    }

    /// Who writes to it, if that is somebody else than whoever has this token.
    pub(super) fn writer_beside(&self, applicant: &Applicant) -> Option<Writer> {
        let inner = self.inner();
        inner.roles.would_refuse(&Applicant { force: false, read_only: false, ..applicant.clone() })?;
        inner.roles.writer().cloned()
    }

    /// Waits until nobody wants it any more. One that is kept is always wanted.
    pub(super) async fn unwanted(&self) {
        loop {
            let left = self.left.notified();
            if self.inner().interest == 0 && !self.keep.load(Ordering::Relaxed) {
                return;
            }
            left.await;
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Whatever is done under the lock leaves a whole history.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wake(&self) {
        self.viewers.iter().for_each(|viewer| viewer.waker.wake());
    }

    fn tell(&mut self) {
        self.version += 1;
        self.wake();
    }

    fn evict(&mut self, evicted: Option<(ViewerId, Reason)>) {
        if let Some((id, reason)) = evicted
            && let Some(viewer) = self.viewers.iter().find(|viewer| viewer.id == id)
        {
            viewer.tell(reason);
        }
        self.tell();
    }
}

/// A viewer, as its port knows it.
#[derive(Debug)]
struct Viewer {
    id: ViewerId,
    waker: AtomicWaker,
    told: OnceLock<Reason>,
}

impl Viewer {
    fn tell(&self, reason: Reason) {
        // The first reason counts.
        self.told.get_or_init(|| reason);
        self.waker.wake();
    }
}

/// Somebody wants this port: while there is one of these, its hub goes on.
#[derive(Debug)]
pub(super) struct Interest(pub(super) Arc<Port>);

impl Interest {
    pub(super) fn in_port(port: Arc<Port>) -> Self {
        port.inner().interest += 1;
        Self(port)
    }

    /// Waits until the port answers.
    pub(super) async fn open(&self) -> Result<(), Reason> {
        let mut link = self.0.link.subscribe();
        let known = link.wait_for(|link| *link != Link::Opening).await;
        match known.map(|link| *link) {
            Ok(Link::Open) => Ok(()),
            Ok(Link::Over(reason)) => Err(reason),
            Ok(Link::Opening) | Err(_) => Err(Reason::Internal),
        }
    }

    /// A part on the port, or why there is none. Takes nothing from anybody before [`Attachment::confirm`].
    pub(super) fn attach(self, applicant: Applicant) -> Result<Attachment, Reason> {
        let port = Arc::clone(&self.0);
        let mut inner = port.inner();
        // Asked under the lock, under which all viewers are told of the end.
        if let Link::Over(reason) = port.link() {
            return Err(reason);
        }
        inner.last_viewer += 1;
        let id = ViewerId(inner.last_viewer);
        let claimed = inner.roles.claim(id, &applicant, port.clock.now())?;
        let viewer = Arc::new(Viewer { id, waker: AtomicWaker::new(), told: OnceLock::new() });
        inner.viewers.push(Arc::clone(&viewer));
        let cursor = Cursor::at(inner.history.end());
        inner.tell();
        drop(inner);
        let role = match claimed {
            Claimed::Now(role) => Some(role),
            Claimed::Pending => None,
        };
        let input = PollSender::new(port.input.clone());
        Ok(Attachment { interest: self, viewer, applicant, role, cursor, caught_up: true, version: None, input })
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.0.inner().interest -= 1;
        self.0.left.notify_one();
    }
}
