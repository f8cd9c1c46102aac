//! What a refused upgrade answers, to its last byte.

use porthole_shared::reason::Reason;
use porthole_tests::wait::{PATIENCE, within};
use porthole_tests::ws::Upgrade;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The header fields that such an answer may have.
const FIELDS: [&str; 6] =
    ["x-porthole-reason", "content-length", "connection", "cache-control", "date", "sec-websocket-version"];

/// Sends the request and reads its refusal.
pub(crate) async fn refusal(request: &Upgrade) -> (u16, String) {
    refusal_to(request, &request.head()).await
}

/// Sends these bytes instead of the request's own, and reads their refusal.
///
/// # Panics
/// When the answer is anything else than a refusal with its reason, as the table of reasons has it, and nothing behind
/// its head: raw WebSocket clients take that for data.
pub(crate) async fn refusal_to(request: &Upgrade, bytes: &[u8]) -> (u16, String) {
    let answer = answer_to(request, bytes).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no whole head: {answer:?}"));
    assert_eq!(body, "", "behind the head of a refusal: {answer:?}");
    let (line, fields) = head.split_once("\r\n").unwrap();
    let status: u16 = line.strip_prefix("HTTP/1.").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let fields: Vec<(&str, &str)> = fields.split("\r\n").map(|field| field.split_once(": ").unwrap()).collect();
    assert!(fields.iter().all(|(name, _)| FIELDS.contains(name)), "a field too many: {head}");
    let value = |name: &str| fields.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    assert_eq!(value("content-length"), Some("0"), "{head}");
    assert_eq!(value("cache-control"), Some("no-store"), "{head}");
    let reason: Reason = value("x-porthole-reason").expect("a reason").parse().expect("a known reason");
    assert_eq!(reason.status(), status, "{head}");
    // RFC 6455 section 4.4.
    assert_eq!(value("sec-websocket-version"), (reason == Reason::BadRequest).then_some("13"), "{head}");
    (status, reason.code().to_owned())
}

/// Sends these bytes instead of the request's own, and reads until the server closes.
pub(crate) async fn answer_to(request: &Upgrade, bytes: &[u8]) -> String {
    let mut transport = within(PATIENCE, "connecting", request.connect()).await.unwrap();
    let exchanging = async {
        transport.write_all(bytes).await.unwrap();
        transport.flush().await.unwrap();
        let mut answer = String::new();
        transport.read_to_string(&mut answer).await.unwrap();
        answer
    };
    within(PATIENCE, "the answer and its end", exchanging).await
}
