//! The protocol between edge and agent, version 1: paths, header names, and both directions of each message.
//!
//! HTTP/1.1 over TLS 1.3 with certificates on both sides (see [`crate::tls`]).
//!
//! | request | asks | answer |
//! |---|---|---|
//! | `GET /tunnel/v1/console`, an upgrade | redeem this token, give me its console | `101`, then WebSocket frames; else a status and [`REASON`] |
//! | `POST /tunnel/v1/inspect` | what is this token for? | `200` and an [`Inspection`]; else a status and [`REASON`] |
//! | `GET /tunnel/v1/jwks` | this node's public keys | `200` and a key set |
//! | `POST /tunnel/v1/drain` | the edge with this instance id goes away | `200` and a [`Drained`] |
//!
//! Neighbouring releases must understand each other: fields are only added, readers pass over what they do not know,
//! and what must be understood gets a new path. An edge's *name* is never a field: it stands in its certificate.

use std::net::SocketAddr;

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{
    AUTHORIZATION, CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use serde::{Deserialize, Serialize};

use crate::binding::{BINARY_SUBPROTOCOL, BindingSecret};
use crate::clock::UnixTime;
use crate::names::{ConsoleKind, ConsoleName, EdgeInstance, Requestor};
use crate::token::Token;

/// `GET`, an upgrade: redeem and connect.
pub const CONSOLE_PATH: &str = "/tunnel/v1/console";
/// `POST`: what is it for?
pub const INSPECT_PATH: &str = "/tunnel/v1/inspect";
/// `GET`: the node's public keys.
pub const JWKS_PATH: &str = "/tunnel/v1/jwks";
/// `POST`: an edge goes away.
pub const DRAIN_PATH: &str = "/tunnel/v1/drain";

/// The reason code of a refusal.
pub const REASON: HeaderName = HeaderName::from_static("x-porthole-reason");
/// The client's binding secret.
const BINDING: HeaderName = HeaderName::from_static("porthole-binding");
/// The client's address and port, as the edge sees them (behind a load balancer: the balancer's).
const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("porthole-client-address");
/// The TLS version between client and edge; absent where the edge did not end TLS.
const CLIENT_TLS: HeaderName = HeaderName::from_static("porthole-client-tls");
/// Which run of the edge this is.
const EDGE_INSTANCE: HeaderName = HeaderName::from_static("porthole-edge-instance");

/// The client offered `porthole.serial.v1`. A field of its own, because a reader of an earlier release knows one
/// subprotocol only.
const SERIAL: HeaderName = HeaderName::from_static("porthole-serial");

/// The largest JSON body either side reads, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// A key of a WebSocket handshake (RFC 6455 section 4.1): 16 bytes in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketKey(String);

impl WebSocketKey {
    /// Takes 22 base64 characters and `==`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_suffix("==")?;
        let base64 = digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/');
        (digits.len() == 22 && base64).then(|| Self(text.to_owned()))
    }

    /// As it stood in the request.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The `Sec-WebSocket-Accept` that answers it (RFC 6455 section 4.2.2).
    pub fn accept(&self) -> String {
        let mut sum = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        sum.update(self.0.as_bytes());
        sum.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        STANDARD.encode(sum.finish())
    }
}

/// The TLS version of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientTls {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

impl ClientTls {
    const ALL: [Self; 2] = [Self::V12, Self::V13];

    /// As it stands in the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V12 => "TLSv1.2",
            Self::V13 => "TLSv1.3",
        }
    }
}

/// Who is at the far end, in the words of the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFacts {
    /// The client's address and port.
    pub address: SocketAddr,
    /// The TLS version that it speaks with the edge; `None` where something before the edge ends TLS.
    pub tls: Option<ClientTls>,
    /// Which run of the edge it reached.
    pub edge_instance: EdgeInstance,
}

/// What every request about a token carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// The token.
    pub token: Token,
    /// The client's binding secret, if it offered one.
    pub binding: Option<BindingSecret>,
    /// Who presents it.
    pub client: ClientFacts,
}

/// The upgrade request `GET /tunnel/v1/console`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleRequest {
    /// The token and who presents it.
    pub presented: Presented,
    /// The client's own key: frames are between client and agent, so the handshake is too.
    pub key: WebSocketKey,
    /// The client offered the subprotocol `binary`.
    pub binary: bool,
    /// The client offered the subprotocol `porthole.serial.v1`.
    pub serial: bool,
}

/// A request is not of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("tunnel request: {field} is missing or malformed")]
pub struct MalformedRequest {
    /// The header at fault.
    pub field: &'static str,
}

impl Presented {
    /// Writes the headers. Secrets are marked sensitive, so that HTTP libraries do not print them.
    pub fn write(&self, headers: &mut HeaderMap) {
        insert_secret(headers, AUTHORIZATION, &format!("Bearer {}", self.token.expose()));
        if let Some(binding) = &self.binding {
            insert_secret(headers, BINDING, binding.to_text().expose());
        }
        insert(headers, CLIENT_ADDRESS, &self.client.address.to_string());
        if let Some(tls) = self.client.tls {
            headers.insert(CLIENT_TLS, HeaderValue::from_static(tls.as_str()));
        }
        insert(headers, EDGE_INSTANCE, &self.client.edge_instance.to_string());
    }

    /// Reads what [`Self::write`] wrote.
    pub fn read(headers: &HeaderMap) -> Result<Self, MalformedRequest> {
        let token = required(headers, &AUTHORIZATION, "authorization", |value| {
            Token::parse(value.strip_prefix("Bearer ")?).ok()
        })?;
        let binding = optional(headers, &BINDING, "porthole-binding", |value| BindingSecret::parse(value).ok())?;
        let address = required(headers, &CLIENT_ADDRESS, "porthole-client-address", |value| value.parse().ok())?;
        let tls = optional(headers, &CLIENT_TLS, "porthole-client-tls", |value| {
            ClientTls::ALL.into_iter().find(|version| version.as_str() == value)
        })?;
        let edge_instance = required(headers, &EDGE_INSTANCE, "porthole-edge-instance", |value| value.parse().ok())?;
        Ok(Self { token, binding, client: ClientFacts { address, tls, edge_instance } })
    }
}

impl ConsoleRequest {
    /// Writes the headers of the upgrade request, all but `Host`.
    pub fn write(&self, headers: &mut HeaderMap) {
        self.presented.write(headers);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        insert(headers, SEC_WEBSOCKET_KEY, self.key.as_str());
        if self.binary {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(BINARY_SUBPROTOCOL));
        }
        if self.serial {
            headers.insert(SERIAL, HeaderValue::from_static("v1"));
        }
    }

    /// Reads what [`Self::write`] wrote.
    pub fn read(headers: &HeaderMap) -> Result<Self, MalformedRequest> {
        let presented = Presented::read(headers)?;
        required(headers, &UPGRADE, "upgrade", |value| value.eq_ignore_ascii_case("websocket").then_some(()))?;
        required(headers, &SEC_WEBSOCKET_VERSION, "sec-websocket-version", |value| (value == "13").then_some(()))?;
        let key = required(headers, &SEC_WEBSOCKET_KEY, "sec-websocket-key", WebSocketKey::parse)?;
        let binary = optional(headers, &SEC_WEBSOCKET_PROTOCOL, "sec-websocket-protocol", |value| {
            (value == BINARY_SUBPROTOCOL).then_some(())
        })?
        .is_some();
        // Another version is one that this release does not choose.
        let serial = optional(headers, &SERIAL, "porthole-serial", |value| Some(value == "v1"))?.unwrap_or(false);
        Ok(Self { presented, key, binary, serial })
    }
}

/// The answer of `/tunnel/v1/inspect`: what a page may know before it connects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// The kind of console.
    pub kind: ConsoleKind,
    /// The guest's name, for the page's title.
    pub name: ConsoleName,
    /// Until when the token may be used for the first time.
    pub redeem_by: UnixTime,
    /// Until when it may be used at all.
    pub expires: UnixTime,
    /// Whether its user may only watch.
    #[serde(default)]
    pub read_only: bool,
    /// Whether its user may take over from somebody else.
    #[serde(default)]
    pub force: bool,
    /// Who writes to it now, where one may at a time and that is not this token's user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<Writer>,
}

/// Who writes to a serial port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// For whom its link was made, or which caller of the API it is.
    pub who: Option<Requestor>,
    /// The address of its client; none on the host itself.
    pub client: Option<SocketAddr>,
    /// Since when it writes.
    pub since: UnixTime,
}

/// The body of `/tunnel/v1/drain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// The run of the edge whose sessions shall end.
    pub instance: EdgeInstance,
}

/// The answer of `/tunnel/v1/drain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// How many connections were told to close.
    pub closed: u64,
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // All our values are visible ASCII by their types; a value that is not is left out and the reader reports it.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn insert_secret(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(mut value) = HeaderValue::from_str(value) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}

fn optional<T>(
    headers: &HeaderMap,
    name: &HeaderName,
    field: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, MalformedRequest> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let single = values.next().is_none();
    let parsed = value.to_str().ok().filter(|_| single).and_then(parse);
    parsed.map(Some).ok_or(MalformedRequest { field })
}

fn required<T>(
    headers: &HeaderMap,
    name: &HeaderName,
    field: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, MalformedRequest> {
    optional(headers, name, field, parse)?.ok_or(MalformedRequest { field })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(binding: bool, binary: bool, tls: Option<ClientTls>) -> ConsoleRequest {
        let serial = binding != binary;
        ConsoleRequest {
            presented: Presented {
                token: Token::parse("aa.bb.cc").unwrap(),
                binding: binding.then(|| BindingSecret::random().unwrap()),
                client: ClientFacts {
                    address: "[2001:db8::1]:40000".parse().unwrap(),
                    tls,
                    edge_instance: EdgeInstance::random(),
                },
            },
            key: WebSocketKey::parse("dGhlIHNhbXBsZSBub25jZQ==").unwrap(),
            binary,
            serial,
        }
    }

    #[test]
    fn the_accept_value_is_that_of_rfc_6455() {
        let key = WebSocketKey::parse("dGhlIHNhbXBsZSBub25jZQ==").unwrap();
        assert_eq!(key.accept(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn requests_round_trip() {
        for binding in [false, true] {
            for binary in [false, true] {
                for tls in [None, Some(ClientTls::V12), Some(ClientTls::V13)] {
                    let request = request(binding, binary, tls);
                    let mut headers = HeaderMap::new();
                    request.write(&mut headers);
                    assert_eq!(ConsoleRequest::read(&headers), Ok(request));
                }
            }
        }
    }

    #[test]
    fn a_missing_doubled_or_malformed_field_is_named() {
        let mut whole = HeaderMap::new();
        request(true, true, Some(ClientTls::V13)).write(&mut whole);
        let names: Vec<HeaderName> = whole.keys().filter(|name| **name != CONNECTION).cloned().collect();
        for name in names {
            let mut broken = whole.clone();
            broken.insert(name.clone(), HeaderValue::from_static("?"));
            assert_eq!(ConsoleRequest::read(&broken).unwrap_err().field, name.as_str());

            let mut doubled = whole.clone();
            doubled.append(name.clone(), whole[&name].clone());
            assert_eq!(ConsoleRequest::read(&doubled).unwrap_err().field, name.as_str());
        }
        whole.remove(AUTHORIZATION);
        assert_eq!(ConsoleRequest::read(&whole).unwrap_err().field, "authorization");
    }

    #[test]
    fn secrets_are_marked_sensitive_and_not_printed() {
        let request = request(true, true, None);
        let mut headers = HeaderMap::new();
        request.write(&mut headers);
        assert!(headers[AUTHORIZATION].is_sensitive() && headers[BINDING].is_sensitive());
        let text = format!("{headers:?} {request:?}");
        assert!(!text.contains("aa.bb.cc"), "{text}");
        assert!(!text.contains(request.presented.binding.unwrap().to_text().expose()), "{text}");
    }

    proptest! {
        #[test]
        fn a_key_is_sixteen_bytes(text in "\\PC{0,40}") {
            if let Some(key) = WebSocketKey::parse(&text) {
                prop_assert!(key.as_str().len() == 24);
            }
        }
    }
}
