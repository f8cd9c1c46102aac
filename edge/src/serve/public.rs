//! The `[public]` table.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use porthole_shared::config::Duration;
use serde::Deserialize;

use super::tls;
use crate::gate::{Host, OriginPolicy, Scheme};

/// The `[public]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Table")]
pub struct Config {
    /// The addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Who ends TLS.
    pub transport: Transport,
    /// Where the pages are; `None`: there are none, only consoles.
    pub web_root: Option<PathBuf>,
    /// Which pages may open a console here.
    pub origins: OriginPolicy,
    /// Which sites may show our pages in a frame.
    pub frame_ancestors: FrameAncestors,
    /// How long a client may take from connecting to the end of its request's head, TLS included.
    pub head_timeout: Duration,
    /// How many connections are served at once, sessions included.
    pub max_connections: NonZeroUsize,
    /// How many for one client address; `None` behind a load balancer, where all come from its address.
    pub max_connections_per_address: Option<NonZeroUsize>,
}

/// Who ends TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// This edge.
    Tls(tls::Files),
    /// A load balancer before it.
    BehindLoadBalancer,
}

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    listen: Vec<SocketAddr>,
    tls: Option<tls::Files>,
    #[serde(default)]
    behind_load_balancer: bool,
    scheme: Option<Scheme>,
    web_root: Option<PathBuf>,
    #[serde(default)]
    allowed_origins: Vec<Host>,
    #[serde(default)]
    frame_ancestors: FrameAncestors,
    head_timeout: Option<Duration>,
    max_connections: Option<NonZeroUsize>,
    max_connections_per_address: Option<NonZeroUsize>,
}

/// The table contradicts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPublic {
    /// No address.
    #[error("[public] listen is empty: name at least one address, such as [\"[::]:443\"]")]
    NoAddress,
    /// Both or neither.
    #[error(
        "[public] needs exactly one of `tls = {{ certificate = …, key = … }}` and `behind_load_balancer = true` (then a \
         load balancer ends TLS, and this edge speaks plain HTTP)"
    )]
    OneTransport,
    /// A scheme that TLS contradicts.
    #[error("[public] scheme is for `behind_load_balancer = true`; with `tls` it is always https: remove it")]
    SchemeWithTls,
    /// Clients that are not told apart.
    #[error(
        "[public] max_connections_per_address is for `tls`: with `behind_load_balancer = true` all connections come from \
         the balancer's address; remove it, and have the balancer bound its clients"
    )]
    OneAddress,
    /// No time at all.
    #[error("[public] head_timeout is zero: no client could connect; write \"10s\", say")]
    NoTime,
}

impl TryFrom<Table> for Config {
    type Error = InvalidPublic;
    fn try_from(table: Table) -> Result<Self, InvalidPublic> {
        let (transport, scheme) = match (table.tls, table.behind_load_balancer, table.scheme) {
            (Some(_), false, Some(_)) => return Err(InvalidPublic::SchemeWithTls),
            (Some(files), false, None) => (Transport::Tls(files), Scheme::Https),
            (None, true, scheme) => (Transport::BehindLoadBalancer, scheme.unwrap_or(Scheme::Https)),
            (Some(_), true, _) | (None, false, _) => return Err(InvalidPublic::OneTransport),
        };
        let max_connections_per_address = match (&transport, table.max_connections_per_address) {
            (Transport::Tls(_), each) => Some(each.unwrap_or(DEFAULT_CONNECTIONS_PER_ADDRESS)),
            (Transport::BehindLoadBalancer, None) => None,
            (Transport::BehindLoadBalancer, Some(_)) => return Err(InvalidPublic::OneAddress),
        };
        let head_timeout = table.head_timeout.unwrap_or(Duration::from_secs(10));
        if table.listen.is_empty() {
            return Err(InvalidPublic::NoAddress);
        }
        if head_timeout.get().is_zero() {
            return Err(InvalidPublic::NoTime);
        }
        Ok(Self {
            listen: table.listen,
            transport,
            web_root: table.web_root,
            origins: OriginPolicy { scheme, allowed: table.allowed_origins },
            frame_ancestors: table.frame_ancestors,
            head_timeout,
            max_connections: table.max_connections.unwrap_or(DEFAULT_CONNECTIONS),
            max_connections_per_address,
        })
    }
}

/// Each session takes two descriptors and about 20 KiB.
const DEFAULT_CONNECTIONS: NonZeroUsize = match NonZeroUsize::new(10_000) {
    Some(count) => count,
    None => NonZeroUsize::MIN,
};

/// Enough for an office behind one address: a SPICE session has about six connections, a page as many.
const DEFAULT_CONNECTIONS_PER_ADDRESS: NonZeroUsize = match NonZeroUsize::new(256) {
    Some(count) => count,
    None => NonZeroUsize::MIN,
};

/// The sources of the CSP directive `frame-ancestors`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct FrameAncestors(Vec<String>);

/// A text that is no such source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot stand in [public] frame_ancestors: write \"'self'\", \"'none'\" (alone), or a site such as \
     \"https://dashboard.example.org\""
)]
pub struct InvalidFrameAncestor(String);

impl TryFrom<Vec<String>> for FrameAncestors {
    type Error = InvalidFrameAncestor;
    fn try_from(sources: Vec<String>) -> Result<Self, InvalidFrameAncestor> {
        let alone = sources.len() == 1;
        let site_like = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:/*[]".contains(&byte);
        let valid = |source: &str| match source {
            "'self'" => true,
            "'none'" => alone,
            site => !site.is_empty() && site.bytes().all(site_like),
        };
        match sources.iter().find(|source| !valid(source)) {
            Some(bad) => Err(InvalidFrameAncestor(bad.chars().take(80).collect())),
            None => Ok(Self(sources)),
        }
    }
}

impl Default for FrameAncestors {
    fn default() -> Self {
        Self(vec!["'self'".to_owned()])
    }
}

impl FrameAncestors {
    /// The whole directive. An empty list means nobody.
    pub fn directive(&self) -> String {
        let sources = if self.0.is_empty() { "'none'".to_owned() } else { self.0.join(" ") };
        format!("frame-ancestors {sources}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let config = parse("listen = ['[::]:443']\ntls = { certificate = 'c', key = 'k' }").unwrap();
        assert_eq!(config.origins, OriginPolicy { scheme: Scheme::Https, allowed: Vec::new() });
        assert_eq!(config.head_timeout, Duration::from_secs(10));
        assert_eq!(config.max_connections.get(), 10_000);
        assert_eq!(config.max_connections_per_address.unwrap().get(), 256);
        assert_eq!(config.frame_ancestors.directive(), "frame-ancestors 'self'");
        let plain = parse("listen = ['127.0.0.1:80']\nbehind_load_balancer = true").unwrap();
        assert_eq!((plain.transport, plain.origins.scheme), (Transport::BehindLoadBalancer, Scheme::Https));
        assert_eq!(plain.max_connections_per_address, None);
    }

    #[test]
    fn contradictions_say_what_to_do() {
        let tls = "tls = { certificate = 'c', key = 'k' }";
        for (text, expected) in [
            ("listen = ['[::]:443']".to_owned(), "exactly one of"),
            (format!("listen = ['[::]:443']\n{tls}\nbehind_load_balancer = true"), "exactly one of"),
            (format!("listen = ['[::]:443']\n{tls}\nscheme = 'http'"), "remove it"),
            (format!("listen = []\n{tls}"), "at least one address"),
            (format!("listen = ['[::]:443']\n{tls}\nhead_timeout = '0s'"), "head_timeout is zero"),
            (format!("listen = ['[::]:443']\n{tls}\nallowed_origins = ['https://a']"), "without scheme"),
            (format!("listen = ['[::]:443']\n{tls}\nframe_ancestors = ['a; script-src *']"), "frame_ancestors"),
            (format!("listen = ['[::]:443']\n{tls}\nframe_ancestors = [\"'none'\", 'https://a']"), "alone"),
            (format!("listen = ['[::]:443']\n{tls}\nmax_connections = 0"), "nonzero"),
            (
                "listen = ['[::]:80']\nbehind_load_balancer = true\nmax_connections_per_address = 9".to_owned(),
                "the balancer's address",
            ),
        ] {
            let message = parse(&text).unwrap_err();
            assert!(message.contains(expected), "{text}\n{message}");
        }
    }

    #[test]
    fn nobody_may_frame_where_the_list_is_empty() {
        let text = "listen = ['[::]:80']\nbehind_load_balancer = true\nframe_ancestors = []";
        assert_eq!(parse(text).unwrap().frame_ancestors.directive(), "frame-ancestors 'none'");
    }
}
