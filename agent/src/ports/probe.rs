//! Whether something outside of the table listens on a port: bound as QEMU binds it, on every address of IPv4 and of
//! IPv6, and let go at once. Never listened on, so that nobody can connect to a trial.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// Those of the ports that are held.
pub(super) async fn held(ports: Vec<u16>) -> io::Result<Vec<u16>> {
    let probed = tokio::task::spawn_blocking(move || {
        ports.into_iter().filter_map(|port| is_held(port).map(|held| held.then_some(port)).transpose()).collect()
    });
    probed.await.map_err(io::Error::other)?
}

fn is_held(port: u16) -> io::Result<bool> {
    for (domain, address) in [
        (Domain::IPV4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        (Domain::IPV6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))),
    ] {
        match bind(domain, address) {
            Ok(()) => {}
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EADDRINUSE) => return Ok(true),
                // A host without IPv6.
                Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) if domain == Domain::IPV6 => {}
                _ => return Err(error),
            },
        }
    }
    Ok(false)
}

fn bind(domain: Domain, address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // As QEMU does it: connections of earlier times that linger do not count.
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
