//! One connection of a session, from its reservation to its end, as the one who relays it sees it.
//!
//! ```text
//!  Sessions::reserve ──► Reservation ──begin──► Connection ──finish(reason)──► (row: bytes, reason)
//!                            │ drop                  │ drop: as `finish`, with the reason it was told, or client_gone
//!                            └──► (place free)       └──►
//! ```
//!
//! Whoever ends a connection from outside (an operator, a guest's shutdown, a newer connection) only gives its [`End`]
//! a reason; the relay sees that in [`Connection::ended`], says goodbye to its client and finishes. The signal exists
//! from the reservation on, so an end that comes while the console is being opened is not lost.

use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use porthole_shared::names::{ConsoleId, ConsoleSource, SessionId};
use porthole_shared::reason::Reason;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::about::About;
use super::activity::Activity;
use super::record::OpenRow;
use super::{Number, Sessions};
use crate::tokens::Rights;
use crate::websocket::Meter;

/// How long the end of a console's stream waits for libvirt to say why. Measured: 1.6 s after a SIGKILL of QEMU.
const EVENT_PATIENCE: Duration = Duration::from_secs(3);

/// How many bytes went each way, seen from the console: `in` came from the client.
#[derive(Debug, Default)]
pub struct Counters {
    /// From the client to the console.
    pub bytes_in: AtomicU64,
    /// From the console to the client.
    pub bytes_out: AtomicU64,
}

impl Counters {
    /// Counts bytes from the client to the console.
    pub fn add_in(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes from the console to the client.
    pub fn add_out(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Both, as they are now: in, out.
    pub fn read(&self) -> (u64, u64) {
        (self.bytes_in.load(Ordering::Relaxed), self.bytes_out.load(Ordering::Relaxed))
    }
}

/// Tells a connection, once, that it shall end and why. The first reason counts.
#[derive(Debug, Default)]
pub(super) struct End {
    reason: OnceLock<Reason>,
    told: CancellationToken,
}

impl End {
    /// True if this was the first reason.
    pub(super) fn tell(&self, reason: Reason) -> bool {
        let first = self.reason.set(reason).is_ok();
        self.told.cancel();
        first
    }

    pub(super) fn reason(&self) -> Option<Reason> {
        self.reason.get().copied()
    }

    pub(super) async fn wait(&self) -> Reason {
        self.told.cancelled().await;
        self.reason().unwrap_or(Reason::Internal)
    }
}

/// What a connection and the table both hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    pub(super) end: Arc<End>,
    pub(super) counters: Arc<Counters>,
    pub(super) activity: Arc<Activity>,
}

/// A place for one connection, taken before its console is opened. Dropped, the place is free again.
#[derive(Debug)]
pub struct Reservation {
    pub(super) sessions: Sessions,
    pub(super) number: Number,
    pub(super) end: Arc<End>,
}

impl Reservation {
    /// Why whoever takes it must not go on, if somebody has said so.
    pub fn told_to_end(&self) -> Option<Reason> {
        self.end.reason()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.sessions.table().release(self.number);
    }
}

/// One connection of a session. Whoever holds it relays; dropping it ends it.
#[derive(Debug)]
pub struct Connection {
    /// Held until the connection's end.
    pub(super) place: Reservation,
    pub(super) session: SessionId,
    pub(super) console: ConsoleId,
    pub(super) rights: Rights,
    pub(super) about: About,
    pub(super) told: Told,
    pub(super) deadline: Instant,
    pub(super) row: Option<OpenRow>,
}

impl Connection {
    /// The session it belongs to.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// The console it shows.
    pub const fn console(&self) -> ConsoleId {
        self.console
    }

    /// What its viewer may do.
    pub const fn rights(&self) -> Rights {
        self.rights
    }

    /// Where the relay counts its bytes and notes its input.
    pub fn meter(&self) -> Meter {
        Meter { counters: Arc::clone(&self.told.counters), activity: Arc::clone(&self.told.activity) }
    }

    /// Waits until somebody else ends this connection, or its session has had no input for too long, or reaches its
    /// longest duration. May be awaited again and again, and dropped at any time.
    pub async fn ended(&self) -> Reason {
        tokio::select! {
            biased;
            reason = self.told.end.wait() => reason,
            () = sleep_until(self.deadline) => Reason::LimitReached,
            () = self.idle() => Reason::Idle,
        }
    }

    async fn idle(&self) {
        match self.rights.idle.and_then(|seconds| u64::try_from(seconds).ok()) {
            Some(seconds) => self.told.activity.idle_for(Duration::from_secs(seconds)).await,
            None => pending().await,
        }
    }

    /// Why the console's stream has ended by itself: libvirt's word for it, if that comes soon (QEMU closes
    /// its sockets a moment before libvirt tells the stop), else `console_closed`.
    pub async fn console_closed(&self) -> Reason {
        match self.console.source {
            ConsoleSource::External => self.told.end.reason().unwrap_or(Reason::ConsoleClosed),
            ConsoleSource::Libvirt => timeout(EVENT_PATIENCE, self.ended()).await.unwrap_or(Reason::ConsoleClosed),
        }
    }

    /// As [`Self::finish`], for a relay that has ended so: of a console that has closed, the reason may be known better.
    /// Gives the one that was written.
    pub async fn conclude(self, mut reason: Reason) -> Reason {
        if reason == Reason::ConsoleClosed {
            reason = self.console_closed().await;
        }
        self.finish(reason);
        reason
    }

    /// Ends it, and writes its bytes (and the session's end, if this was its last connection) to its row.
    pub fn finish(mut self, reason: Reason) {
        self.write_end(reason);
    }

    fn write_end(&mut self, reason: Reason) {
        if let Some(row) = self.row.take() {
            let (bytes_in, bytes_out) = self.told.counters.read();
            tracing::debug!(session = %self.session, console = %self.console, %reason, bytes_in, bytes_out, "connection ended");
            row.end(reason, bytes_in, bytes_out);
            let Reservation { sessions, number, .. } = &self.place;
            sessions.instruments().ended(self.console.kind, reason);
            let mut table = sessions.table();
            // Told under the lock: who connects at this moment is told of afterwards.
            if table.release(*number) {
                self.about.tell_end(sessions.feed(), reason);
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.write_end(self.told.end.reason().unwrap_or(Reason::ClientGone));
    }
}
