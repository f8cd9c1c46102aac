//! `[external]` of the agent's configuration: consoles that libvirt does not know, such as those of BMCs.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use porthole_shared::config::HostPort;
use porthole_shared::names::{ConsoleKind, ConsoleName, ConsoleUuid};
use serde::Deserialize;

/// The networks that a console's address must lie in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Networks {
    /// Any: the address comes from libvirt.
    Any,
    /// These: the address comes from the configuration and from name servers.
    Within(Arc<[IpNet]>),
}

impl Networks {
    /// Whether this address may be dialled. To be asked about the *resolved* address, each time.
    pub fn allow(&self, address: IpAddr) -> bool {
        // `::ffff:10.0.0.1` reaches 10.0.0.1, so it is judged as that.
        let address = address.to_canonical();
        match self {
            Self::Any => true,
            Self::Within(networks) => networks.iter().any(|network| network.contains(&address)),
        }
    }
}

/// A console that is not libvirt's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalConsole {
    /// Its UUID.
    pub uuid: ConsoleUuid,
    /// Its name.
    pub name: ConsoleName,
    /// What is spoken on it: RFB, or bytes that are relayed as they are.
    pub kind: ConsoleKind,
    /// Where it is.
    pub address: HostPort,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct External {
    consoles: Vec<ExternalConsole>,
    networks: Networks,
}

impl Default for External {
    fn default() -> Self {
        Self { consoles: Vec::new(), networks: Networks::Within(Arc::new([])) }
    }
}

impl External {
    /// The consoles, in the order of the configuration.
    pub fn consoles(&self) -> &[ExternalConsole] {
        &self.consoles
    }

    /// Where they may be.
    pub const fn networks(&self) -> &Networks {
        &self.networks
    }
}

/// The table as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    networks: Vec<IpNet>,
    #[serde(default)]
    console: Vec<WrittenConsole>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenConsole {
    uuid: ConsoleUuid,
    name: ConsoleName,
    protocol: Protocol,
    host: String,
    port: u16,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Protocol {
    Vnc,
    Tcp,
}

/// The table contradicts itself.
#[derive(Debug, thiserror::Error)]
enum Invalid {
    #[error(
        "[external] networks is empty, so no external console may be reached: list their networks, such as \"10.0.0.0/8\""
    )]
    NoNetworks,
    #[error("external console {name}: UUID {uuid} is there twice")]
    SameUuid { name: ConsoleName, uuid: ConsoleUuid },
    #[error("external console {name} is there twice: give each its own name")]
    SameName { name: ConsoleName },
    #[error(
        "external console {name}: {host:?} and {port} are no host and port: write a name or an address, and 1 to 65535"
    )]
    Address { name: ConsoleName, host: String, port: u16 },
    #[error("external console {name}: {address} is in none of [external] networks")]
    Outside { name: ConsoleName, address: IpAddr },
}

impl TryFrom<Written> for External {
    type Error = Invalid;

    fn try_from(written: Written) -> Result<Self, Invalid> {
        if written.networks.is_empty() && !written.console.is_empty() {
            return Err(Invalid::NoNetworks);
        }
        let networks = Networks::Within(written.networks.into());
        let (mut uuids, mut names) = (HashSet::new(), HashSet::new());
        let mut consoles = Vec::with_capacity(written.console.len());
        for WrittenConsole { uuid, name, protocol, host, port } in written.console {
            if !uuids.insert(uuid) {
                return Err(Invalid::SameUuid { name, uuid });
            }
            if !names.insert(name.clone()) {
                return Err(Invalid::SameName { name });
            }
            let literal: Option<IpAddr> = host.parse().ok();
            if let Some(address) = literal.filter(|address| !networks.allow(*address)) {
                return Err(Invalid::Outside { name, address });
            }
            let text = if literal.is_some_and(|address| address.is_ipv6()) {
                format!("[{host}]:{port}")
            } else {
                format!("{host}:{port}")
            };
            let Ok(address) = text.parse() else { return Err(Invalid::Address { name, host, port }) };
            let kind = match protocol {
                Protocol::Vnc => ConsoleKind::Vnc,
                Protocol::Tcp => ConsoleKind::Tcp,
            };
            consoles.push(ExternalConsole { uuid, name, kind, address });
        }
        Ok(Self { consoles, networks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn console(uuid: u8, name: &str, host: &str) -> Value {
        json!({"uuid": format!("00000000-0000-4000-8000-0000000000{uuid:02}"), "name": name, "protocol": "vnc",
               "host": host, "port": 5900})
    }

    fn load(table: Value) -> Result<External, String> {
        serde_json::from_value(table).map_err(|error| error.to_string())
    }

    #[test]
    fn consoles_are_read_with_their_addresses() {
        let table = json!({"networks": ["10.0.0.0/8", "2001:db8::/32"], "console": [
            console(1, "bmc-1", "10.1.2.3"), console(2, "bmc-2", "2001:db8::7"), console(3, "bmc-3", "bmc-3.example.org")
        ]});
        let external = load(table).unwrap();
        let addresses: Vec<String> = external.consoles().iter().map(|console| console.address.to_string()).collect();
        assert_eq!(addresses, ["10.1.2.3:5900", "[2001:db8::7]:5900", "bmc-3.example.org:5900"]);
        assert!(external.consoles().iter().all(|console| console.kind == ConsoleKind::Vnc));
    }

    #[test]
    fn contradictions_are_named() {
        let with = |consoles: Vec<Value>| json!({"networks": ["10.0.0.0/8"], "console": consoles});
        for (table, expected) in [
            (json!({"console": [console(1, "a", "10.0.0.1")]}), "networks is empty"),
            (with(vec![console(1, "a", "10.0.0.1"), console(1, "b", "10.0.0.1")]), "there twice"),
            (with(vec![console(1, "a", "10.0.0.1"), console(2, "a", "10.0.0.1")]), "its own name"),
            (with(vec![console(1, "a", "192.0.2.1")]), "in none of"),
            (with(vec![console(1, "a", "a b")]), "no host and port"),
            (json!({"netwroks": []}), "unknown field"),
        ] {
            let message = load(table).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn an_address_is_judged_as_what_it_reaches() {
        let networks = Networks::Within(Arc::new(["10.0.0.0/8".parse().unwrap()]));
        for (address, allowed) in [
            ("10.255.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("11.0.0.1", false),
            ("::ffff:127.0.0.1", false),
            ("::1", false),
        ] {
            assert_eq!(networks.allow(address.parse().unwrap()), allowed, "{address}");
        }
    }
}
