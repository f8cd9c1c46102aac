use super::*;
use crate::dial::fixture::console_request;
use http::HeaderValue;
use proptest::prelude::*;

/// A right `101` to [`console_request`].
fn right() -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = head.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("WebSocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    head
}

#[test]
fn a_right_answer_is_taken_with_the_offered_protocol_or_none() {
    let mut head = right();
    for binary in [false, true] {
        assert_eq!(upgraded(&head, &console_request(binary)).unwrap(), None);
    }
    head.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("binary"));
    assert_eq!(upgraded(&head, &console_request(true)).unwrap(), Some(Subprotocol::Binary));
    assert!(upgraded(&head, &console_request(false)).is_err(), "not offered, yet chosen");
    head.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("porthole.serial.v1"));
    assert!(upgraded(&head, &console_request(true)).is_err(), "not offered, yet chosen");
    let serial = ConsoleRequest { serial: true, ..console_request(true) };
    assert_eq!(upgraded(&head, &serial).unwrap(), Some(Subprotocol::SerialV1));
}

#[test]
fn every_header_of_the_handshake_matters() {
    for name in [UPGRADE, CONNECTION, SEC_WEBSOCKET_ACCEPT] {
        let mut head = right();
        head.headers_mut().insert(&name, HeaderValue::from_static("x"));
        assert!(upgraded(&head, &console_request(true)).is_err(), "{name} wrong");
        head.headers_mut().remove(&name);
        assert!(upgraded(&head, &console_request(true)).is_err(), "{name} missing");
    }
    for name in [UPGRADE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL] {
        let mut head = right();
        head.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("binary"));
        let value = head.headers()[&name].clone();
        head.headers_mut().append(&name, value);
        assert!(upgraded(&head, &console_request(true)).is_err(), "{name} doubled");
    }
    let mut head = right();
    *head.version_mut() = Version::HTTP_10;
    assert!(upgraded(&head, &console_request(true)).is_err());
}

#[test]
fn every_reason_is_either_an_agents_with_its_own_status_or_refused() {
    for &reason in Reason::ALL {
        let mut head = Response::new(());
        *head.status_mut() = reason.status();
        head.headers_mut().insert(REASON, HeaderValue::from_static(reason.code()));
        assert_eq!(refusal(&head).ok(), may_be_an_agents(reason).then_some(reason));
        *head.status_mut() = StatusCode::IM_A_TEAPOT;
        assert!(refusal(&head).is_err());
    }
}

proptest! {
    #[test]
    fn what_an_agent_says_as_a_reason_is_not_logged_whole(text in "[ -~]{0,300}") {
        let mut head = Response::new(());
        head.headers_mut().insert(REASON, HeaderValue::try_from(text).unwrap());
        prop_assert!(refusal(&head).unwrap_err().to_string().len() < 160);
    }
}
