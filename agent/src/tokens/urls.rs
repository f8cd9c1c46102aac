//! `[urls]` of the agent's configuration: where on the public edge each kind of console is shown.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use porthole_shared::names::ConsoleKind;
use porthole_shared::secret::Secret;
use porthole_shared::token::Token;
use serde::Deserialize;

/// The base URL of each kind. A kind without one cannot be minted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Urls {
    /// Of VNC consoles.
    pub vnc: Option<BaseUrl>,
    /// Of SPICE consoles.
    pub spice: Option<BaseUrl>,
    /// Of serial consoles.
    pub serial: Option<BaseUrl>,
    /// Of plain TCP.
    pub tcp: Option<BaseUrl>,
}

impl Urls {
    /// The base URL of this kind.
    pub const fn base(&self, kind: ConsoleKind) -> Option<&BaseUrl> {
        match kind {
            ConsoleKind::Vnc => self.vnc.as_ref(),
            ConsoleKind::Spice => self.spice.as_ref(),
            ConsoleKind::Serial => self.serial.as_ref(),
            ConsoleKind::Tcp => self.tcp.as_ref(),
        }
    }
}

/// An `https` or `http` URL that a token can be appended to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct BaseUrl(String);

/// A text that is no such URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no base URL of consoles: {rule}")]
pub struct InvalidBaseUrl {
    text: String,
    rule: &'static str,
}

impl BaseUrl {
    /// The URL that opens a console. Secret, because its token is in it.
    pub fn with_token(&self, token: &Token) -> Secret<String> {
        let Self(base) = self;
        let separator = match base.split_once('?') {
            None => "?",
            Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
            Some(_) => "&",
        };
        // A token is base64url and dots, so nothing in it needs escaping.
        Secret::new(format!("{base}{separator}token={}", token.expose()))
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidBaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidBaseUrl> {
        let invalid = |rule| InvalidBaseUrl { text: text.chars().take(200).collect(), rule };
        // `Uri` would cut a fragment off without a word.
        if text.contains('#') {
            return Err(invalid("a fragment (#…) never reaches a server; leave it out"));
        }
        let uri: Uri = text.parse().map_err(|_| invalid("write one such as https://consoles.example.org/vnc.html"))?;
        if !matches!(uri.scheme_str(), Some("https" | "http")) {
            return Err(invalid("it must begin with https:// (or http://)"));
        }
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        if uri.host().is_none_or(str::is_empty) || authority.contains('@') {
            return Err(invalid("it needs a host, and no user name"));
        }
        let mut names = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split('=').next());
        if names.any(|name| name == "token") {
            return Err(invalid("its query already has a `token`, which is ours to add"));
        }
        // `Uri` gives `https://host?x` the path that it has not, and `with_token` goes by the text.
        if !text
            .split_once("://")
            .is_some_and(|(_, rest)| rest.get(authority.len()..).is_some_and(|rest| rest.starts_with('/')))
        {
            return Err(invalid("it needs a path, if only `/`"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = InvalidBaseUrl;
    fn try_from(text: String) -> Result<Self, InvalidBaseUrl> {
        text.parse()
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_appended_to_whatever_query_there_is() {
        let token = Token::parse("aa.bb.cc").unwrap();
        for (base, whole) in [
            ("https://c.example.org/vnc.html", "https://c.example.org/vnc.html?token=aa.bb.cc"),
            ("https://c.example.org/", "https://c.example.org/?token=aa.bb.cc"),
            ("http://[::1]:6080/vnc.html?autoconnect=1", "http://[::1]:6080/vnc.html?autoconnect=1&token=aa.bb.cc"),
            ("https://c.example.org/vnc.html?", "https://c.example.org/vnc.html?token=aa.bb.cc"),
            ("https://c.example.org/vnc.html?a=b&", "https://c.example.org/vnc.html?a=b&token=aa.bb.cc"),
        ] {
            assert_eq!(base.parse::<BaseUrl>().unwrap().with_token(&token).expose(), whole);
        }
    }

    #[test]
    fn what_could_not_work_is_refused_with_the_rule() {
        for (base, expected) in [
            ("https://c.example.org/vnc.html#x", "fragment"),
            ("ftp://c.example.org/", "https://"),
            ("wss://c.example.org/", "https://"),
            ("c.example.org/vnc.html", "such as https://"),
            ("/vnc.html", "https://"),
            ("https://user@c.example.org/", "no user name"),
            ("https://c.example.org/?token=x", "ours to add"),
            ("https://c.example.org/?a=b&token", "ours to add"),
            ("https://c.example.org", "needs a path"),
            ("https://c.example.org?a=b/c", "needs a path"),
            ("https://c.example.org/a b", "such as https://"),
        ] {
            let message = base.parse::<BaseUrl>().unwrap_err().to_string();
            assert!(message.contains(expected), "{base}: {message}");
        }
    }
}
