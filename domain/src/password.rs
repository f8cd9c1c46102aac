//! The password of a VNC server: nobody's, or one that somebody gives.
//!
//! The agent needs none: it goes in by a descriptor from libvirt. One that is made by chance therefore keeps out whoever
//! else reaches the port; a given one lets viewers in that connect there.

use aws_lc_rs::rand::SecureRandom;
use porthole_shared::secret::Secret;

use crate::spec::{ConsoleSpec, PasswordRule};

/// VNC looks at no more characters.
const LENGTH: usize = 8;

/// 64 characters, none of them special in XML or on a command line: 6 bits each.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// 1 to 8 characters of ASCII that can be seen, or spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VncPassword(Secret<String>);

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no random bytes for a password")]
pub struct NoRandomness;

/// A text cannot be a password. It is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPassword {
    /// To QEMU that means that nobody gets in.
    #[error("the VNC password is empty")]
    Empty,
    /// Whoever chose it would believe in more than there is.
    #[error(
        "the VNC password is too long: VNC's authentication looks at the first {LENGTH} characters and at no more, so a \
         longer one would be as easy to guess as its beginning; choose one of at most {LENGTH}"
    )]
    TooLong,
    /// Viewers disagree about the bytes of other characters.
    #[error(
        "the VNC password has a character that is not a printable one of ASCII: viewers send others in different ways; \
         use letters, digits, punctuation and spaces"
    )]
    Character,
}

impl VncPassword {
    /// A new one, of eight random characters.
    pub fn random(source: &dyn SecureRandom) -> Result<Self, NoRandomness> {
        let mut bytes = [0_u8; LENGTH];
        source.fill(&mut bytes).map_err(|_| NoRandomness)?;
        let characters = bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 63)));
        Ok(Self(Secret::new(characters.map(|character| char::from(*character)).collect())))
    }

    /// One that somebody chose.
    pub fn given(text: &str) -> Result<Self, InvalidPassword> {
        let printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        match text.len() {
            0 => Err(InvalidPassword::Empty),
            _ if !text.bytes().all(printable) => Err(InvalidPassword::Character),
            1..=LENGTH => Ok(Self(Secret::new(text.to_owned()))),
            _ => Err(InvalidPassword::TooLong),
        }
    }

    /// One that was made by chance earlier.
    fn known(text: &str) -> Option<Self> {
        let ours = text.len() == LENGTH && text.bytes().all(|byte| ALPHABET.contains(&byte));
        ours.then(|| Self(Secret::new(text.to_owned())))
    }

    /// It itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Passwords at hand for a screen. Which one it gets, the specification says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passwords {
    /// One that is made by chance.
    pub random: VncPassword,
    /// The one that was given now.
    pub given: Option<VncPassword>,
}

/// The passwords at hand do not fit a specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// There is none.
    #[error(
        "the screen's password is to be a given one, but none is given now, and the XML has none that was given earlier \
         (`virsh dumpxml` prints it with --security-info only)"
    )]
    Missing,
    /// The one that the domain has is none that can be kept.
    #[error("the password that the domain's screen has cannot be kept ({0}): give another one")]
    Kept(InvalidPassword),
    /// There is one, but nothing that it is for.
    #[error("{}", match .0 {
        Some(PasswordRule::Random) => "a password is given for a screen whose password is to be random",
        Some(PasswordRule::None) => "a password is given for a screen that is to have none",
        Some(PasswordRule::Given) | None => "a password is given, but there is no screen for it",
    })]
    Unwanted(Option<PasswordRule>),
}

impl Passwords {
    /// Whether they fit a specification for a domain that nothing is known of.
    pub fn check(&self, spec: &ConsoleSpec) -> Result<(), PasswordError> {
        self.choose(spec.password(), None).map(drop)
    }

    /// The one for a screen of which the rule is that. `kept` is what it has had so far by the same rule.
    pub(crate) fn choose(
        &self,
        rule: Option<PasswordRule>,
        kept: Option<&str>,
    ) -> Result<Option<VncPassword>, PasswordError> {
        let kept = kept.filter(|kept| !kept.is_empty());
        match (rule, &self.given) {
            (Some(PasswordRule::Given), Some(given)) => Ok(Some(given.clone())),
            (Some(PasswordRule::Given), None) => {
                let kept = kept.ok_or(PasswordError::Missing)?;
                VncPassword::given(kept).map(Some).map_err(PasswordError::Kept)
            }
            (Some(PasswordRule::Random | PasswordRule::None) | None, Some(_)) => Err(PasswordError::Unwanted(rule)),
            (Some(PasswordRule::Random), None) => {
                Ok(Some(kept.and_then(VncPassword::known).unwrap_or_else(|| self.random.clone())))
            }
            (Some(PasswordRule::None) | None, None) => Ok(None),
        }
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

    #[test]
    fn given_ones_are_what_every_viewer_sends_alike() {
        for good in ["a", "12345678", " <&'\">] ", "\\~`"] {
            assert_eq!(VncPassword::given(good).unwrap().expose(), good);
        }
        for (bad, why) in [
            ("", InvalidPassword::Empty),
            ("123456789", InvalidPassword::TooLong),
            ("pässwör", InvalidPassword::Character),
            ("a\tb", InvalidPassword::Character),
            ("a\n", InvalidPassword::Character),
        ] {
            assert_eq!(VncPassword::given(bad), Err(why));
            assert!(bad.is_empty() || !why.to_string().contains(bad), "{why}");
        }
    }

    #[test]
    fn the_rule_says_which_one() {
        use PasswordRule::{Given, None as Nothing, Random};
        let password = |text: &str| VncPassword::given(text).unwrap();
        let chosen = |rule, given: Option<&str>, kept| {
            let at_hand = Passwords { random: password("AAAAAAAA"), given: given.map(password) };
            at_hand.choose(rule, kept).map(|chosen| chosen.map(|password| password.expose().to_owned()))
        };
        let one = |text: &str| Ok(Some(text.to_owned()));
        for (rule, given, kept, expected) in [
            (Some(Random), None, None, one("AAAAAAAA")),
            (Some(Random), None, Some("BBBBBBBB"), one("BBBBBBBB")),
            (Some(Random), None, Some("letmein"), one("AAAAAAAA")),
            (Some(Random), Some("mine"), None, Err(PasswordError::Unwanted(Some(Random)))),
            (Some(Nothing), None, Some("BBBBBBBB"), Ok(None)),
            (Some(Nothing), Some("mine"), None, Err(PasswordError::Unwanted(Some(Nothing)))),
            (None, None, None, Ok(None)),
            (None, Some("mine"), None, Err(PasswordError::Unwanted(None))),
            (Some(Given), Some("mine"), Some("theirs"), one("mine")),
            (Some(Given), None, Some("theirs"), one("theirs")),
            (Some(Given), None, None, Err(PasswordError::Missing)),
            (Some(Given), None, Some(""), Err(PasswordError::Missing)),
            (Some(Given), None, Some("much too long"), Err(PasswordError::Kept(InvalidPassword::TooLong))),
        ] {
            assert_eq!(chosen(rule, given, kept), expected, "{rule:?} {given:?} {kept:?}");
        }
    }
}
