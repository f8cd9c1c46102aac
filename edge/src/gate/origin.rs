//! Which pages may open a console: the `Origin` of a request against the host that it addresses.
//!
//! Browsers send `Origin` and scripts cannot forge it; programs that are no browsers send none and are allowed, for
//! nobody can make them act with another person's cookies. Ports do not matter: consoles are often on a port of their
//! own. Cross-site WebSocket hijacking is what this stops.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, request};
use porthole_shared::reason::Reason;
use serde::Deserialize;

/// The scheme of the public URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// `http`: for trials only.
    Http,
    /// `https`.
    Https,
}

/// A host without port, in the one spelling that compares: lower case; IPv6 in brackets, as RFC 5952 writes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Host(String);

/// A text that is no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a host: write `console.example.org`, `192.0.2.1` or `[2001:db8::1]`, without scheme and without port \
     (neither is compared)"
)]
pub struct InvalidHost(String);

impl FromStr for Host {
    type Err = InvalidHost;
    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let invalid = || InvalidHost(text.chars().take(80).collect());
        if let Some(inner) = text.strip_prefix('[') {
            let address: Ipv6Addr = inner.strip_suffix(']').and_then(|inner| inner.parse().ok()).ok_or_else(invalid)?;
            return Ok(Self(format!("[{address}]")));
        }
        let name_like = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if text.is_empty() || text.len() > 253 || !text.bytes().all(name_like) {
            return Err(invalid());
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl TryFrom<String> for Host {
    type Error = InvalidHost;
    fn try_from(text: String) -> Result<Self, InvalidHost> {
        text.parse()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Host {
    /// From `host` or `host:port`, whatever the port.
    fn of_authority(text: &str) -> Option<Self> {
        let host = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(host)?
            }
            _ => text,
        };
        host.parse().ok()
    }
}

/// Which origins are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPolicy {
    /// The scheme under which people reach this edge.
    pub scheme: Scheme,
    /// Hosts of pages that may open consoles here, besides the host that a request addresses.
    pub allowed: Vec<Host>,
}

impl OriginPolicy {
    /// Refuses a request that another site's page has made. A request that does not say what host it addresses, or
    /// says it twice, is refused as malformed (RFC 9112 section 3.2).
    pub fn check(&self, head: &request::Parts) -> Result<(), Reason> {
        let addressed = addressed_host(head).ok_or(Reason::BadRequest)?;
        let allowed = match single(&head.headers, &ORIGIN) {
            Single::Absent => true,
            Single::Unreadable => false,
            Single::Value(origin) => self.allows(origin, &addressed),
        };
        if allowed { Ok(()) } else { Err(Reason::OriginRefused) }
    }

    /// The origin whose pages may read an answer, if the request comes from an allowed page.
    pub fn reader<'h>(&self, head: &'h request::Parts) -> Option<&'h HeaderValue> {
        self.check(head).ok()?;
        head.headers.get(ORIGIN)
    }

    fn allows(&self, origin: &str, addressed: &Host) -> bool {
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        let scheme_fits = scheme.eq_ignore_ascii_case("https")
            || (scheme.eq_ignore_ascii_case("http") && self.scheme == Scheme::Http);
        scheme_fits
            && Host::of_authority(authority).is_some_and(|host| host == *addressed || self.allowed.contains(&host))
    }
}

/// The host that a request addresses: of an absolute target if it has one, else of the `Host` field.
fn addressed_host(head: &request::Parts) -> Option<Host> {
    let Single::Value(field) = single(&head.headers, &HOST) else { return None };
    let field = Host::of_authority(field)?;
    match head.uri.authority() {
        Some(authority) => Host::of_authority(authority.as_str()),
        None => Some(field),
    }
}

enum Single<'a> {
    Absent,
    Value(&'a str),
    /// Given twice, or not text.
    Unreadable,
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Single<'a> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Single::Absent };
    match (first.to_str(), values.next()) {
        (Ok(text), None) => Single::Value(text),
        (Err(_), _) | (Ok(_), Some(_)) => Single::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(scheme: Scheme, allowed: &[&str], host: &str, origin: Option<&str>) -> Result<(), Reason> {
        let mut request = http::Request::builder().uri("/").header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let allowed = allowed.iter().map(|host| host.parse().unwrap()).collect();
        OriginPolicy { scheme, allowed }.check(&head)
    }

    #[test]
    fn the_addressed_host_is_allowed_whatever_port_and_case() {
        for (host, origin) in [
            ("console.example.org", "https://console.example.org"),
            ("console.example.org:6080", "https://CONSOLE.example.org:8443"),
            ("Console.Example.org:443", "https://console.example.org"),
            ("192.0.2.1:6080", "https://192.0.2.1"),
            ("[2001:db8::1]:6080", "https://[2001:DB8:0::1]:1"),
            ("[2001:db8::1]", "https://[2001:db8::1]"),
        ] {
            assert_eq!(check(Scheme::Https, &[], host, Some(origin)), Ok(()), "{host} {origin}");
        }
    }

    #[test]
    fn no_origin_is_allowed_but_an_empty_null_or_hostless_one_is_not() {
        assert_eq!(check(Scheme::Https, &[], "a", None), Ok(()));
        for origin in [
            "",
            " ",
            "null",
            "https://",
            "https:",
            "https://:443",
            "a",
            "//a",
            "file://",
            "https://a/",
            "https://u@a",
            "https://a:b",
            "https://a:443:443",
            "https://[::1",
            "chrome-extension://a",
            "ws://a",
            "https://a b",
        ] {
            let refused = Err(Reason::OriginRefused);
            assert_eq!(check(Scheme::Https, &[], "a", Some(origin)), refused, "{origin:?}");
            assert_eq!(check(Scheme::Http, &[], "a", Some(origin)), refused, "{origin:?}");
        }
    }

    #[test]
    fn http_is_refused_where_the_public_url_is_https_even_for_an_allowed_host() {
        assert_eq!(check(Scheme::Https, &["a"], "a", Some("http://a")), Err(Reason::OriginRefused));
        assert_eq!(check(Scheme::Http, &[], "a", Some("http://a")), Ok(()));
        assert_eq!(check(Scheme::Http, &[], "a", Some("https://a")), Ok(()));
    }

    #[test]
    fn another_host_must_be_listed() {
        let refused = Err(Reason::OriginRefused);
        assert_eq!(check(Scheme::Https, &[], "a.example", Some("https://b.example")), refused);
        assert_eq!(check(Scheme::Https, &[], "a.example", Some("https://a.example.evil")), refused);
        assert_eq!(check(Scheme::Https, &[], "a.example", Some("https://xa.example")), refused);
        assert_eq!(check(Scheme::Https, &["B.example"], "a.example", Some("https://b.example:99")), Ok(()));
        assert_eq!(check(Scheme::Https, &["[::1]"], "a.example", Some("https://[0:0::1]:99")), Ok(()));
    }

    #[test]
    fn a_request_that_names_no_host_or_two_is_malformed() {
        for host in ["", ":80", "a b", "[::1", "a/b", "u@a"] {
            assert_eq!(check(Scheme::Https, &[], host, None), Err(Reason::BadRequest), "{host:?}");
        }
        let twice = http::Request::builder().uri("/").header("host", "a").header("host", "a").body(()).unwrap();
        let policy = OriginPolicy { scheme: Scheme::Https, allowed: Vec::new() };
        assert_eq!(policy.check(&twice.into_parts().0), Err(Reason::BadRequest));
    }

    #[test]
    fn two_origins_are_refused_and_an_absolute_target_names_the_host() {
        let policy = OriginPolicy { scheme: Scheme::Https, allowed: Vec::new() };
        let two =
            http::Request::builder().header("host", "a").header("origin", "https://a").header("origin", "https://a");
        assert_eq!(policy.check(&two.body(()).unwrap().into_parts().0), Err(Reason::OriginRefused));
        let absolute = http::Request::builder().uri("https://b/x").header("host", "a").header("origin", "https://b");
        assert_eq!(policy.check(&absolute.body(()).unwrap().into_parts().0), Ok(()));
    }

    #[test]
    fn who_may_read_is_whoever_may_ask() {
        let policy = OriginPolicy { scheme: Scheme::Https, allowed: vec!["b".parse().unwrap()] };
        let reader = |origin: &str| {
            let request = http::Request::builder().header("host", "a").header("origin", origin).body(()).unwrap();
            policy.reader(&request.into_parts().0).cloned()
        };
        assert_eq!(reader("https://b:8443").unwrap(), "https://b:8443");
        assert_eq!(reader("https://a").unwrap(), "https://a");
        assert_eq!(reader("https://c"), None);
        assert_eq!(reader("null"), None);
        let programs = http::Request::builder().header("host", "a").body(()).unwrap();
        assert_eq!(policy.reader(&programs.into_parts().0), None);
    }

    #[test]
    fn a_configured_host_with_scheme_or_port_is_explained() {
        for bad in ["https://a.example", "a.example:443", "*", "", "::1"] {
            assert!(bad.parse::<Host>().unwrap_err().to_string().contains("without port"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn only_the_addressed_host_itself_is_allowed(origin in "(https?|null)(://)?[a-z0-9.\\-\\[\\]:@/]{0,20}") {
            if check(Scheme::Https, &[], "a.example", Some(&origin)).is_ok() {
                prop_assert!(origin.starts_with("https://a.example"), "{}", origin);
                let rest = origin.trim_start_matches("https://a.example");
                prop_assert!(rest.is_empty() || rest.starts_with(':'), "{}", origin);
            }
        }

        #[test]
        fn every_ipv6_address_is_its_own_origin(address in any::<u128>(), port in any::<u16>()) {
            let address = Ipv6Addr::from(address);
            let upper = format!("https://[{}]:{port}", address.to_string().to_uppercase());
            prop_assert_eq!(check(Scheme::Https, &[], &format!("[{address}]:1"), Some(&upper)), Ok(()));
        }
    }
}
