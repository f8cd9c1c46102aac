//! Where the trial stack is reached: addresses, ports, and the name in its links and its certificate.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::places;
use crate::ports::free_port;

/// What people expect, unless it is taken.
const USUAL: Ports = Ports { public: 6080, admin: 6081, tunnel: 6090, agent_admin: 6091 };

/// As it comes: `localhost`, port 6080, for this machine alone.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// An address to listen on, besides the loopback ones.
    pub listen: Option<IpAddr>,
    /// The name (or address) in links, besides which the certificate is for `localhost`.
    pub host: Option<String>,
    /// The port in links.
    pub port: Option<u16>,
}

/// The ports of a stack, which stay the same while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Ports {
    pub(super) public: u16,
    pub(super) admin: u16,
    pub(super) tunnel: u16,
    pub(super) agent_admin: u16,
}

impl Reach {
    /// What `--listen`, `--host` and `--port` say; an empty text is none.
    pub fn parse(listen: &str, host: &str, port: &str) -> Result<Self> {
        let set = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let listen = set(listen).map(|text| text.parse()).transpose();
        let listen: Option<IpAddr> = listen.context("LISTEN is an address of this machine, such as 0.0.0.0")?;
        let port = set(port).map(|text| text.parse()).transpose().context("PORT is a number up to 65535")?;
        let host = match (set(host), listen) {
            (None, Some(address)) if address.is_unspecified() => bail!(
                "LISTEN={address} needs HOST too: the name or address that others reach this machine by, such as \
                 HOST=$(hostname -f)"
            ),
            (None, Some(address)) if !address.is_loopback() => Some(address.to_string()),
            (host, _) => host,
        };
        Ok(Self { listen, host, port })
    }

    /// The base of links.
    pub(super) fn url(&self, port: u16) -> String {
        let host = self.host.as_deref().unwrap_or("localhost");
        let host = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() };
        format!("https://{host}:{port}")
    }

    /// The names and addresses in the certificate.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        names.extend(self.host.clone().filter(|host| !names.contains(host)));
        names
    }

    /// What the edge listens on; `None` for the loopback addresses alone.
    pub(super) fn addresses(&self, port: u16) -> Option<Vec<String>> {
        let listen = self.listen.filter(|address| !address.is_loopback())?;
        let mut addresses = vec![listen];
        // 0.0.0.0 takes 127.0.0.1 too, and :: both.
        if listen != IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
            addresses.extend((!listen.is_unspecified()).then_some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
            let loopback = IpAddr::V6(Ipv6Addr::LOCALHOST);
            addresses.extend(TcpListener::bind((loopback, 0)).is_ok().then_some(loopback));
        }
        Some(addresses.into_iter().map(|address| std::net::SocketAddr::new(address, port).to_string()).collect())
    }

    /// The ports as they were, or those asked for, or the usual ones, or where these are taken any free ones. Only the
    /// workspace's own stack has usual ones: others are for tests, many at once.
    pub(super) fn ports(&self, directory: &Path) -> Result<Ports> {
        let own = directory == places::workspace().join("run");
        let file = directory.join("ports.json");
        let before: Option<Ports> = match fs::read(&file) {
            Ok(bytes) => Some(serde_json::from_slice(&bytes).context("reading run/ports.json")?),
            Err(_) => None,
        };
        let or_free = |port| if own && is_free(port) { port } else { free_port() };
        let mut ports = before.unwrap_or_else(|| Ports {
            public: self.port.unwrap_or_else(|| or_free(USUAL.public)),
            admin: or_free(USUAL.admin),
            tunnel: or_free(USUAL.tunnel),
            agent_admin: or_free(USUAL.agent_admin),
        });
        ports.public = self.port.unwrap_or(ports.public);
        if before.is_none_or(|before| before.public != ports.public) && !is_free(ports.public) {
            let port = ports.public;
            bail!("port {port} is taken (`ss -ltnp 'sport = :{port}'` says by whom): choose another, as in PORT=16080");
        }
        fs::write(&file, serde_json::to_vec(&ports)?).context("writing run/ports.json")?;
        Ok(ports)
    }

    /// Why the port is another one than people expect.
    pub(super) fn surprise(&self, port: u16) -> Option<String> {
        (self.port.is_none() && port != USUAL.public)
            .then(|| format!("Port {} was taken, so it is port {port}.", USUAL.public))
    }
}

/// Whether nobody listens on this port of either loopback address.
fn is_free(port: u16) -> bool {
    let unused = |address: IpAddr| match TcpListener::bind((address, port)) {
        Ok(_) => true,
        // No IPv6 on this machine.
        Err(error) => error.kind() == std::io::ErrorKind::AddrNotAvailable,
    };
    unused(Ipv4Addr::LOCALHOST.into()) && unused(Ipv6Addr::LOCALHOST.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_it_comes_it_is_for_this_machine() {
        let reach = Reach::parse("", "", "").unwrap();
        assert_eq!(reach.url(6080), "https://localhost:6080");
        assert_eq!(reach.names(), ["localhost", "127.0.0.1", "::1"]);
        assert_eq!(reach.addresses(6080), None);
    }

    #[test]
    fn others_reach_it_by_a_name() {
        let error = Reach::parse("0.0.0.0", "", "").unwrap_err().to_string();
        assert!(error.contains("HOST="), "{error}");
        let reach = Reach::parse("0.0.0.0", "lab.example.org", "").unwrap();
        assert_eq!(reach.url(6080), "https://lab.example.org:6080");
        assert!(reach.names().contains(&"lab.example.org".to_owned()));
        assert_eq!(reach.addresses(6080).unwrap().first().unwrap(), "0.0.0.0:6080");
        let reach = Reach::parse("2001:db8::5", "", "").unwrap();
        assert_eq!(reach.url(6080), "https://[2001:db8::5]:6080");
        assert_eq!(reach.addresses(6080).unwrap().first().unwrap(), "[2001:db8::5]:6080");
        Reach::parse("everywhere", "", "").unwrap_err();
        Reach::parse("", "", "65536").unwrap_err();
    }

    #[test]
    fn a_port_that_is_taken_is_said_when_it_was_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = Reach::parse("", "", &port.to_string()).unwrap().ports(directory.path()).unwrap_err().to_string();
        assert!(error.contains("is taken"), "{error}");
        drop(taken);
        let reach = Reach::parse("", "", &port.to_string()).unwrap();
        let ports = reach.ports(directory.path()).unwrap();
        assert_eq!(ports.public, port);
        assert_eq!(Reach::default().ports(directory.path()).unwrap(), ports, "they stay while the stack does");
    }
}
