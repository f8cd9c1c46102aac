//! Whether something outside of the table listens on a port: bound as QEMU binds it and let go at once. Never listened
//! on, so that nobody can connect to a trial.
//!
//! A port that is to be given is tried on every address of IPv4 and of IPv6, one that is somebody's already only where it
//! is to be used: what listens on another address does not meet it there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// Every address.
const ALL: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];

/// Those of the ports that are held, on any address.
pub(super) async fn held(ports: Vec<u16>) -> io::Result<Vec<u16>> {
    held_on(ports.into_iter().map(|port| (port, ALL.to_vec())).collect()).await
}

/// Those of the ports that are held, each on its own addresses.
pub(super) async fn held_on(ports: Vec<(u16, Vec<IpAddr>)>) -> io::Result<Vec<u16>> {
    let probed = tokio::task::spawn_blocking(move || {
        let held = |(port, addresses): (u16, Vec<IpAddr>)| is_held(port, &addresses).map(|held| held.then_some(port));
        ports.into_iter().filter_map(|each| held(each).transpose()).collect()
    });
    probed.await.map_err(io::Error::other)?
}

fn is_held(port: u16, addresses: &[IpAddr]) -> io::Result<bool> {
    for address in addresses {
        match bind(SocketAddr::new(*address, port)) {
            Ok(()) => {}
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EADDRINUSE) => return Ok(true),
                // A host without IPv6, or without this address: QEMU says so itself.
                Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) => {}
                _ => return Err(error),
            },
        }
    }
    Ok(false)
}

fn bind(address: SocketAddr) -> io::Result<()> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // As QEMU does it: connections of earlier times that linger do not count, and where IPv4 is taken it takes IPv6 alone.
    socket.set_reuse_address(true)?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn who_listens_on_one_address_holds_the_port() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert_eq!(held(vec![port]).await.unwrap(), [port], "{address}");
            drop(listener);
            assert_eq!(held(vec![port]).await.unwrap(), [0_u16; 0], "{address}");
        }
    }

    #[tokio::test]
    async fn who_listens_elsewhere_does_not_hold_an_address() {
        let address = |text: &str| -> IpAddr { text.parse().unwrap() };
        for (listening, holds, others) in [
            ("127.0.0.2:0", &["127.0.0.2", "0.0.0.0"][..], &["127.0.0.1", "::1", "::", "192.0.2.1"][..]),
            ("0.0.0.0:0", &["127.0.0.1", "127.0.0.2", "0.0.0.0"], &["::1", "::"]),
            ("[::1]:0", &["::1", "::"], &["127.0.0.1", "0.0.0.0"]),
        ] {
            let listener = TcpListener::bind(listening).unwrap();
            let port = listener.local_addr().unwrap().port();
            for held in holds {
                assert_eq!(held_on(vec![(port, vec![address(held)])]).await.unwrap(), [port], "{listening} {held}");
            }
            let others = others.iter().map(|other| address(other)).collect();
            assert_eq!(held_on(vec![(port, others)]).await.unwrap(), [0_u16; 0], "{listening}");
        }
    }

    #[tokio::test]
    async fn what_lingers_of_a_connection_does_not_hold_the_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // The server's side closes first, and so is the one that lingers.
        drop(listener.accept().unwrap());
        drop(listener);
        drop(client);
        assert_eq!(held(vec![port]).await.unwrap(), [0_u16; 0]);
    }
}
