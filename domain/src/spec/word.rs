//! One table for an enum that is words: parsing, printing and JSON come from it.

use std::fmt;

/// A text is none of the words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}{} is not known: use {}", Said(.text.as_deref()), Choice(.words))]
pub struct UnknownWord {
    pub(super) what: &'static str,
    /// Cut: it may be anything. Not there where it may be a secret in the wrong place.
    pub(super) text: Option<String>,
    pub(super) words: Vec<&'static str>,
}

struct Said<'a>(Option<&'a str>);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |text| write!(f, " {text:?}"))
    }
}

struct Choice<'a>(&'a [&'static str]);

impl fmt::Display for Choice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [others @ .., last] if !others.is_empty() => write!(f, "{} or {last}", others.join(", ")),
            words => f.write_str(&words.join(", ")),
        }
    }
}

/// What an error says of a text that is none of the words.
pub(super) fn quoted(text: &str, may_be_secret: bool) -> Option<String> {
    (!may_be_secret).then(|| text.chars().take(40).collect())
}

/// Makes such an enum. What stands where a word may be confused with a secret is not said in errors: `unquoted true`.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal, $(default $default:ident,)? $(unquoted $secret:literal,)? {
        $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "&'static str")]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        $(impl Default for $name {
            fn default() -> Self { Self::$default }
        })?

        impl std::str::FromStr for $name {
            type Err = $crate::spec::word::UnknownWord;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text).ok_or_else(|| {
                    $crate::spec::word::UnknownWord {
                        what: $what,
                        text: $crate::spec::word::quoted(text, false $(|| $secret)?),
                        words: Self::ALL.iter().map(|known| known.as_str()).collect(),
                    }
                })
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::spec::word::UnknownWord;
            fn try_from(text: String) -> Result<Self, Self::Error> { text.parse() }
        }

        impl From<$name> for &'static str {
            fn from(value: $name) -> Self { value.as_str() }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.as_str()) }
        }
    };
}

pub(super) use words;
