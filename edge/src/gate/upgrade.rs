//! The client's half of a WebSocket handshake (RFC 6455 section 4.2.1).

use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, Method, Version, request};
use porthole_shared::binding::OfferedProtocols;
use porthole_shared::reason::Reason;
use porthole_shared::tunnel::WebSocketKey;

/// Does the client want a WebSocket, well-formed or not? It is then answered as WebSocket clients are: without a body.
/// A key without `Upgrade` is what a proxy leaves that drops hop-by-hop fields; an `Upgrade` to something else (`h2c`)
/// is no such wish and may be ignored (RFC 9110 section 7.8).
pub fn is_wanted(headers: &HeaderMap) -> bool {
    lists(headers, &UPGRADE, "websocket")
        || headers.contains_key(SEC_WEBSOCKET_KEY)
        || headers.contains_key(SEC_WEBSOCKET_VERSION)
}

/// What of a handshake matters behind the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The client's key.
    pub key: WebSocketKey,
    /// The subprotocols that it offers.
    pub offered: OfferedProtocols,
}

impl Handshake {
    /// Reads it. Extensions are passed over: none is ever agreed to.
    pub fn read(head: &request::Parts) -> Result<Self, Reason> {
        let headers = &head.headers;
        let well_formed = head.method == Method::GET
            && head.version == Version::HTTP_11
            && lists(headers, &UPGRADE, "websocket")
            && lists(headers, &CONNECTION, "upgrade")
            && single(headers, &SEC_WEBSOCKET_VERSION) == Some("13")
            && !headers.contains_key(TRANSFER_ENCODING)
            && headers.get_all(CONTENT_LENGTH).iter().all(|length| length == "0");
        if !well_formed {
            return Err(Reason::BadRequest);
        }
        let key = single(headers, &SEC_WEBSOCKET_KEY).and_then(WebSocketKey::parse).ok_or(Reason::BadRequest)?;
        let names = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().map(|value| value.to_str());
        let names = names.collect::<Result<Vec<_>, _>>().map_err(|_| Reason::BadRequest)?;
        let offered = OfferedProtocols::parse(names).map_err(|_| Reason::BadRequest)?;
        Ok(Self { key, offered })
    }
}

/// Does a comma-separated field hold this word, whatever its case?
fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(word))
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use proptest::prelude::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn good() -> request::Parts {
        let request = Request::get("/")
            .header("host", "a")
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "WebSocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", KEY);
        request.body(()).unwrap().into_parts().0
    }

    fn changed(change: impl FnOnce(&mut request::Parts)) -> Result<Handshake, Reason> {
        let mut head = good();
        change(&mut head);
        Handshake::read(&head)
    }

    #[test]
    fn a_good_one_is_read() {
        let handshake = Handshake::read(&good()).unwrap();
        assert_eq!(handshake.key.as_str(), KEY);
        assert_eq!(handshake.offered, OfferedProtocols::default());
        let binding = format!("base64,binary, porthole.bind.{}", "A".repeat(43));
        let offered = changed(|head| drop(head.headers.insert(SEC_WEBSOCKET_PROTOCOL, binding.parse().unwrap())))
            .unwrap()
            .offered;
        assert!(offered.binary && offered.binding.is_some());
        assert!(changed(|head| drop(head.headers.insert(CONTENT_LENGTH, "0".parse().unwrap()))).is_ok());
    }

    #[test]
    fn each_missing_or_wrong_part_is_refused() {
        let refused = Err(Reason::BadRequest);
        for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_VERSION, SEC_WEBSOCKET_KEY] {
            assert_eq!(changed(|head| drop(head.headers.remove(&name))), refused, "without {name}");
            assert_eq!(changed(|head| drop(head.headers.insert(&name, "12".parse().unwrap()))), refused, "{name}: 12");
        }
        for name in [SEC_WEBSOCKET_VERSION, SEC_WEBSOCKET_KEY] {
            let doubled = changed(|head| {
                let value = head.headers[&name].clone();
                head.headers.append(&name, value);
            });
            assert_eq!(doubled, refused, "{name} twice");
        }
        assert_eq!(changed(|head| head.method = Method::POST), refused);
        assert_eq!(changed(|head| head.version = Version::HTTP_10), refused);
        for (name, value) in [
            ("sec-websocket-protocol", "porthole.bind.short"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
        ] {
            assert_eq!(changed(|head| drop(head.headers.insert(name, value.parse().unwrap()))), refused, "{name}");
        }
    }

    #[test]
    fn only_a_wish_for_a_websocket_counts() {
        assert!(is_wanted(&good().headers));
        let with = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            is_wanted(&headers)
        };
        assert!(with("upgrade", "foo, WEBSOCKET") && with("sec-websocket-key", "x"));
        assert!(!with("upgrade", "h2c") && !with("connection", "upgrade"));
    }

    proptest! {
        #[test]
        fn any_field_is_read_or_refused(name in 0_usize..5, value in "[ -~]{0,60}") {
            let names = [CONNECTION, UPGRADE, SEC_WEBSOCKET_VERSION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL];
            let read = changed(|head| drop(head.headers.insert(&names[name], value.parse().unwrap())));
            prop_assert!(matches!(read, Ok(_) | Err(Reason::BadRequest)));
        }
    }
}
