//! Connections to one libvirt, from its appearance until its end.
//!
//! Each call has a connection of its own while it lasts, and the one for events carries nothing else. Two reasons:
//!
//! - libvirtd reads no further call from a connection on which five are under way (`max_client_requests`), not even its
//!   keepalive, and calls that take a domain's job can hang.
//! - libvirt's client before 10.3 corrupts memory where two threads call on one connection: whoever waits for the socket
//!   leaves a source behind that points into its stack, if the other wakes it (CVE-2024-4418; Debian 12's 9.0.0 has it).
//!   An agent ended by that with SIGSEGV, once, as a libvirtd that hung was given up. So no two ever share one: nobody
//!   is given the connection for events, and a [`Lease`] is not cloned.

use std::sync::{Arc, Mutex, PoisonError};

use virt::connect::Connect;
use virt::error::Error;

use super::config::Config;
use super::ffi::{Notice, Observed};

/// Missed keepalive messages after which libvirt counts as gone.
const KEEPALIVE_COUNT: u32 = 3;

/// Connections that are kept for the next call when theirs has ended.
const IDLE_CONNECTIONS: usize = 6;

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

    /// A connection for one call.
    pub(super) fn lease(self: &Arc<Self>) -> Result<Lease, Error> {
        while let Some(connection) = self.pop_idle() {
            if connection.is_alive().unwrap_or(false) {
                return Ok(Lease { link: Arc::clone(self), connection, goes_back: true });
            }
        }
        Ok(Lease { link: Arc::clone(self), connection: open(&self.config)?, goes_back: true })
    }

    /// Whether the connection for events still stands.
    pub(super) fn is_alive(&self) -> bool {
        self.observed.connection().is_alive().unwrap_or(false)
    }

    fn pop_idle(&self) -> Option<Connect> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// A connection that is used by one call only; it goes back afterwards, unless it is given away.
#[derive(Debug)]
pub(super) struct Lease {
    link: Arc<Link>,
    connection: Connect,
    goes_back: bool,
}

impl Lease {
    /// The call has left something on it that goes on using it (a stream): nobody else is to have it.
    pub(super) const fn give_away(&mut self) {
        self.goes_back = false;
    }

    /// The connection.
    pub(super) const fn connection(&self) -> &Connect {
        &self.connection
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.goes_back {
            return;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_one_calls_or_a_streams_and_waits_for_the_next_only_afterwards() {
        super::super::ffi::start_event_loop().unwrap();
        let config = Config { uri: "test:///default".parse().unwrap(), ..Config::default() };
        let link = Arc::new(Link::open(&config, drop).unwrap());
        let waiting = || link.idle.lock().unwrap().len();
        let (one, mut other) = (link.lease().unwrap(), link.lease().unwrap());
        assert_eq!(waiting(), 0);
        other.give_away();
        drop((one, other));
        assert_eq!(waiting(), 1, "the one that a stream has does not come back");
        let _again = link.lease().unwrap();
        assert_eq!(waiting(), 0);
    }
}
