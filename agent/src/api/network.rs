//! The API over the network: TLS 1.3 on the addresses of `[api] listen`, never without.
//!
//! Who is there is settled per request, by [`admission`](super::admission); here a connection gets its place, its
//! handshake under a deadline, and what its certificate says.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::future::{join_all, pending};
use porthole_shared::clients::{self, Clients};
use porthole_shared::lifecycle::Shutdown;
use porthole_shared::tls::{TlsError, certificate_facts};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;

use super::admission::Peer;
use super::certificates::{self, Current, Following};
use super::{Config, connection};
use crate::throttle::Throttle;
use crate::{tcp, tunnel};

/// How long to wait when the system has no descriptor or memory for a connection: others may end meanwhile.
const OUT_OF_RESOURCES: Duration = Duration::from_millis(100);

/// The API cannot be offered over the network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Its certificates cannot be used.
    #[error("cannot use the certificate, key or client_ca of [api]")]
    Certificates(#[from] TlsError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ([api] listen)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Bound, and not serving yet; without addresses, nothing.
#[derive(Debug, Default)]
pub struct Network(Option<Bound>);

#[derive(Debug)]
struct Bound {
    listeners: Vec<TcpListener>,
    current: Arc<Current>,
    following: Following,
    max_connections: usize,
    max_per_address: usize,
    handshake_timeout: Duration,
}

impl Network {
    /// Reads the certificates and binds every address, if there is any. Needs a Tokio runtime.
    pub fn bind(config: &Config, tunnel: &tunnel::Config) -> Result<Self, NetworkError> {
        if config.listen.is_empty() {
            return Ok(Self::default());
        }
        let (current, following) = certificates::load(config, tunnel)?;
        let listeners = config
            .listen
            .iter()
            .map(|&address| {
                tcp::listen(address, &config.listen).map_err(|source| NetworkError::Listen { address, source })
            })
            .collect::<Result<_, _>>()?;
        let (max_connections, max_per_address) = (config.max_connections, config.max_connections_per_address);
        let handshake_timeout = config.handshake_timeout.get();
        Ok(Self(Some(Bound { listeners, current, following, max_connections, max_per_address, handshake_timeout })))
    }

    /// Reads the certificates, if there is any address to serve them on.
    pub fn check(config: &Config, tunnel: &tunnel::Config) -> Result<(), TlsError> {
        if config.listen.is_empty() { Ok(()) } else { certificates::load(config, tunnel).map(drop) }
    }

    /// The addresses it listens on, in the order of the configuration.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.0.iter().flat_map(|bound| &bound.listeners).map(TcpListener::local_addr).collect()
    }

    /// Accepts for as long as it is polled.
    pub(super) async fn accept(self, router: &Router, connections: &TaskTracker, shutdown: &Shutdown) {
        let Some(Bound { listeners, current, following, max_connections, max_per_address, handshake_timeout }) = self.0
        else {
            return pending().await;
        };
        let server = Arc::new(Server {
            router: router.clone(),
            current,
            shutdown: shutdown.clone(),
            places: Arc::new(Semaphore::new(max_connections)),
            clients: Clients::default(),
            max_per_address,
            handshake_timeout,
            connections: connections.clone(),
            full: Throttle::default(),
            failing: Throttle::default(),
            handshake: Throttle::default(),
        });
        let accepting = join_all(listeners.into_iter().map(|listener| Arc::clone(&server).accept(listener)));
        tokio::select! {
            _never = accepting => {}
            () = following.run() => {}
        }
    }
}

#[derive(Debug)]
struct Server {
    router: Router,
    current: Arc<Current>,
    shutdown: Shutdown,
    places: Arc<Semaphore>,
    clients: Clients,
    max_per_address: usize,
    handshake_timeout: Duration,
    connections: TaskTracker,
    full: Throttle,
    failing: Throttle,
    handshake: Throttle,
}

impl Server {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    let Some(place) = self.place(from.ip()) else {
                        if let Some(others) = self.full.pass() {
                            tracing::warn!(
                                from = %tcp::canonical(from), others,
                                "refused a connection to the API: there are as many as [api] max_connections or \
                                 max_connections_per_address allows"
                            );
                        }
                        continue;
                    };
                    let server = Arc::clone(&self);
                    drop(self.connections.spawn(async move {
                        server.serve(stream, tcp::canonical(from)).await;
                        drop(place);
                    }));
                }
                // The peer gave up before we got to it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if let Some(others) = self.failing.pass() {
                        tracing::error!(%error, others, "cannot accept connections to the API: trying again");
                    }
                    sleep(OUT_OF_RESOURCES).await;
                }
            }
        }
    }

    /// Of all, and of this address.
    fn place(&self, from: IpAddr) -> Option<(clients::Place, OwnedSemaphorePermit)> {
        let of_address = self.clients.take(from, self.max_per_address)?;
        Some((of_address, Arc::clone(&self.places).try_acquire_owned().ok()?))
    }

    async fn serve(&self, stream: TcpStream, from: SocketAddr) {
        let shaken = self.shutdown.soft.run_until_cancelled(self.shake_hands(stream, from)).await;
        let Some(Some(tls)) = shaken else { return };
        let certificate = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
        // One that cannot be read is none: the handshake has checked it, so there is none such.
        let certificate = certificate.and_then(|certificate| certificate_facts(certificate).ok()).map(Arc::new);
        let peer = Peer::Network { from: from.ip(), certificate };
        connection::serve(tls, Some(peer), self.router.clone(), &self.shutdown).await;
    }

    async fn shake_hands(&self, stream: TcpStream, from: SocketAddr) -> Option<TlsStream<TcpStream>> {
        let shaken = async {
            tcp::tune(&stream)?;
            self.current.acceptor().accept(stream).await
        };
        let failure = match timeout(self.handshake_timeout, shaken).await {
            Ok(Ok(tls)) => return Some(tls),
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => "it took too long".to_owned(),
        };
        if let Some(others) = self.handshake.pass() {
            tracing::warn!(%from, error = failure, others, "a TLS handshake with a client of the API failed");
        }
        None
    }
}
