//! The names that cross process boundaries, each parsed once into a type of its own.
//!
//! A value of these types is always well-formed, so nothing behind the parser checks again. What a name *means* (does
//! that domain exist?) is somebody else's question.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not a name of the asked-for sort. Says what was wrong and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not valid: {rule}")]
pub struct InvalidName {
    what: &'static str,
    text: String,
    rule: &'static str,
}

impl InvalidName {
    /// The text is cut to 80 characters, so that a peer's megabyte does not reach a log line.
    fn new(what: &'static str, text: &str, rule: &'static str) -> Self {
        Self { what, text: text.chars().take(80).collect(), rule }
    }
}

/// Makes a newtype over `String` whose only way in is a parser with one rule.
macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.to_owned())) } else { Err(InvalidName::new($what, text, $rule)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// DNS-name grammar in lower case: labels of letters, digits and inner hyphens, 63 bytes each, 253 in all. A last label
/// of digits only would make it an IPv4 address, or something that parsers disagree about.
fn is_dns_name(text: &str) -> bool {
    let last_label = text.rsplit('.').next().unwrap_or_default();
    !last_label.bytes().all(|b| b.is_ascii_digit())
        && text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

text_name!(
    /// The name of a compute node, as in its certificate's `porthole://agent/NODE`. It is a DNS name so that TLS can
    /// carry it as a server name.
    NodeName, "node name",
    "use a lower-case DNS name such as `compute-1` or `compute-1.example.org`, at most 253 bytes, no address",
    is_dns_name
);

text_name!(
    /// The name of an edge, as in its certificate's `porthole://edge/NAME`.
    EdgeName, "edge name",
    "use a lower-case DNS name such as `edge-1`, at most 253 bytes",
    is_dns_name
);

text_name!(
    /// What a token says instead of the node's name, so that a console URL does not tell a tenant which host it is on.
    NodeId, "node id",
    "use 1 to 64 lower-case letters, digits, hyphens or dots, not starting with a dot or hyphen",
    |text| !text.is_empty()
        && text.len() <= 64
        && !text.starts_with(['.', '-'])
        && !text.contains("..")
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
);

impl NodeId {
    /// The id a node has when its configuration gives none: the first 64 bits of SHA-256 of its name, in hex. An edge
    /// derives the same from its directory, so neither side needs to be told.
    pub fn derived_from(name: &NodeName) -> Self {
        let sum = digest(&SHA256, name.as_str().as_bytes());
        Self(hex(sum.as_ref().iter().take(8).copied()))
    }
}

text_name!(
    /// The name of a domain or external console, as people type it. libvirt allows nearly anything but `/` and control
    /// characters; so do we, up to 255 bytes.
    ConsoleName, "console name",
    "use 1 to 255 bytes without control characters or `/`",
    |text| !text.is_empty() && text.len() <= 255 && !text.contains('/') && !text.chars().any(char::is_control)
);

text_name!(
    /// Who asked for a token, in the words of the control plane that asked (a user id, a project). Kept for the
    /// record; Porthole does not interpret it.
    Requestor, "requestor",
    "use 1 to 255 bytes without control characters",
    |text| !text.is_empty() && text.len() <= 255 && !text.chars().any(char::is_control)
);

text_name!(
    /// The name of a client of the API, as it stands among the DNS names of its certificate.
    ClientName, "client name",
    "use a lower-case DNS name such as `dashboard.example.org`, at most 253 bytes",
    is_dns_name
);

text_name!(
    /// What an API token is called: who uses it. Two tokens of one name are the same caller, so that one can take over
    /// from the other without a gap.
    ApiTokenName, "API token name",
    "use 1 to 64 letters, digits, hyphens, dots, underscores or @",
    |text| (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._@".contains(&b))
);

/// Makes a newtype over [`Uuid`].
macro_rules! uuid_name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Takes a UUID that is known to name such a thing.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// A new random one (version 4).
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }

            /// The UUID itself.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Uuid::try_parse(text).map(Self).map_err(|_| {
                    InvalidName::new($what, text, "use a UUID such as 7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e")
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_name!(
    /// The UUID of a console's owner: a libvirt domain's own, or the one an external console has in the configuration.
    ConsoleUuid, "console UUID"
);

impl From<ConsoleUuid> for ConsoleName {
    /// A UUID's text is a name, too: for owners whose own name does not fit the grammar.
    fn from(uuid: ConsoleUuid) -> Self {
        Self(uuid.to_string())
    }
}

uuid_name!(
    /// A token's `jti`: public, safe to log; it names the token without being of any use as one.
    TokenId, "token id"
);
uuid_name!(
    /// An API token's id: public, and of no use as one.
    ApiTokenId, "API token id"
);
uuid_name!(
    /// A session's id.
    SessionId, "session id"
);
uuid_name!(
    /// One run of one edge process, made at its start. Agents use it to find the sessions of an edge that drains.
    EdgeInstance, "edge instance id"
);

/// Where a console's owner is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsoleSource {
    /// A libvirt domain on the agent's node.
    Libvirt,
    /// An entry of the agent's configuration (a BMC, say).
    External,
}

impl ConsoleSource {
    /// Both, for tables and parsers.
    pub const ALL: [Self; 2] = [Self::Libvirt, Self::External];

    /// The word used in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Libvirt => "libvirt",
            Self::External => "external",
        }
    }
}

/// What is spoken on a console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum ConsoleKind {
    /// RFB (RFC 6143).
    Vnc,
    /// SPICE; many connections make one session.
    Spice,
    /// A serial port.
    Serial,
    /// Bytes as they are, of an external console.
    Tcp,
}

impl ConsoleKind {
    /// All kinds, for tables and parsers.
    pub const ALL: [Self; 4] = [Self::Vnc, Self::Spice, Self::Serial, Self::Tcp];

    /// The word used in tokens, JSON, configuration and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vnc => "vnc",
            Self::Spice => "spice",
            Self::Serial => "serial",
            Self::Tcp => "tcp",
        }
    }

    /// What Nova's API calls a console type of this kind in a browser; `None` where Nova has none.
    pub const fn nova_name(self) -> Option<&'static str> {
        match self {
            Self::Vnc => Some("novnc"),
            Self::Spice => Some("spice-html5"),
            Self::Serial => Some("serial"),
            Self::Tcp => None,
        }
    }
}

impl FromStr for ConsoleKind {
    type Err = InvalidName;
    /// Takes our word or Nova's.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text || kind.nova_name() == Some(text)).ok_or_else(|| {
            InvalidName::new("console kind", text, "use vnc (or novnc), spice (or spice-html5), serial or tcp")
        })
    }
}

impl TryFrom<String> for ConsoleKind {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<ConsoleKind> for &'static str {
    fn from(kind: ConsoleKind) -> Self {
        kind.as_str()
    }
}

impl fmt::Display for ConsoleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for ConsoleSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ConsoleSource {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::ALL
            .into_iter()
            .find(|source| source.as_str() == text)
            .ok_or_else(|| InvalidName::new("console source", text, "use libvirt or external"))
    }
}

/// One console: of which owner, of which kind, and which of that kind (the second serial port is index 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConsoleId {
    /// Where the owner is defined.
    pub source: ConsoleSource,
    /// The owner.
    pub uuid: ConsoleUuid,
    /// What is spoken.
    pub kind: ConsoleKind,
    /// Which one of that kind, from 0.
    pub index: u8,
}

impl fmt::Display for ConsoleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}/{}", self.source, self.uuid, self.kind, self.index)
    }
}

/// Lower-case hex.
pub fn hex(bytes: impl IntoIterator<Item = u8>) -> String {
    use fmt::Write as _;
    bytes.into_iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ok = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kinds_round_trip_and_take_novas_words() {
        for kind in ConsoleKind::ALL {
            assert_eq!(kind.as_str().parse::<ConsoleKind>(), Ok(kind));
            if let Some(nova) = kind.nova_name() {
                assert_eq!(nova.parse::<ConsoleKind>(), Ok(kind));
            }
            assert_eq!(serde_json::from_str::<ConsoleKind>(&serde_json::to_string(&kind).unwrap()).unwrap(), kind);
        }
        assert!("rdp".parse::<ConsoleKind>().unwrap_err().to_string().contains("use vnc"));
    }

    #[test]
    fn node_names_are_dns_names() {
        for good in ["a", "compute-1", "n1.example.org", "0a", "7.rack"] {
            assert!(good.parse::<NodeName>().is_ok(), "{good}");
        }
        for bad in ["", "0", "10.0.0.1", "-a", "a-", "A", "a..b", ".a", "a.", "a/b", "a b", "é", &"a".repeat(64)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_derived_id_is_stable_and_tells_no_name() {
        let id = NodeId::derived_from(&"compute-1".parse().unwrap());
        assert_eq!(id, NodeId::derived_from(&"compute-1".parse().unwrap()));
        assert_eq!(id.as_str().len(), 16);
        assert_ne!(id, NodeId::derived_from(&"compute-2".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn whatever_parses_prints_as_it_was(text in "\\PC{0,300}") {
            if let Ok(name) = text.parse::<NodeName>() { prop_assert_eq!(name.to_string(), text.clone()); }
            if let Ok(id) = text.parse::<NodeId>() {
                prop_assert_eq!(id.as_str(), &text);
                prop_assert!(!text.contains('/') && !text.contains(".."));
            }
            if let Ok(name) = text.parse::<ConsoleName>() { prop_assert!(name.as_str().len() <= 255); }
        }

        #[test]
        fn an_error_never_carries_more_than_a_line_of_input(text in "\\PC{200,2000}") {
            if let Err(error) = text.parse::<NodeId>() {
                prop_assert!(error.to_string().chars().count() < 400 + 80 * 12);
            }
        }
    }
}
