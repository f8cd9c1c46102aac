//! `[libvirt]` of the agent's configuration.

use std::fmt;
use std::str::FromStr;

use porthole_shared::config::Duration;
use serde::Deserialize;

/// How the agent reaches libvirt, or that it has none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `false` on a host without libvirt, beside BMCs: the agent then serves external consoles only.
    pub enabled: bool,
    /// Which libvirt.
    pub uri: LibvirtUri,
    /// How long one answer may take before its client is told so. The call itself goes on until libvirt ends it.
    pub call_timeout: Duration,
    /// Between two keepalive messages; a libvirt that misses four of them counts as gone.
    pub keepalive: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            uri: LibvirtUri("qemu:///system".to_owned()),
            call_timeout: Duration::from_secs(5),
            keepalive: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// What is wrong with these settings, if anything.
    pub fn problem(&self) -> Option<String> {
        let zero = self.call_timeout.get().is_zero();
        zero.then(|| "[libvirt] call_timeout is 0, so no call could be answered in time; use \"5s\", say".to_owned())
    }
}

/// A text that is no libvirt connection URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a libvirt URI: write one such as `qemu:///system`")]
pub struct InvalidUri(String);

/// A libvirt connection URI. Only its form is checked here; libvirt says whether there is such a driver.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LibvirtUri(String);

impl LibvirtUri {
    /// The URI as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this URI reaches a libvirt on this host by a unix socket (or inside this process), the only ways on
    /// which it can pass a descriptor. `qemu+tcp://localhost/system` does not, though the host is the same.
    pub fn is_local(&self) -> bool {
        self.0.split_once("://").is_some_and(|(scheme, rest)| match scheme.split_once('+') {
            Some((_driver, transport)) => transport == "unix",
            None => rest.starts_with('/'),
        })
    }
}

impl FromStr for LibvirtUri {
    type Err = InvalidUri;
    fn from_str(text: &str) -> Result<Self, InvalidUri> {
        let valid = text.len() <= 1024
            && text.bytes().all(|b| b.is_ascii_graphic())
            && text.split_once("://").is_some_and(|(scheme, rest)| {
                scheme.starts_with(|c: char| c.is_ascii_lowercase())
                    && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'+')
                    && !rest.is_empty()
            });
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidUri(text.chars().take(80).collect())) }
    }
}

impl TryFrom<String> for LibvirtUri {
    type Error = InvalidUri;
    fn try_from(text: String) -> Result<Self, InvalidUri> {
        text.parse()
    }
}

impl fmt::Display for LibvirtUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unix_sockets_and_in_process_drivers_are_local() {
        for (uri, local) in [
            ("qemu:///system", true),
            ("qemu:///session", true),
            ("test:///default", true),
            ("qemu+unix:///system?socket=/run/libvirt/libvirt-sock", true),
            ("qemu+tcp://localhost/system", false),
            ("qemu+ssh://root@compute-1/system", false),
            ("qemu+tls://compute-1/system", false),
            ("qemu://compute-1/system", false),
        ] {
            assert_eq!(uri.parse::<LibvirtUri>().unwrap().is_local(), local, "{uri}");
        }
    }

    #[test]
    fn refuses_what_is_no_uri_and_says_what_is() {
        for bad in ["", "qemu", "/system", "qemu://", "qemu:///sys tem", "qemu:///a\0b", "://x", "QEMU:///system"] {
            let error = bad.parse::<LibvirtUri>().unwrap_err();
            assert!(error.to_string().contains("qemu:///system"), "{bad}");
        }
    }

    #[test]
    fn every_field_has_a_default_and_no_other_field_passes() {
        assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::default());
        let some: Config = serde_json::from_str(r#"{"enabled": false, "call_timeout": "2s"}"#).unwrap();
        assert_eq!(some, Config { enabled: false, call_timeout: Duration::from_secs(2), ..Config::default() });
        assert!(serde_json::from_str::<Config>(r#"{"url": "qemu:///system"}"#).is_err());
    }
}
