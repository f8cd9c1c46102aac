//! Where a domain's console is reached when libvirt is elsewhere and can pass no descriptor. Pure.

use std::net::IpAddr;

use porthole_shared::config::HostPort;
use porthole_shared::names::ConsoleUuid;

use super::xml::{Graphics, Listen};
use super::{Networks, ResolveError};

/// Where a console is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// By a descriptor from [`Hypervisor::open_graphics`](crate::hypervisor::Hypervisor::open_graphics).
    GraphicsFd {
        /// The domain.
        uuid: ConsoleUuid,
        /// The device's place among all graphics devices, as that call counts.
        position: u8,
    },
    /// By TCP.
    Tcp {
        /// The address; a name is resolved at each use.
        address: HostPort,
        /// Where the resolved address must lie.
        within: Networks,
    },
}

/// The address of a device of a domain on `libvirt_host`, which is not this process's.
pub(super) fn endpoint(device: &Graphics, libvirt_host: Option<&str>) -> Result<Endpoint, ResolveError> {
    let address = match &device.listen {
        Listen::Nowhere => return Err(ResolveError::OutOfReach("nowhere")),
        Listen::Socket(_) => return Err(ResolveError::OutOfReach("on a unix socket")),
        // libvirt writes its default, the loopback address, into the XML of a running domain.
        Listen::Address(address) => address.as_deref().unwrap_or("127.0.0.1"),
    };
    let port = device.port.ok_or(ResolveError::OutOfReach("on no unencrypted port"))?;
    let unknown = ResolveError::OutOfReach("on an address of no known form");
    let host = match address.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => libvirt_host.ok_or(unknown)?.to_owned(),
        Ok(ip) if ip.is_loopback() && !libvirt_host.is_some_and(is_loopback) => {
            return Err(ResolveError::OutOfReach("on the loopback address of its host"));
        }
        Ok(_) | Err(_) => address.to_owned(),
    };
    let text = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let address: HostPort = text.parse().map_err(|_| ResolveError::OutOfReach("on an address of no known form"))?;
    Ok(Endpoint::Tcp { address, within: Networks::Any })
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The host in `driver+transport://user@host:port/path`, without brackets.
pub(super) fn host_of(uri: &str) -> Option<&str> {
    let (_scheme, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host_port = authority.rsplit('@').next()?;
    let host = match host_port.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?,
        None => host_port.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use porthole_shared::names::ConsoleKind;

    fn reached(listen: Listen, port: Option<u16>, host: Option<&str>) -> Result<String, String> {
        let device = Graphics { position: 0, kind: Some(ConsoleKind::Vnc), port, listen };
        match endpoint(&device, host) {
            Ok(Endpoint::Tcp { address, within: Networks::Any }) => Ok(address.to_string()),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    fn at(address: &str) -> Listen {
        Listen::Address(Some(address.to_owned()))
    }

    #[test]
    fn addresses_that_reach_the_domain_from_here() {
        for (listen, host, expected) in [
            (at("10.0.0.5"), Some("c1"), "10.0.0.5:5901"),
            (at("0.0.0.0"), Some("c1.example.org"), "c1.example.org:5901"),
            (at("::"), Some("2001:db8::1"), "[2001:db8::1]:5901"),
            (at("2001:db8::5"), None, "[2001:db8::5]:5901"),
            (at("127.0.0.1"), Some("localhost"), "127.0.0.1:5901"),
            (at("::1"), Some("127.0.0.1"), "[::1]:5901"),
            (at("c1.example.org"), None, "c1.example.org:5901"),
            (Listen::Address(None), Some("::1"), "127.0.0.1:5901"),
        ] {
            assert_eq!(reached(listen.clone(), Some(5901), host).as_deref(), Ok(expected), "{listen:?} {host:?}");
        }
    }

    #[test]
    fn what_cannot_be_reached_says_so() {
        for (listen, port, expected) in [
            (Listen::Nowhere, Some(1), "nowhere"),
            (Listen::Socket("/a".to_owned()), None, "unix socket"),
            (at("127.0.0.1"), Some(1), "loopback"),
            (Listen::Address(None), Some(1), "loopback"),
            (at("10.0.0.5"), None, "no unencrypted port"),
            (at("a b"), Some(1), "no known form"),
        ] {
            let message = reached(listen, port, Some("c1")).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        assert!(reached(at("0.0.0.0"), Some(1), None).is_err());
    }

    #[test]
    fn hosts_of_uris() {
        for (uri, host) in [
            ("qemu:///system", None),
            ("qemu+tcp://c1/system", Some("c1")),
            ("qemu+ssh://root@c1.example.org:2222/system?keyfile=/a@b", Some("c1.example.org")),
            ("qemu+tls://[2001:db8::1]:16514/system", Some("2001:db8::1")),
            ("qemu+unix:///system?socket=/x", None),
        ] {
            assert_eq!(host_of(uri), host, "{uri}");
        }
    }
}
