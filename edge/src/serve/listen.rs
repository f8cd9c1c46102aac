//! Listening sockets, and the loop that takes connections from them.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::room::{Full, Place, Room};
use crate::occasionally::Occasionally;

/// How many connections the kernel keeps for us while we are busy.
const BACKLOG: i32 = 1024;

/// How long to wait when the process is out of descriptors: some session may end meanwhile.
const AFTER_ERROR: Duration = Duration::from_millis(50);

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// Bound sockets, not served yet.
#[derive(Debug)]
pub struct Listeners(Vec<TcpListener>);

impl Listeners {
    /// Binds every address. `[::]` takes IPv4 too, unless the list has an IPv4 address with the same port.
    pub fn bind(addresses: &[SocketAddr]) -> Result<Self, ListenError> {
        addresses
            .iter()
            .map(|&address| {
                let v4_apart = addresses.iter().any(|other| other.is_ipv4() && other.port() == address.port());
                bind(address, v4_apart).map_err(|source| ListenError { address, source })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Where they listen: tests bind port 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }
}

fn bind(address: SocketAddr, v4_apart: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(address.ip() != Ipv6Addr::UNSPECIFIED || v4_apart)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Takes connections until `stop`, over all listeners as many at once as there is room for. One more is closed at once: the client, or
/// the load balancer before it, then knows to go elsewhere. `serve` starts a task and keeps the place for as long as the
/// connection lives.
pub async fn accept<F>(listeners: Listeners, room: Room, stop: CancellationToken, serve: F)
where
    F: Fn(TcpStream, SocketAddr, Place) + Clone + Send + Sync + 'static,
{
    let mut loops = JoinSet::new();
    for listener in listeners.0 {
        loops.spawn(accept_one(listener, room.clone(), stop.clone(), serve.clone()));
    }
    while loops.join_next().await.is_some() {}
}

async fn accept_one<F>(listener: TcpListener, room: Room, stop: CancellationToken, serve: F)
where
    F: Fn(TcpStream, SocketAddr, Place),
{
    // Apart, so that one greedy client's lines do not stand for everybody's.
    let mut overloads: HashMap<&'static str, Occasionally> = HashMap::new();
    let failures = Occasionally::default();
    loop {
        let accepted = tokio::select! {
            // First: once it is known that this stops, nobody new is let in.
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => match room.take(peer.ip()) {
                Ok(place) => {
                    // Keystrokes and frames must not wait for company. Without it the connection still works.
                    if let Err(error) = tcp.set_nodelay(true) {
                        tracing::debug!(%error, "TCP_NODELAY could not be set");
                    }
                    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                    serve(tcp, peer, place);
                }
                Err(Full { setting }) => overloads.entry(setting).or_default().tell(|times| {
                    let last = peer.ip().to_canonical();
                    tracing::warn!(times, setting, %last, "connections closed unserved: as many as may be are served");
                }),
            },
            Err(error) => {
                failures.tell(|times| tracing::warn!(%error, times, "connections could not be accepted"));
                sleep(AFTER_ERROR).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use tokio::io::AsyncReadExt as _;
    use tokio::sync::mpsc;

    use super::super::room::Most;
    use super::*;

    const ONE: Most = Most { connections: NonZeroUsize::MIN, setting: "test", each: None, each_setting: "test" };

    #[tokio::test]
    async fn the_unspecified_ipv6_address_takes_ipv4_too_and_names_it_so() {
        let listeners = Listeners::bind(&["[::]:0".parse().unwrap()]).unwrap();
        let port = listeners.addresses().first().unwrap().port();
        let (told, mut heard) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let running = tokio::spawn(accept(listeners, Room::new(ONE), stop.clone(), move |_, peer, _| {
            told.send(peer).unwrap();
        }));
        for host in ["127.0.0.1", "::1"] {
            let stream = TcpStream::connect((host, port)).await.unwrap();
            assert_eq!(heard.recv().await.unwrap(), stream.local_addr().unwrap());
        }
        stop.cancel();
        running.await.unwrap();
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err(), "nobody listens any more");
    }

    #[tokio::test]
    async fn one_connection_too_many_is_closed_at_once_and_room_is_given_back() {
        let listeners = Listeners::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let address = *listeners.addresses().first().unwrap();
        let (told, mut heard) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        drop(tokio::spawn(accept(listeners, Room::new(ONE), stop.clone(), move |tcp, _, place| {
            told.send((tcp, place)).unwrap();
        })));
        let _first = TcpStream::connect(address).await.unwrap();
        let held = heard.recv().await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        assert_eq!(second.read(&mut [0; 1]).await.unwrap_or(0), 0);
        drop(held);
        let _third = TcpStream::connect(address).await.unwrap();
        assert!(heard.recv().await.is_some());
        stop.cancel();
    }

    #[tokio::test]
    async fn a_taken_address_is_named() {
        let held = Listeners::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let taken = held.addresses();
        assert!(Listeners::bind(&taken).unwrap_err().to_string().contains(&taken.first().unwrap().to_string()));
    }
}
