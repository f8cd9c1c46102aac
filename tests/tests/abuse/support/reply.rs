//! Answers, byte by byte.

use porthole_shared::reason::Reason;

/// One answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Status line and fields.
    lines: Vec<String>,
    pub(crate) body: Vec<u8>,
}

/// What came on a connection, taken apart. Bytes behind the last whole answer would be an error.
pub(crate) fn replies(mut bytes: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    while !bytes.is_empty() {
        let (reply, rest) = Reply::read(bytes, false);
        replies.push(reply);
        bytes = rest;
    }
    replies
}

/// The answer to a `HEAD`.
pub(crate) fn bodiless(bytes: &[u8]) -> Reply {
    let (reply, rest) = Reply::read(bytes, true);
    assert_eq!(rest, b"", "an answer to HEAD has a body");
    reply
}

impl Reply {
    fn read(bytes: &[u8], bodiless: bool) -> (Self, &[u8]) {
        let text = || String::from_utf8_lossy(bytes);
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("not an answer: {:?}", text()));
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let lines: Vec<String> = head.split("\r\n").map(str::to_owned).collect();
        let line = lines[0].strip_prefix("HTTP/1.1 ").or_else(|| lines[0].strip_prefix("HTTP/1.0 "));
        let status = line.and_then(|line| line.get(..3)).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not an answer: {:?}", text()));
        let mut reply = Self { status, lines, body: Vec::new() };
        let rest = &bytes[end + 4..];
        if bodiless || status == 304 {
            return (reply, rest);
        }
        let length = reply.field("content-length").unwrap_or_else(|| panic!("an answer without length: {:?}", text()));
        let (body, rest) = rest.split_at_checked(length.parse().unwrap()).expect("a whole body");
        reply.body = body.to_vec();
        (reply, rest)
    }

    /// The one field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.lines.iter().skip(1).filter_map(|line| {
            let (known, value) = line.split_once(':').unwrap();
            known.eq_ignore_ascii_case(name).then_some(value.trim())
        });
        let first = found.next();
        assert_eq!(found.next(), None, "{name} stands twice");
        first
    }

    /// The status and the reason.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        (self.status, self.field("x-porthole-reason").unwrap_or_default())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// What came is the edge's refusal of an upgrade, and not one byte more.
pub(crate) fn assert_refused(came: &[u8], reason: Reason, context: &str) {
    let status = reason.status();
    let fields = [
        "cache-control: no-store".to_owned(),
        "connection: close".to_owned(),
        "content-length: 0".to_owned(),
        format!("x-porthole-reason: {reason}"),
    ];
    let line = format!("HTTP/1.1 {} {}", status.as_u16(), status.canonical_reason().unwrap());
    assert_head(came, &line, &fields, context);
}

/// What came is the edge's `101`, and not one byte more.
pub(crate) fn assert_switched(came: &[u8], accept: &str, binary: bool, context: &str) {
    let mut fields = vec![
        "connection: Upgrade".to_owned(),
        format!("sec-websocket-accept: {accept}"),
        "upgrade: websocket".to_owned(),
    ];
    fields.extend(binary.then(|| "sec-websocket-protocol: binary".to_owned()));
    assert_head(came, "HTTP/1.1 101 Switching Protocols", &fields, context);
}

/// A head of just these fields and the date, in any order, with nothing behind it.
fn assert_head(came: &[u8], line: &str, fields: &[String], context: &str) {
    let text = String::from_utf8_lossy(came);
    let mut lines = text.split("\r\n");
    assert_eq!(lines.next(), Some(line), "{context}: {text}");
    let (mut dates, mut others): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with("date: "));
    assert_eq!(dates.len(), 1, "{context}: {text}");
    dates.clear();
    assert_eq!(
        others.split_off(others.len().saturating_sub(2)),
        ["", ""],
        "{context}: something behind the head: {text}"
    );
    others.sort_unstable();
    let mut wanted: Vec<&str> = fields.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    assert_eq!(others, wanted, "{context}");
}
