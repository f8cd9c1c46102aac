//! The password of a VNC server that nobody is told: the agent goes in without it, by a descriptor from libvirt.

use aws_lc_rs::rand::SecureRandom;
use porthole_shared::secret::Secret;

/// VNC looks at no more characters.
const LENGTH: usize = 8;

/// 64 characters, none of them special in XML or on a command line: 6 bits each.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Eight random characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VncPassword(Secret<String>);

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no random bytes for a password")]
pub struct NoRandomness;

impl VncPassword {
    /// A new one.
    pub fn random(source: &dyn SecureRandom) -> Result<Self, NoRandomness> {
        let mut bytes = [0_u8; LENGTH];
        source.fill(&mut bytes).map_err(|_| NoRandomness)?;
        let characters = bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 63)));
        Ok(Self(Secret::new(characters.map(|character| char::from(*character)).collect())))
    }

    /// One that was made so earlier.
    pub(crate) fn known(text: &str) -> Option<Self> {
        let ours = text.len() == LENGTH && text.bytes().all(|byte| ALPHABET.contains(&byte));
        ours.then(|| Self(Secret::new(text.to_owned())))
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;

    #[test]
    fn passwords_are_random_recognised_and_not_printed() {
        let all: Vec<_> = (0..50).map(|_| VncPassword::random(&SystemRandom::new()).unwrap()).collect();
        for password in &all {
            assert_eq!(VncPassword::known(password.expose()).as_ref(), Some(password));
            assert!(!format!("{password:?}").contains(password.expose()));
            assert_eq!(all.iter().filter(|other| *other == password).count(), 1);
        }
        for other in ["", "short", "letmein'!", "12345678 ", "ü1234567"] {
            assert_eq!(VncPassword::known(other), None, "{other}");
        }
    }
}
