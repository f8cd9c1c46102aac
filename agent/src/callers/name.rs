//! What callers are called, in rows, logs and answers.

use std::fmt;
use std::str::FromStr;

use porthole_shared::names::{ApiTokenName, ClientName};
use serde::{Deserialize, Serialize};

/// Who calls: a user of this host, the name in a certificate, or the name of an API token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CallerName {
    /// `uid:1000`: at the unix socket.
    User(u32),
    /// `certificate:dashboard.example.org`: by TLS.
    Certificate(ClientName),
    /// `token:dashboard`: with an API token of that name.
    Token(ApiTokenName),
}

impl fmt::Display for CallerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(uid) => write!(f, "uid:{uid}"),
            Self::Certificate(name) => write!(f, "certificate:{name}"),
            Self::Token(name) => write!(f, "token:{name}"),
        }
    }
}

/// A text that names no caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a caller: they are uid:NUMBER, certificate:NAME or token:NAME")]
pub struct InvalidCaller;

impl FromStr for CallerName {
    type Err = InvalidCaller;
    fn from_str(text: &str) -> Result<Self, InvalidCaller> {
        let (sort, name) = text.split_once(':').ok_or(InvalidCaller)?;
        match sort {
            "uid" if name.bytes().all(|byte| byte.is_ascii_digit()) => {
                name.parse().map(Self::User).map_err(|_| InvalidCaller)
            }
            "certificate" => name.parse().map(Self::Certificate).map_err(|_| InvalidCaller),
            "token" => name.parse().map(Self::Token).map_err(|_| InvalidCaller),
            _ => Err(InvalidCaller),
        }
    }
}

impl TryFrom<String> for CallerName {
    type Error = InvalidCaller;
    fn try_from(text: String) -> Result<Self, InvalidCaller> {
        text.parse()
    }
}

impl From<CallerName> for String {
    fn from(name: CallerName) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_round_trip() {
        for text in ["uid:0", "uid:4294967295", "certificate:dashboard.example.org", "token:a.b-c_d@e"] {
            assert_eq!(text.parse::<CallerName>().unwrap().to_string(), text);
        }
        for text in
            ["", "uid", "uid:", "uid:+1", "uid:-1", "uid:4294967296", "certificate:A B", "token:", "token:a b", "x:y"]
        {
            assert!(text.parse::<CallerName>().is_err(), "{text}");
        }
        assert!("a".repeat(65).parse::<ApiTokenName>().is_err());
    }
}
