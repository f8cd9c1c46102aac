//! Connections to one libvirt, from its appearance until its end.
//!
//! libvirtd reads no further call from a connection on which five are under way (`max_client_requests`), not even its
//! keepalive. So calls that can hang (those that take a domain's job) have a connection each while they last, and the
//! one for events, lists and lookups carries nothing else.

use std::sync::{Arc, Mutex, PoisonError};

use virt::connect::Connect;
use virt::error::Error;

use super::config::Config;
use super::ffi::{Notice, Observed};

/// Missed keepalive messages after which libvirt counts as gone.
const KEEPALIVE_COUNT: u32 = 3;

/// Connections that are kept for the next call when theirs has ended.
const IDLE_CONNECTIONS: usize = 4;

/// The connections to one libvirt. Opening, using and dropping one waits: never on an asynchronous thread.
#[derive(Debug)]
pub(super) struct Link {
    config: Config,
    observed: Observed,
    idle: Mutex<Vec<Connect>>,
}

impl Link {
    /// Connects. `observer` runs on libvirt's event thread and must not wait for anything.
    pub(super) fn open(config: &Config, observer: impl Fn(Notice) + Send + Sync + 'static) -> Result<Self, Error> {
        let observed = Observed::new(open(config)?, observer)?;
        Ok(Self { config: config.clone(), observed, idle: Mutex::new(Vec::new()) })
    }

    /// The connection for calls that never hang longer than libvirtd itself.
    pub(super) const fn quick(&self) -> &Connect {
        self.observed.connection()
    }

    /// A connection for one call that may hang.
    pub(super) fn lease(self: &Arc<Self>) -> Result<Lease, Error> {
        while let Some(connection) = self.pop_idle() {
            if connection.is_alive().unwrap_or(false) {
                return Ok(Lease { link: Arc::clone(self), connection });
            }
        }
        Ok(Lease { link: Arc::clone(self), connection: open(&self.config)? })
    }

    /// Whether the connection for events still stands.
    pub(super) fn is_alive(&self) -> bool {
        self.quick().is_alive().unwrap_or(false)
    }

    fn pop_idle(&self) -> Option<Connect> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// A connection that is used by one call only; it goes back afterwards.
#[derive(Debug)]
pub(super) struct Lease {
    link: Arc<Link>,
    connection: Connect,
}

impl Lease {
    /// The connection.
    pub(super) const fn connection(&self) -> &Connect {
        &self.connection
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut idle = self.link.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CONNECTIONS {
            // A further reference to the same connection; ours goes with this lease.
            idle.push(self.connection.clone());
        }
    }
}

fn open(config: &Config) -> Result<Connect, Error> {
    let connection = Connect::open(Some(config.uri.as_str()))?;
    let interval = i32::try_from(config.keepalive.get().as_secs()).unwrap_or(i32::MAX).max(1);
    if let Err(error) = connection.set_keep_alive(interval, KEEPALIVE_COUNT) {
        // In-process drivers have nothing to keep alive.
        tracing::debug!(%error, "no keepalive on this connection to libvirt");
    }
    Ok(connection)
}
