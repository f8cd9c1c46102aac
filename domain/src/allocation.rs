//! The ports that somebody else found for a domain's consoles, and the address they are on.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU16;

use crate::spec::{ConsoleSpec, Transport};

/// The lowest port of a VNC server: QEMU counts displays from there.
const LOWEST_VNC: u16 = 5900;

/// Ports for the consoles of one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// The address of this host that they listen on.
    pub address: IpAddr,
    /// That of the screen.
    pub vnc: Option<NonZeroU16>,
    /// Those of the serial ports, the first first.
    pub serial: Vec<NonZeroU16>,
}

/// What was allocated is not what the specification needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllocationError {
    /// There is none, but consoles are to have ports.
    #[error("consoles with transport tcp need an address and ports")]
    Missing,
    /// There is one, but nothing listens.
    #[error("consoles with transport sealed listen on no port, so they can be given none")]
    Sealed,
    /// There is no port for the screen, or one too many.
    #[error("{}", if *.wanted { "a screen on TCP needs a port: none was given" } else { "a port was given for a screen, but there is none" })]
    Vnc {
        /// Whether there is a screen.
        wanted: bool,
    },
    /// There are too few or too many serial ports.
    #[error("{wanted} serial ports need as many TCP ports; {given} were given")]
    Serial {
        /// How many there are.
        wanted: usize,
        /// How many TCP ports were given.
        given: usize,
    },
    /// A port is there twice.
    #[error("port {0} was given twice")]
    Twice(NonZeroU16),
    /// QEMU cannot have a screen on that port.
    #[error("port {0} is too low for VNC: QEMU has displays from port {LOWEST_VNC}")]
    LowVnc(NonZeroU16),
}

impl Allocation {
    /// Whether it is what a specification needs, neither more nor less.
    pub(crate) fn checked<'a>(
        allocation: Option<&'a Self>,
        spec: &ConsoleSpec,
    ) -> Result<Option<&'a Self>, AllocationError> {
        let allocation = match (spec.transport, allocation) {
            (Transport::Sealed, None) => return Ok(None),
            (Transport::Sealed, Some(_)) => return Err(AllocationError::Sealed),
            (Transport::Tcp, None) => return Err(AllocationError::Missing),
            (Transport::Tcp, Some(allocation)) => allocation,
        };
        if spec.vnc.is_some() != allocation.vnc.is_some() {
            return Err(AllocationError::Vnc { wanted: spec.vnc.is_some() });
        }
        let wanted = spec.serial.as_ref().map_or(0, |serial| usize::from(serial.ports.number()));
        if wanted != allocation.serial.len() {
            return Err(AllocationError::Serial { wanted, given: allocation.serial.len() });
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = allocation.vnc.iter().chain(&allocation.serial).find(|port| !seen.insert(**port)) {
            return Err(AllocationError::Twice(*twice));
        }
        match allocation.vnc {
            Some(port) if port.get() < LOWEST_VNC => Err(AllocationError::LowVnc(port)),
            Some(_) | None => Ok(Some(allocation)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> ConsoleSpec {
        serde_json::from_str(json).unwrap()
    }

    fn allocation(vnc: Option<u16>, serial: &[u16]) -> Allocation {
        let port = |port: u16| NonZeroU16::new(port).unwrap();
        Allocation {
            address: [127, 0, 0, 1].into(),
            vnc: vnc.map(port),
            serial: serial.iter().map(|one| port(*one)).collect(),
        }
    }

    #[test]
    fn an_allocation_fits_its_specification() {
        let both = r#"{"transport": "tcp", "vnc": {}, "serial": {"ports": 2}}"#;
        for (json, given, said) in [
            (both, Some(allocation(Some(20000), &[10000, 10001])), None),
            (r#"{"vnc": {}}"#, None, None),
            (r#"{"transport": "tcp"}"#, Some(allocation(None, &[])), None),
            (both, None, Some("need an address")),
            (r#"{"vnc": {}}"#, Some(allocation(Some(20000), &[])), Some("listen on no port")),
            (both, Some(allocation(None, &[10000, 10001])), Some("a screen on TCP needs a port")),
            (r#"{"transport": "tcp"}"#, Some(allocation(Some(20000), &[])), Some("a port was given for a screen")),
            (both, Some(allocation(Some(20000), &[10000])), Some("2 serial ports need as many TCP ports; 1 were")),
            (both, Some(allocation(Some(20000), &[10000, 20000])), Some("20000 was given twice")),
            (both, Some(allocation(Some(5899), &[10000, 10001])), Some("5899 is too low")),
        ] {
            let checked = Allocation::checked(given.as_ref(), &spec(json));
            match said {
                None => assert_eq!(checked.unwrap(), given.as_ref()),
                Some(said) => assert!(checked.unwrap_err().to_string().contains(said), "{json} {given:?}"),
            }
        }
    }
}
