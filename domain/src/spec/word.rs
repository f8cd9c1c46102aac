//! One table for an enum that is words: parsing, printing and JSON come from it.

use std::fmt;

/// A text is none of the words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not known: use {}", Choice(.words))]
pub struct UnknownWord {
    pub(super) what: &'static str,
    /// Cut: it may be anything.
    pub(super) text: String,
    pub(super) words: Vec<&'static str>,
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

/// Makes such an enum.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal, default $default:ident, {
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

        impl Default for $name {
            fn default() -> Self { Self::$default }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::spec::word::UnknownWord;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text).ok_or_else(|| {
                    $crate::spec::word::UnknownWord {
                        what: $what,
                        text: text.chars().take(40).collect(),
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
