//! Listening, and what every TCP connection of the agent has set: small writes go out at once, and a peer that vanished is
//! noticed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// After this long without a byte the kernel asks the peer's kernel whether it is there.
const KEEPALIVE_IDLE: Duration = Duration::from_mins(1);
/// It asks again after this long…
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// …and gives up after asking this often.
const KEEPALIVE_COUNT: u32 = 4;

/// How many connections the kernel holds that were not accepted yet.
const BACKLOG: u32 = 1024;

/// Listens on `address`, one of `all`.
pub(crate) fn listen(address: SocketAddr, all: &[SocketAddr]) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() {
        let socket = TcpSocket::new_v6()?;
        // Said here, because otherwise the host's settings decide what `[::]` means.
        let ipv4_too = !all.iter().any(|other| other.is_ipv4() && other.port() == address.port());
        SockRef::from(&socket).set_only_v6(!ipv4_too)?;
        socket
    } else {
        TcpSocket::new_v4()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Sets it.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_COUNT);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// An IPv4 address as one, also where it came in by an IPv6 socket.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = address.ip().to_canonical();
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_set_for_both_families() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            tune(&stream).unwrap();
            assert!(stream.nodelay().unwrap());
            let socket = SockRef::from(&stream);
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
        }
    }
}
