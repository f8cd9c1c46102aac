//! Where a host keeps sockets and logs of consoles. Paths are checked once, here, to be ones that QEMU and libvirt take.
//!
//! Sockets and logs of all domains are files of one folder each, named by the domain's UUID: a folder for each domain
//! could not be there when libvirt starts it by itself after the host's boot, while one folder is made by then.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::spec::ConsoleLog;

/// The longest path of a unix socket: Linux has 108 bytes for it, and the last is 0.
const LONGEST_SOCKET: usize = 107;

/// What comes behind the folder in a socket's path: `/UUID-serial0.sock`.
const SOCKET_NAME: usize = 1 + 36 + "-serial0.sock".len();

/// The longest path of a file, with room for what is added to it.
const LONGEST_PATH: usize = 1000;

/// A path from the root, without detours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AbsolutePath(String);

/// A text is no path that is used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// It has another form.
    #[error(
        "the path {0:?} must begin with `/`, have no `..`, no control characters, no comma, nothing empty between \
         slashes and at most {LONGEST_PATH} bytes"
    )]
    Form(String),
    /// Sockets in it would have paths that are too long.
    #[error(
        "the folder {path} is too deep for unix sockets: at most {} bytes, it has {}",
        LONGEST_SOCKET - SOCKET_NAME,
        .path.len()
    )]
    TooLong {
        /// The folder.
        path: String,
    },
}

impl AbsolutePath {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AbsolutePath {
    type Err = InvalidPath;
    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let parts = text.strip_prefix('/').map(|rest| rest.split('/').all(|part| !["", ".", ".."].contains(&part)));
        // A comma ends a value on QEMU's command line; libvirt doubles it, others forget to.
        let clean = !text.chars().any(|c| c.is_control() || c == ',' || c >= '\u{fffe}') && text.len() <= LONGEST_PATH;
        if parts == Some(true) && clean {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPath::Form(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for AbsolutePath {
    type Error = InvalidPath;
    fn try_from(text: String) -> Result<Self, InvalidPath> {
        text.parse()
    }
}

impl From<AbsolutePath> for String {
    fn from(path: AbsolutePath) -> Self {
        path.0
    }
}

impl fmt::Display for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The folder of sealed serial ports' sockets: one in which their paths are short enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SocketFolder(AbsolutePath);

impl SocketFolder {
    /// The socket of a domain's serial port.
    pub fn serial(&self, domain: Uuid, port: u8) -> String {
        format!("{}/{}-serial{port}.sock", self.0, domain.hyphenated())
    }
}

impl FromStr for SocketFolder {
    type Err = InvalidPath;
    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let path: AbsolutePath = text.parse()?;
        if text.len() + SOCKET_NAME <= LONGEST_SOCKET {
            Ok(Self(path))
        } else {
            Err(InvalidPath::TooLong { path: path.into() })
        }
    }
}

impl TryFrom<String> for SocketFolder {
    type Error = InvalidPath;
    fn try_from(text: String) -> Result<Self, InvalidPath> {
        text.parse()
    }
}

impl From<SocketFolder> for String {
    fn from(folder: SocketFolder) -> Self {
        folder.0.into()
    }
}

/// A host's folders. `[consoles]` of the agent's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Host {
    /// Sockets of sealed serial ports; only QEMU and the agent may reach into it.
    pub sockets: SocketFolder,
    /// What guests said on their serial ports.
    pub logs: AbsolutePath,
}

impl Default for Host {
    fn default() -> Self {
        let path = |text: &str| AbsolutePath(text.to_owned());
        Self { sockets: SocketFolder(path(Self::SOCKETS)), logs: path(Self::LOGS) }
    }
}

impl Host {
    /// The folder of sockets, where nothing else is said.
    pub const SOCKETS: &'static str = "/run/porthole-consoles";
    /// The folder of logs, where nothing else is said.
    pub const LOGS: &'static str = "/var/log/porthole-consoles";

    /// Whether a log is in this host's folder for that, under whatever name.
    pub fn keeps(&self, log: &ConsoleLog) -> bool {
        match log {
            ConsoleLog::Host | ConsoleLog::Off => true,
            ConsoleLog::File(path) => {
                path.0.strip_prefix(&*self.logs.0).is_some_and(|rest| rest.strip_prefix('/').is_some())
            }
        }
    }

    /// The log of a domain's serial port.
    pub fn serial_log(&self, domain: Uuid, port: u8) -> String {
        format!("{}/{}-serial{port}.log", self.logs, domain.hyphenated())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_short_enough() {
        let longest = format!("/{}", "a".repeat(LONGEST_SOCKET - SOCKET_NAME - 1));
        let folder: SocketFolder = longest.parse().unwrap();
        assert_eq!(folder.serial(Uuid::nil(), 3).len(), LONGEST_SOCKET);
        let error = format!("{longest}b").parse::<SocketFolder>().unwrap_err();
        assert!(error.to_string().contains("at most 57 bytes, it has 58"), "{error}");
        let usual = Host::default();
        assert_eq!((Host::SOCKETS.parse(), Host::LOGS.parse()), (Ok(usual.sockets), Ok(usual.logs)));
    }

    #[test]
    fn a_log_is_in_the_folder_or_it_is_not() {
        for (log, expected) in [
            ("host", true),
            ("off", true),
            ("/var/log/porthole-consoles/web.log", true),
            ("/var/log/porthole-consoles/more/web.log", true),
            ("/var/log/porthole-consoles", false),
            ("/var/log/porthole-consoles.log", false),
            ("/etc/passwd", false),
        ] {
            assert_eq!(Host::default().keeps(&log.parse().unwrap()), expected, "{log}");
        }
    }

    #[test]
    fn the_packaged_folders_are_the_usual_ones() {
        let rules = |place: &str| -> Vec<String> {
            let text = std::fs::read_to_string(format!("../packaging/{place}/porthole.conf")).unwrap();
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
        };
        let debian = rules("tmpfiles.d");
        let folders: Vec<_> =
            debian.iter().filter(|line| line.starts_with("d ")).filter_map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(folders, [Host::SOCKETS, "/var/lib/porthole-hook", Host::LOGS]);
        // Elsewhere QEMU's user is another, and nothing else.
        let renamed: Vec<_> = debian.iter().map(|line| line.replace(" libvirt-qemu ", " qemu ")).collect();
        assert_eq!(rules("rpm/tmpfiles.d"), renamed);
        assert_ne!(debian, renamed);
    }

    #[test]
    fn paths_have_one_form() {
        for bad in ["", "a", "/", "/a/", "//a", "/a/../b", "/a/./b", "/a\n", "/a,b", &format!("/{}", "a".repeat(1000))]
        {
            assert!(matches!(bad.parse::<AbsolutePath>(), Err(InvalidPath::Form(_))), "{bad}");
        }
        assert_eq!("/var/log/ü b".parse::<AbsolutePath>().unwrap().as_str(), "/var/log/ü b");
    }
}
