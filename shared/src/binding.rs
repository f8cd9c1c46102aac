//! The binding secret: what makes a leaked console URL worth nothing after its first use.
//!
//! A client makes 256 random bits and offers them as the WebSocket subprotocol `porthole.bind.<base64url>`. The first
//! redeem of a token stores the secret's hash; later ones must bring the same secret. The subprotocol is never chosen,
//! echoed or logged. Who may redeem is the agent's decision; this module only knows the shapes.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secret::Secret;

/// What a subprotocol that carries a binding starts with.
pub const SUBPROTOCOL_PREFIX: &str = "porthole.bind.";

/// The subprotocol that Nova, noVNC and spice-html5 use for frames of plain bytes.
pub const BINARY_SUBPROTOCOL: &str = "binary";

/// The subprotocol of serial consoles that has control messages beside the bytes. Where a client offers both, this one
/// is chosen, if the console is a serial port.
pub const SERIAL_SUBPROTOCOL: &str = "porthole.serial.v1";

/// A subprotocol that an agent may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subprotocol {
    /// Frames of plain bytes.
    Binary,
    /// Bytes, and control messages as text.
    SerialV1,
}

impl Subprotocol {
    /// All, for tables and parsers.
    pub const ALL: [Self; 2] = [Self::Binary, Self::SerialV1];

    /// As in `Sec-WebSocket-Protocol`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Binary => BINARY_SUBPROTOCOL,
            Self::SerialV1 => SERIAL_SUBPROTOCOL,
        }
    }
}

/// A client's 256-bit secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingSecret(Secret<[u8; 32]>);

/// SHA-256 of a [`BindingSecret`]: what the database keeps. The secret has full entropy, so no slow hash is needed, and
/// comparing hashes tells a guesser nothing about how near the guess was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindingHash(pub [u8; 32]);

/// Not 32 bytes in unpadded base64url (RFC 4648 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a binding secret is 43 characters of unpadded base64url, that is 32 bytes")]
pub struct InvalidBinding;

/// No randomness could be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no random bytes")]
pub struct NoRandomness;

impl BindingSecret {
    /// A new one, for clients of our own.
    pub fn random() -> Result<Self, NoRandomness> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
        Ok(Self(Secret::new(bytes)))
    }

    /// From its text form.
    pub fn parse(text: &str) -> Result<Self, InvalidBinding> {
        if text.len() != 43 {
            return Err(InvalidBinding);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidBinding)?;
        Ok(Self(Secret::new(bytes.try_into().map_err(|_| InvalidBinding)?)))
    }

    /// Its text form: 43 characters.
    pub fn to_text(&self) -> Secret<String> {
        Secret::new(URL_SAFE_NO_PAD.encode(self.0.expose()))
    }

    /// What the database keeps.
    pub fn hash(&self) -> BindingHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, self.0.expose()).as_ref());
        BindingHash(hash)
    }
}

/// What a client's `Sec-WebSocket-Protocol` says, as far as we understand it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfferedProtocols {
    /// `binary` is among them: it will be chosen. Otherwise none is.
    pub binary: bool,
    /// `porthole.serial.v1` is among them: it is chosen for a serial port.
    pub serial: bool,
    /// The binding secret, if one was offered.
    pub binding: Option<BindingSecret>,
}

impl OfferedProtocols {
    /// Reads the header's values (it may come several times, each a comma-separated list; RFC 6455 section 11.3.4).
    /// Unknown subprotocols are passed over; a malformed or second, different binding is an error, because silently
    /// ignoring it would turn a bound link into an unbound one.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidBinding> {
        let mut offered = Self::default();
        for name in values.into_iter().flat_map(|value| value.split(',')).map(str::trim) {
            if name == BINARY_SUBPROTOCOL {
                offered.binary = true;
            } else if name == SERIAL_SUBPROTOCOL {
                offered.serial = true;
            } else if let Some(text) = name.strip_prefix(SUBPROTOCOL_PREFIX) {
                let binding = BindingSecret::parse(text)?;
                if offered.binding.replace(binding.clone()).is_some_and(|earlier| earlier != binding) {
                    return Err(InvalidBinding);
                }
            }
        }
        Ok(offered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn binary_is_found_in_any_list() {
        for list in [vec!["binary"], vec!["base64, binary"], vec!["foo", "bar,binary ,x"]] {
            assert!(OfferedProtocols::parse(list.iter().copied()).unwrap().binary, "{list:?}");
        }
        for list in [vec![], vec![""], vec!["base64"], vec!["binary2"]] {
            assert!(!OfferedProtocols::parse(list.iter().copied()).unwrap().binary, "{list:?}");
        }
    }

    #[test]
    fn the_serial_subprotocol_is_found_beside_others() {
        let offered = OfferedProtocols::parse(["porthole.serial.v1, binary"]).unwrap();
        assert!(offered.serial && offered.binary);
        assert!(!OfferedProtocols::parse(["porthole.serial.v2"]).unwrap().serial);
        for subprotocol in Subprotocol::ALL {
            let offered = OfferedProtocols::parse([subprotocol.as_str()]).unwrap();
            assert_eq!(
                (offered.binary, offered.serial),
                (subprotocol == Subprotocol::Binary, subprotocol == Subprotocol::SerialV1)
            );
        }
    }

    #[test]
    fn two_different_bindings_are_refused() {
        let a = BindingSecret::random().unwrap().to_text();
        let b = BindingSecret::random().unwrap().to_text();
        let offer =
            |x: &str, y: &str| OfferedProtocols::parse([format!("porthole.bind.{x}, porthole.bind.{y}").as_str()]);
        assert!(offer(a.expose(), a.expose()).unwrap().binding.is_some());
        assert_eq!(offer(a.expose(), b.expose()), Err(InvalidBinding));
    }

    #[test]
    fn debug_hides_the_secret() {
        let secret = BindingSecret::parse(&"A".repeat(43)).unwrap();
        assert!(!format!("{secret:?}").contains("0, 0"));
    }

    proptest! {
        #[test]
        fn text_round_trips(bytes in any::<[u8; 32]>()) {
            let secret = BindingSecret(Secret::new(bytes));
            prop_assert_eq!(BindingSecret::parse(secret.to_text().expose()).unwrap(), secret);
        }

        #[test]
        fn any_list_is_taken_or_refused(list in "\\PC{0,200}") {
            let _any = OfferedProtocols::parse([list.as_str()]);
        }
    }
}
