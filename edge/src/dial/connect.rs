//! Name, TCP, TLS: a connection to the agent of a node, or why there is none.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use porthole_shared::config::HostPort;
use porthole_shared::leg::Leg;
use porthole_shared::tls::TlsError;
use rustls::ClientConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::directory::Node;

/// How many names are looked up at once. A lookup holds a thread for as long as the resolver likes, also when nobody
/// waits for it any more.
const LOOKUPS: usize = 32;

/// How many of a name's addresses are tried.
const ADDRESSES: usize = 8;

/// How long an address may take before the next is tried beside it (RFC 8305 section 8).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// How long a silent connection is left alone, and then how often and how many times it is asked: an agent's host that
/// is gone without a word is noticed within a minute and a half.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(15)).with_retries(4);

/// How long bytes to an agent may stay unacknowledged. Keepalive does not ask while there are any.
const UNACKNOWLEDGED: Duration = Duration::from_secs(90);

/// No connection to an agent.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not within the time that the configuration gives.
    #[error("no connection within {0:?} ([agents] connect_timeout)")]
    Slow(Duration),
    /// Its name has no address.
    #[error("no address was found for it")]
    Lookup(#[source] io::Error),
    /// No address took a connection.
    #[error("none of its addresses takes a connection")]
    Tcp(#[source] io::Error),
    /// Whoever is there did not prove to be that agent, or does not take us for an edge.
    #[error("no TLS connection with that agent")]
    Tls(#[source] io::Error),
    /// The node's name cannot be dialled.
    #[error("the node cannot be named in TLS")]
    Name(#[from] TlsError),
}

/// Makes connections.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) lookups: Arc<Semaphore>,
}

impl Connector {
    pub(super) fn new() -> Self {
        Self { lookups: Arc::new(Semaphore::new(LOOKUPS)) }
    }

    /// Connects. The deadline is the caller's.
    pub(super) async fn connect(&self, node: &Node, tls: Arc<ClientConfig>) -> Result<Leg, ConnectError> {
        let name = node.identity.server_name()?;
        let addresses = self.resolve(&node.address).await.map_err(ConnectError::Lookup)?;
        let stream = first(addresses).await.and_then(prepared).map_err(ConnectError::Tcp)?;
        Leg::connect(stream, tls, name).await.map_err(ConnectError::Tls)
    }

    async fn resolve(&self, address: &HostPort) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = address.host().parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, address.port())]);
        }
        let permit = Arc::clone(&self.lookups).acquire_owned().await.map_err(io::Error::other)?;
        let (host, port) = (address.host().to_owned(), address.port());
        let lookup = tokio::task::spawn_blocking(move || {
            // Held by the thread, not by whoever waits for it.
            let _permit = permit;
            Ok((host.as_str(), port).to_socket_addrs()?.take(ADDRESSES).collect())
        });
        lookup.await.map_err(io::Error::other)?
    }
}

/// Connects to whichever address answers first; each next one gets its turn when the one before it fails or is slow.
async fn first(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut addresses = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let next = addresses.next();
        let waits = next.is_some();
        attempts.extend(next.map(TcpStream::connect));
        tokio::select! {
            attempt = attempts.next() => match attempt {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => failure = error,
                None => return Err(failure),
            },
            () = sleep(NEXT_ADDRESS_AFTER), if waits => {}
        }
    }
}

fn prepared(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_dead_address_does_not_hide_a_living_one() {
        let dead = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap()
        };
        let living = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let living_address = living.local_addr().unwrap();
        let stream = prepared(first(vec![dead, living_address]).await.unwrap()).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), living_address);
        assert!(stream.nodelay().unwrap());
        assert!(SockRef::from(&stream).keepalive().unwrap());

        assert_eq!(first(vec![dead]).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(first(vec![]).await.unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[tokio::test]
    async fn names_and_addresses_resolve() {
        let connector = Connector::new();
        for (address, loopback) in [("127.0.0.1:7", true), ("[::1]:7", true), ("localhost:7", true)] {
            let found = connector.resolve(&address.parse().unwrap()).await.unwrap();
            assert!(found.iter().all(|at| at.ip().is_loopback() == loopback && at.port() == 7), "{address}: {found:?}");
        }
        assert!(connector.resolve(&"no-such-name.invalid:7".parse().unwrap()).await.is_err());
    }
}
