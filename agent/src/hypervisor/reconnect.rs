//! Keeps a connection to libvirt: one thread that connects, waits for the connection's end, and connects again.
//!
//! ```text
//!            ┌──────── backoff: 0.25 s, doubling to 10 s ────────┐
//!            ▼                                                   │
//!   Connecting ──open──► Connected, Resync ──closed──► Connecting┘
//!       └── failed: backoff ──┘
//! ```
//!
//! The thread holds a [`Link`] as long as its connection stands; everybody else has a weak reference that becomes a
//! strong one for the time of a call, on a thread that may wait. Descriptors that were handed out are not the link's:
//! its end closes none.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use porthole_shared::names::ConsoleUuid;
use tokio::sync::{broadcast, watch};

use super::LinkState;
use super::config::Config;
use super::domain::console_name;
use super::event::{DomainEvent, DomainEventKind, Event};
use super::ffi::Notice;
use super::link::Link;

const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// What the thread wakes up for.
#[derive(Debug)]
pub(super) enum Wake {
    /// A connection has ended.
    Closed {
        /// Which one: the news may come after its successor has been opened.
        generation: u64,
        /// libvirt's number of why (`virConnectCloseReason`).
        reason: i32,
    },
    /// The agent stops.
    Stop,
}

/// What the thread works with.
#[derive(Debug)]
pub(super) struct Reconnect {
    /// Which libvirt.
    pub(super) config: Config,
    /// Where events go.
    pub(super) events: broadcast::Sender<Event>,
    /// Where the state of the connection goes.
    pub(super) state: watch::Sender<LinkState>,
    /// Where the connection itself goes.
    pub(super) link: watch::Sender<Weak<Link>>,
    /// For observers to wake the thread.
    pub(super) wake: Sender<Wake>,
    /// What wakes the thread.
    pub(super) woken: Receiver<Wake>,
}

impl Reconnect {
    /// Runs until [`Wake::Stop`].
    pub(super) fn run(self) {
        let mut backoff = FIRST_BACKOFF;
        for generation in 0_u64.. {
            let ended = match self.open(generation) {
                Ok(link) => {
                    backoff = FIRST_BACKOFF;
                    self.announce(&link);
                    let Some(why) = self.wait_for_end(&link, generation) else { return };
                    self.link.send_replace(Weak::new());
                    tracing::warn!(uri = %self.config.uri, %why, "the connection to libvirt ended; connecting again");
                    why
                }
                Err(error) => {
                    tracing::warn!(uri = %self.config.uri, %error, "cannot connect to libvirt; trying again");
                    error
                }
            };
            let since = self.state.borrow().connecting_since().unwrap_or_else(Instant::now);
            self.state.send_replace(LinkState::Connecting { since, last_error: Some(ended) });
            if self.is_stopped_within(backoff) {
                return;
            }
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    fn open(&self, generation: u64) -> Result<Arc<Link>, String> {
        let (events, wake) = (self.events.clone(), self.wake.clone());
        let observer = move |notice| match notice {
            Notice::Lifecycle { uuid, name, event, detail } => {
                let uuid = ConsoleUuid::new(uuid);
                let kind = DomainEventKind::from_raw(event, detail);
                let event = DomainEvent { uuid, name: console_name(&name, uuid), kind };
                tracing::debug!(%event, "libvirt event");
                // Fails when nobody listens.
                let _listeners = events.send(Event::Domain(event));
            }
            Notice::Closed { reason } => drop(wake.send(Wake::Closed { generation, reason })),
        };
        match Link::open(&self.config, observer) {
            // The connection may have ended before there was a callback for that.
            Ok(link) if link.is_alive() => Ok(Arc::new(link)),
            Ok(_) => Err("libvirt closed the connection at once".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn announce(&self, link: &Arc<Link>) {
        self.link.send_replace(Arc::downgrade(link));
        self.state.send_replace(LinkState::Connected { since: Instant::now() });
        tracing::info!(uri = %self.config.uri, "connected to libvirt");
        let _listeners = self.events.send(Event::Resync);
    }

    /// Why the connection ended; `None` when the agent stops.
    fn wait_for_end(&self, link: &Link, generation: u64) -> Option<String> {
        loop {
            match self.woken.recv_timeout(self.config.keepalive.get().max(FIRST_BACKOFF)) {
                Ok(Wake::Closed { generation: ended, reason }) if ended == generation => {
                    return Some(close_words(reason).to_owned());
                }
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return None,
                // The callback has been seen to be enough; a connection that ended without it would stay unnoticed
                // for ever.
                Err(RecvTimeoutError::Timeout) if !link.is_alive() => return Some("found closed".to_owned()),
                Ok(Wake::Closed { .. }) | Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn is_stopped_within(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            match self.woken.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Wake::Closed { .. }) => {}
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }
}

const fn close_words(reason: i32) -> &'static str {
    match reason.cast_unsigned() {
        virt_sys::VIR_CONNECT_CLOSE_REASON_EOF => "libvirtd closed it",
        virt_sys::VIR_CONNECT_CLOSE_REASON_KEEPALIVE => "libvirtd missed its keepalives",
        virt_sys::VIR_CONNECT_CLOSE_REASON_CLIENT => "closed on this side",
        _ => "an I/O error",
    }
}
