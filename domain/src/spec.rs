//! The console specification of a domain: what consoles it is to have, independent of the host it is on.
//!
//! It names no address, port, path or password: those are the host's ([`crate::host`]), the port table's
//! ([`crate::allocation`]) or made by chance. It travels with the domain in its metadata ([`crate::metadata`]).
//!
//! **Room for more**: SPICE is not in it yet, and SPICE devices of a domain are left alone. What a later release adds is a
//! field of [`ConsoleSpec`] beside `vnc` and `serial` that may be absent, and an element of its own in the metadata. A
//! release that does not know such an element leaves the whole domain as it is, and says so (see [`crate::metadata`]).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

mod serial;
mod word;

pub use serial::{ConsoleLog, InvalidPorts, Serial, SerialPorts, SerialProtocol};
pub use word::UnknownWord;
use word::words;

/// What consoles a domain is to have. A kind that is `None` is not Porthole's there: its devices are left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleSpec {
    /// How they are reached.
    #[serde(default)]
    pub transport: Transport,
    /// The screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vnc: Option<Vnc>,
    /// The serial ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<Serial>,
}

words! {
    /// How the agent reaches consoles.
    Transport, "transport", default Sealed, {
        /// Nothing listens on a port: VNC by a descriptor from libvirt, serial ports on unix sockets.
        Sealed = "sealed",
        /// On ports of the port table.
        Tcp = "tcp",
    }
}

/// A VNC server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vnc {
    /// The guest's keyboard, for viewers that send characters instead of keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keymap: Option<Keymap>,
    /// Who may watch together.
    #[serde(default)]
    pub share: SharePolicy,
    /// Whose its password is, where that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordRule>,
}

words! {
    /// Whose the password of a VNC server is. The password itself is only where QEMU's is: in the device's XML.
    PasswordRule, "the rule for the password", unquoted true, {
        /// Nobody's: it is made by chance and told to nobody. The usual one of transport `tcp`.
        Random = "random",
        /// There is none. The usual one of transport `sealed`, where nobody but libvirt reaches the screen.
        None = "none",
        /// That of whoever asks for the console: once given, it stays until another one is given.
        Given = "given",
    }
}

impl ConsoleSpec {
    /// Whose the screen's password is, said or not; `None` if there is no screen.
    pub fn password(&self) -> Option<PasswordRule> {
        let usual = match self.transport {
            Transport::Sealed => PasswordRule::None,
            Transport::Tcp => PasswordRule::Random,
        };
        self.vnc.as_ref().map(|vnc| vnc.password.unwrap_or(usual))
    }

    /// The same with a screen whose password is given, unless another rule is said.
    #[must_use]
    pub fn with_given_password(mut self) -> Self {
        if let Some(vnc) = &mut self.vnc {
            vnc.password.get_or_insert(PasswordRule::Given);
        }
        self
    }
}

words! {
    /// What a VNC server does when a second viewer comes, in libvirt's words.
    SharePolicy, "share policy", default Ignore, {
        /// All stay, whatever a viewer asks for: no viewer can throw the others out.
        Ignore = "ignore",
        /// A viewer may ask to be alone, and the others are thrown out. QEMU's own default.
        AllowExclusive = "allow-exclusive",
        /// A viewer that asks to be alone is refused.
        ForceShared = "force-shared",
    }
}

/// A keymap of QEMU's, such as `de` or `en-us`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Keymap(String);

/// A text is no keymap's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the keymap must be 1 to 32 letters, digits, hyphens or underscores, such as `de` or `en-us`")]
pub struct InvalidKeymap;

impl Keymap {
    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Keymap {
    type Err = InvalidKeymap;
    fn from_str(text: &str) -> Result<Self, InvalidKeymap> {
        // libvirt's own grammar. It ends up in a file's name.
        let known = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if known && (1..=32).contains(&text.len()) { Ok(Self(text.to_owned())) } else { Err(InvalidKeymap) }
    }
}

impl TryFrom<String> for Keymap {
    type Error = InvalidKeymap;
    fn try_from(text: String) -> Result<Self, InvalidKeymap> {
        text.parse()
    }
}

impl From<Keymap> for String {
    fn from(keymap: Keymap) -> Self {
        keymap.0
    }
}

impl fmt::Display for Keymap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_both_ways() {
        for transport in Transport::ALL {
            assert_eq!(transport.as_str().parse(), Ok(*transport));
        }
        for share in SharePolicy::ALL {
            assert_eq!(share.as_str().parse(), Ok(*share));
        }
        for rule in PasswordRule::ALL {
            assert_eq!(rule.as_str().parse(), Ok(*rule));
        }
        for protocol in SerialProtocol::ALL {
            assert_eq!(protocol.as_str().parse(), Ok(*protocol));
        }
        let error = "open".parse::<Transport>().unwrap_err().to_string();
        assert_eq!(error, "transport \"open\" is not known: use sealed or tcp");
    }

    #[test]
    fn keymaps_are_names_and_no_paths() {
        for good in ["de", "en-us", "pt_BR"] {
            assert_eq!(good.parse::<Keymap>().unwrap().as_str(), good);
        }
        for bad in ["", "../de", "de us", "d'e", &"a".repeat(33)] {
            assert!(bad.parse::<Keymap>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_specification_is_json_with_defaults_and_no_surprises() {
        let spec: ConsoleSpec = serde_json::from_str(r#"{"vnc": {"keymap": "de"}, "serial": {"ports": 2}}"#).unwrap();
        assert_eq!(spec.transport, Transport::Sealed);
        assert_eq!(spec.vnc.as_ref().unwrap().share, SharePolicy::Ignore);
        let serial = spec.serial.clone().unwrap();
        assert_eq!((serial.ports.number(), serial.protocol, serial.log), (2, SerialProtocol::Raw, ConsoleLog::Host));
        assert_eq!(serde_json::from_str::<ConsoleSpec>(&serde_json::to_string(&spec).unwrap()).unwrap(), spec);
        for bad in [r#"{"spice": {}}"#, r#"{"vnc": {"password": "a"}}"#, r#"{"serial": {"ports": 5}}"#] {
            assert!(serde_json::from_str::<ConsoleSpec>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_in_the_place_of_its_rule_is_not_repeated() {
        let error = serde_json::from_str::<ConsoleSpec>(r#"{"vnc": {"password": "hunter2"}}"#).unwrap_err().to_string();
        assert!(error.starts_with("the rule for the password is not known: use random, none or given"), "{error}");
        assert!(!format!("{error} {:?}", "hunter2".parse::<PasswordRule>()).contains("hunter2"));
    }

    #[test]
    fn what_is_not_said_of_the_password_follows_from_the_transport() {
        for (json, rule) in [
            (r#"{"serial": {"ports": 1}}"#, None),
            (r#"{"vnc": {}}"#, Some(PasswordRule::None)),
            (r#"{"transport": "tcp", "vnc": {}}"#, Some(PasswordRule::Random)),
            (r#"{"transport": "tcp", "vnc": {"password": "none"}}"#, Some(PasswordRule::None)),
            (r#"{"vnc": {"password": "random"}}"#, Some(PasswordRule::Random)),
        ] {
            let spec: ConsoleSpec = serde_json::from_str(json).unwrap();
            assert_eq!(spec.password(), rule, "{json}");
            let said = spec.vnc.as_ref().is_some_and(|vnc| vnc.password.is_some());
            let expected = if said { rule } else { rule.map(|_| PasswordRule::Given) };
            assert_eq!(spec.with_given_password().password(), expected, "{json}");
        }
    }
}
