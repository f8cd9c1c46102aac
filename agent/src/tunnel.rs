//! Where edges reach this agent: `/tunnel/v1` over mutual TLS 1.3.
//!
//! ```text
//!  accept ──► TLS ──► an edge? ──► HTTP/1.1 ──► routes: inspect, jwks, drain
//!             under     by its                     └──► console: examine ─► reserve ─► open ─► redeem ─► begin ─► 101
//!             one       certificate                                 any of them: a reason, no body        │
//!             deadline                                                          websocket::Relay ◄────────┘
//! ```
//!
//! What a token allows, who holds a place and where a console is are decided by [`tokens`](crate::tokens),
//! [`sessions`](crate::sessions) and [`consoles`](crate::consoles); this module asks them in the right order. The names
//! on the wire are [`porthole_shared::tunnel`]'s.
//!
//! When told to stop, it goes on answering until the last connection has ended, so that an edge hears `draining` rather
//! than nothing; ending the sessions is not its task.
//!
//! **Invariants**: a request is read only from a peer whose certificate makes it an edge at that moment; a token is
//! redeemed only when its console is open; a refusal comes before any `101`, and has no body; the API is not reached
//! from here.

mod config;
mod console;
mod listener;
mod routes;
mod trust;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use porthole_shared::lifecycle::Shutdown;
use porthole_shared::tls::TlsError;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

pub use self::config::{Config, DEFAULT_PORT, MOST_CONNECTIONS};
pub(crate) use self::console::OPEN_PATIENCE;
use self::trust::Following;
pub use self::trust::Trust;
use crate::audit::Audit;
use crate::consoles::Consoles;
use crate::metrics::instruments;
use crate::serial::Serial;
use crate::sessions::Sessions;
use crate::tcp;
use crate::throttle::Throttle;
use crate::tokens::Tokens;
use crate::websocket::Pings;

/// What requests are answered with.
#[derive(Debug, Clone)]
pub struct Services {
    /// Where consoles are.
    pub consoles: Consoles,
    /// What a token allows.
    pub tokens: Tokens,
    /// Who is connected.
    pub sessions: Sessions,
    /// Who is told of refusals.
    pub audit: Audit,
    /// The serial ports of domains.
    pub serial: Serial,
    /// How clients that vanished are noticed.
    pub pings: Pings,
}

/// The tunnel cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Its certificates cannot be used.
    #[error("cannot use the tunnel's certificates")]
    Trust(#[from] TlsError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ([tunnel] listen)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Bound, and not serving yet.
#[derive(Debug)]
pub struct Tunnel {
    listeners: Vec<TcpListener>,
    trust: Trust,
    following: Following,
    instruments: instruments::Tunnel,
    max_connections: usize,
    handshake_timeout: Duration,
}

impl Tunnel {
    /// Reads the certificates and binds every address. Needs a Tokio runtime.
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        let (trust, following) = Trust::load(config.identity(), config.policy())?;
        let listeners = config
            .listen
            .iter()
            .map(|&address| {
                tcp::listen(address, &config.listen).map_err(|source| BindError::Listen { address, source })
            })
            .collect::<Result<_, _>>()?;
        let (max_connections, handshake_timeout) = (config.max_connections, config.handshake_timeout.get());
        let instruments = instruments::Tunnel::default();
        Ok(Self { listeners, trust, following, instruments, max_connections, handshake_timeout })
    }

    /// The addresses it listens on, in the order of the configuration.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(TcpListener::local_addr).collect()
    }

    /// Its certificate and its policy, to ask and to change while it serves.
    pub const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// What is counted and measured of it.
    pub const fn instruments(&self) -> &instruments::Tunnel {
        &self.instruments
    }

    /// Serves until it is told to stop and its last connection has ended.
    pub async fn run(self, services: Services, shutdown: Shutdown) -> Result<(), Infallible> {
        let Self { listeners, trust, following, instruments, max_connections, handshake_timeout } = self;
        let server = Arc::new(Server {
            trust,
            services,
            instruments,
            shutdown,
            handshake_timeout,
            places: Arc::new(Semaphore::new(max_connections)),
            connections: TaskTracker::new(),
            complaints: Complaints::default(),
        });
        let accepting = join_all(listeners.into_iter().map(|listener| listener::accept(Arc::clone(&server), listener)));
        tokio::select! {
            _never = accepting => {}
            () = following.run() => {}
            () = server.drained() => {}
        }
        Ok(())
    }
}

/// What all connections share.
#[derive(Debug)]
struct Server {
    trust: Trust,
    services: Services,
    instruments: instruments::Tunnel,
    shutdown: Shutdown,
    handshake_timeout: Duration,
    /// One for each connection, held for as long as its session lasts.
    places: Arc<Semaphore>,
    connections: TaskTracker,
    complaints: Complaints,
}

/// What strangers can cause to be logged.
#[derive(Debug, Default)]
struct Complaints {
    full: Throttle,
    accept: Throttle,
    handshake: Throttle,
    not_an_edge: Throttle,
    console: Throttle,
}

impl Server {
    /// Waits until it is told to stop, then until no connection is left. Those that come meanwhile are waited for, too.
    async fn drained(&self) {
        self.shutdown.soft.cancelled().await;
        self.connections.close();
        self.connections.wait().await;
    }
}

#[cfg(test)]
mod tests;
