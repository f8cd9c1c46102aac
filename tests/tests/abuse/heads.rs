//! Clients of the public listener that speak something else than HTTP/1.1, or too slowly, or too much.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use porthole_tests::edge::{Edge, Node};
use porthole_tests::wait::{PATIENCE, within};
use tokio::io::AsyncWriteExt as _;
use tokio::time::interval;

use super::support::console::Console;
use super::support::raw::{Raw, Tls};
use super::support::reply::{Reply, replies};
use super::support::{CONSOLE, Ground, assert_serves, assert_unharmed, stack};

/// What the edges here give a client for its head.
const HEAD_TIMEOUT: &str = "2s";

/// That, and what a busy machine adds.
const CUT: Duration = Duration::from_secs(15);

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

async fn edges(ground: &Ground) -> (Edge, Edge) {
    let node = || Node::new("compute-1", "127.0.0.1:1");
    let plain = ground.edge("plain").await.plain_http().set("public.head_timeout", HEAD_TIMEOUT).node(node());
    let tls = ground.edge("tls").await.set("public.head_timeout", HEAD_TIMEOUT).node(node());
    (plain.start().await.unwrap(), tls.start().await.unwrap())
}

/// It answers as it should, on both its listeners.
async fn assert_answers(edge: &Edge) {
    assert_unharmed(edge.process());
    assert_eq!(edge.fetch("/no-such-page").await.unwrap().status(), 404);
    assert_eq!(edge.admin_fetch("/readyz").await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_and_holds_up_nobody() {
    let console = Console::echo().await;
    let stack = stack(&console).edge(|edge| edge.set("public.head_timeout", HEAD_TIMEOUT)).start().await;
    let edge = &stack.edge;
    let tls = Tls::trusting(edge.ca(), "localhost");
    let tls = &tls;
    let start = Instant::now();

    let nothing = async { Raw::plain(edge.address()).await.rest_within(CUT).await };
    let half_a_hello = async {
        let mut client = Raw::plain(edge.address()).await;
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await;
        client.rest_within(CUT).await
    };
    let after_tls = async { tls.connect(edge.address()).await.unwrap().rest_within(CUT).await };
    let half_a_head = async {
        let mut client = tls.connect(edge.address()).await.unwrap();
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Half: ").await;
        client.rest_within(CUT).await
    };
    let dripping = async {
        let client = tls.connect(edge.address()).await.unwrap();
        let (mut reading, mut writing) = tokio::io::split(client.0);
        let drip = async {
            let mut ticks = interval(Duration::from_millis(50));
            let _cut = writing.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n").await;
            while writing.write_all(b"x").await.is_ok() && writing.flush().await.is_ok() {
                ticks.tick().await;
            }
        };
        let mut came = Vec::new();
        let read =
            async { while tokio::io::AsyncReadExt::read_buf(&mut reading, &mut came).await.is_ok_and(|n| n > 0) {} };
        let both = async { tokio::join!(drip, read) };
        within(CUT, "cutting off a drip", both).await;
        came
    };
    let a_body_that_does_not_come = async {
        let mut client = tls.connect(edge.address()).await.unwrap();
        client.send(b"POST /api/console HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{").await;
        client.rest_within(CUT).await
    };
    let idle = async {
        let mut client = tls.connect(edge.address()).await.unwrap();
        client.send(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        client.rest_within(CUT).await
    };
    let crowd = join_all((0..200).map(|number| async move {
        let mut client = Raw::plain(edge.address()).await;
        client.send(&b"\x16\x03\x01"[..number % 4]).await;
        client.rest_within(CUT).await
    }));
    let meanwhile = async {
        let mut session = stack.open(CONSOLE).await;
        for round in 0..50_u32 {
            super::support::echo_through(&mut session, &round.to_be_bytes()).await;
        }
        session
    };
    let (nothing, half_a_hello, after_tls, half_a_head, dripping, body, idle, crowd, mut session) = tokio::join!(
        nothing,
        half_a_hello,
        after_tls,
        half_a_head,
        dripping,
        a_body_that_does_not_come,
        idle,
        crowd,
        meanwhile
    );
    assert!(start.elapsed() >= Duration::from_millis(1900), "they were not given their time");
    for (what, came) in [("nothing", &nothing), ("half a hello", &half_a_hello), ("TLS only", &after_tls)] {
        assert!(came.is_empty(), "{what} got {:?}", String::from_utf8_lossy(came));
    }
    assert!(crowd.iter().all(Vec::is_empty));
    for (what, came) in [("half a head", half_a_head), ("a drip", dripping)] {
        let statuses: Vec<u16> = replies(&came).iter().map(|reply| reply.status).collect();
        assert!(statuses.is_empty() || statuses == [408], "{what} got {statuses:?}");
    }
    assert_eq!(replies(&body)[0].status, 400);
    assert_eq!(replies(&idle).iter().map(|reply| reply.status).collect::<Vec<_>>(), [404]);
    // A session is not bound by the time for heads.
    super::support::echo_through(&mut session, b"long after").await;
    assert_serves(&stack).await;
}

#[tokio::test]
async fn heads_beyond_all_bounds_are_refused() {
    let ground = Ground::new().await;
    let (plain, tls) = edges(&ground).await;
    let host = "Host: localhost\r\n";
    let long = "x".repeat(1 << 20);
    let fields = |count: usize| (0..count).map(|number| format!("X-{number}: y\r\n")).collect::<Vec<_>>().concat();
    let cases = [
        ("a long field", format!("GET / HTTP/1.1\r\n{host}X-Long: {long}\r\n\r\n")),
        ("a long name", format!("GET / HTTP/1.1\r\n{host}{long}: y\r\n\r\n")),
        ("many fields", format!("GET / HTTP/1.1\r\n{host}{}\r\n", fields(100))),
        ("very many fields", format!("GET / HTTP/1.1\r\n{host}{}\r\n", fields(20_000))),
        ("a long path", format!("GET /{long} HTTP/1.1\r\n{host}\r\n")),
        ("a long query", format!("GET /console?token={long} HTTP/1.1\r\n{host}{UPGRADE}\r\n")),
        ("a long cookie", format!("GET / HTTP/1.1\r\n{host}{UPGRADE}Cookie: token={long}\r\n\r\n")),
        ("a long method", format!("{long} / HTTP/1.1\r\n{host}\r\n")),
        ("a long version", format!("GET / HTTP/{long}\r\n{host}\r\n")),
        ("no line at all", long.clone()),
        ("empty lines without end", "\r\n".repeat(1 << 19)),
    ];
    for edge in [&plain, &tls] {
        let before = edge.process().resident_memory();
        for (what, bytes) in &cases {
            let came = Raw::to(edge).await.exchange(bytes.as_bytes()).await;
            // Closing with bytes unread may reset the connection before the answer is read: none at all is fine.
            let statuses: Vec<u16> = replies(&came).iter().map(|reply| reply.status).collect();
            assert!(matches!(*statuses, [] | [400 | 408 | 414 | 431]), "{what}: {statuses:?}");
        }
        // Just within the bounds, all is well.
        let fits = format!("GET /x HTTP/1.1\r\n{host}{}Connection: close\r\n\r\n", fields(60));
        assert_eq!(Raw::to(edge).await.ask(&fits).await[0].status, 404);
        let crowd = join_all((0..100).map(|_| async {
            let mut client = Raw::to(edge).await;
            client.send(format!("GET / HTTP/1.1\r\n{host}X-Long: {}", "x".repeat(16_000)).as_bytes()).await;
            client
        }));
        let crowd = crowd.await;
        let grown = edge.process().resident_memory().saturating_sub(before);
        assert!(grown < 24 << 20, "{grown} bytes for {} heads", crowd.len());
        assert_answers(edge).await;
    }
}

#[tokio::test]
async fn what_is_not_http_gets_nothing_and_what_is_ambiguous_gets_one_answer() {
    let ground = Ground::new().await;
    let (plain, tls) = edges(&ground).await;

    // To the TLS port.
    let rubbish: Vec<u8> = (0..5000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    for (what, bytes) in [
        ("plain HTTP", &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..]),
        ("rubbish", &rubbish),
        ("SSH", b"SSH-2.0-OpenSSH_9.9\r\n"),
        ("a PROXY header", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n"),
        ("SSL 2", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"),
        ("a record too long", b"\x16\x03\x01\xff\xff"),
        ("an alert", b"\x15\x03\x01\x00\x02\x02\x28"),
    ] {
        let came = Raw::plain(tls.address()).await.exchange(bytes).await;
        assert!(came.is_empty() || came[0] == 0x15, "{what}: {:?}", String::from_utf8_lossy(&came));
    }
    let h2_only = Tls::new(tls.ca(), "localhost", None, &["h2"]);
    h2_only.connect(tls.address()).await.unwrap_err();
    let both = Tls::new(tls.ca(), "localhost", None, &["h2", "http/1.1"]);
    let reply = both
        .connect(tls.address())
        .await
        .unwrap()
        .ask("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(reply.await[0].status, 404);

    // Within TLS or without: nothing is understood by halves.
    let lines = |lines: &[&str]| format!("{}\r\n\r\n", lines.join("\r\n"));
    let refused = [
        ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_owned()),
        ("HTTP/0.9", "GET /\r\n\r\n".to_owned()),
        ("HTTP/2 in words", lines(&["GET / HTTP/2", "Host: localhost"])),
        ("a NUL in a field", lines(&["GET / HTTP/1.1", "Host: localhost", "X: a\0b"])),
        ("a NUL in the path", lines(&["GET /a\0b HTTP/1.1", "Host: localhost"])),
        ("a CR in a field", lines(&["GET / HTTP/1.1", "Host: localhost", "X: a\rY: b"])),
        ("a space in the path", lines(&["GET /a b HTTP/1.1", "Host: localhost"])),
        ("a space before the colon", lines(&["GET / HTTP/1.1", "Host : localhost"])),
        ("a folded field", lines(&["GET / HTTP/1.1", "Host: localhost", "X: a", " b"])),
        ("a field without a name", lines(&["GET / HTTP/1.1", "Host: localhost", ": b"])),
        ("two lengths", lines(&["POST /api/console HTTP/1.1", "Host: a", "Content-Length: 1", "Content-Length: 2"])),
        ("a negative length", lines(&["POST /api/console HTTP/1.1", "Host: a", "Content-Length: -1"])),
        ("an unknown coding", lines(&["POST /api/console HTTP/1.1", "Host: a", "Transfer-Encoding: xchunked"])),
        ("rubbish", String::from_utf8_lossy(&rubbish).into_owned()),
    ];
    for edge in [&plain, &tls] {
        for (what, bytes) in &refused {
            let came = Raw::to(edge).await.exchange(bytes.as_bytes()).await;
            let statuses: Vec<u16> = replies(&came).iter().map(|reply| reply.status).collect();
            assert!(matches!(*statuses, [] | [400 | 505]), "{what}: {statuses:?}");
        }
    }
    one_answer_each(&plain).await;
    questions(&plain).await;
    pipelined(&plain).await;
    assert_answers(&plain).await;
    assert_answers(&tls).await;
}

async fn ask(edge: &Edge, bytes: &str) -> Vec<Reply> {
    within(PATIENCE, bytes, Raw::to(edge).await.ask(bytes)).await
}

/// Where two readers could take one request for two, there is one answer, and the connection's end.
async fn one_answer_each(edge: &Edge) {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let post = "POST /api/console HTTP/1.1\r\nHost: localhost\r\n";
    let ambiguous = [
        format!("{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{smuggled}"),
        format!("{post}Content-Length: 5\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{smuggled}"),
        format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n{smuggled}"),
        format!(
            "POST /api/console HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n{smuggled}",
            smuggled.len()
        ),
        // A refused upgrade is the end, whatever else has come.
        format!("GET /console HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}\r\n{smuggled}"),
        format!("GET /console HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}Content-Length: 5\r\n\r\n{smuggled}"),
        format!(
            "GET /console HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
    ];
    for request in ambiguous {
        let replies = ask(edge, &request).await;
        let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
        assert!(statuses.len() == 1 && statuses[0] >= 400, "{request}\n{statuses:?}");
    }

    // Requests that name their target otherwise, or another one.
    let close = "Connection: close\r\n\r\n";
    for (request, status, reason) in [
        (format!("CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n{close}"), 405, "method_not_allowed"),
        (format!("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n{close}"), 405, "method_not_allowed"),
        (format!("TRACE / HTTP/1.1\r\nHost: localhost\r\nCookie: token=a\r\n{close}"), 405, "method_not_allowed"),
        (format!("GET http://evil.example/x HTTP/1.1\r\nHost: localhost\r\n{close}"), 404, "no_such_page"),
        (format!("GET https://localhost/console HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}\r\n"), 401, "missing_token"),
        (format!("GET //evil.example/x HTTP/1.1\r\nHost: localhost\r\n{close}"), 404, "no_such_page"),
        (format!("GET /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n{close}"), 404, "no_such_page"),
        (
            format!("GET /console?token=%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}\r\n"),
            401,
            "bad_signature",
        ),
        (format!("GET /console?token=a HTTP/1.1\r\n{UPGRADE}\r\n"), 400, "bad_request"),
        (format!("GET /console?token=a HTTP/1.1\r\nHost: a\r\nHost: b\r\n{UPGRADE}\r\n"), 400, "bad_request"),
        (format!("GET /console?token=a HTTP/1.1\r\nHost: a b\r\n{UPGRADE}\r\n"), 400, "bad_request"),
        (format!("GET /console?token=a HTTP/1.0\r\nHost: a\r\n{UPGRADE}\r\n"), 400, "bad_request"),
        (format!("POST /console?token=a HTTP/1.1\r\nHost: a\r\n{UPGRADE}\r\n"), 400, "bad_request"),
    ] {
        let replies = ask(edge, &request).await;
        assert_eq!(replies.len(), 1, "{request}");
        assert_eq!(replies[0].refusal(), (status, reason), "{request}");
        assert_eq!((replies[0].field("set-cookie"), replies[0].field("location")), (None, None), "{request}");
    }
}

/// `POST /api/console` with bodies that are no question.
async fn questions(edge: &Edge) {
    let long = format!("{{\"token\":\"{}\"}}", "a".repeat(5000));
    let padded = format!("{{\"token\":\"a.b.c\"}}{}", " ".repeat(5000));
    let nested = "[".repeat(4000);
    for (body, status, reason) in [
        ("", 400, "bad_request"),
        ("null", 400, "bad_request"),
        ("[]", 400, "bad_request"),
        ("{\"token\":7}", 400, "bad_request"),
        ("{\"token\":\"a\"", 400, "bad_request"),
        ("{\"token\":\"a.b.c\",\"binding\":\"short\"}", 400, "bad_request"),
        ("{\"token\":\"\\u0000\"}", 401, "bad_signature"),
        ("{\"token\":\"<script>alert(1)</script>\"}", 401, "bad_signature"),
        ("{\"token\":\"\"}", 401, "missing_token"),
        ("{\"token\":null}", 401, "missing_token"),
        (&long, 400, "bad_request"),
        (&padded, 400, "bad_request"),
        (&nested, 400, "bad_request"),
    ] {
        let head = "POST /api/console HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
        let whole = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        for request in [whole, chunked] {
            if body.is_empty() && request.contains("chunked") {
                // Its chunk would be the last one.
                continue;
            }
            let replies = ask(edge, &request).await;
            assert_eq!((replies.len(), replies[0].refusal()), (1, (status, reason)), "{body:.80}");
            assert_eq!(replies[0].field("content-type"), Some("application/json"), "{body:.80}");
            assert!(!replies[0].text().contains("script"), "{body:.80}");
        }
    }
}

/// Requests sent without waiting for answers are answered in order, with the last one's wish.
async fn pipelined(edge: &Edge) {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let post = "POST /api/console HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";
    let all = format!("{}{post}\r\n{}GET /c HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}\r\n", get("/a"), get("/b"));
    let reasons: Vec<(u16, String)> =
        ask(edge, &all).await.iter().map(|reply| (reply.status, reply.refusal().1.to_owned())).collect();
    let expected = [(404, "no_such_page"), (401, "missing_token"), (404, "no_such_page"), (401, "missing_token")];
    assert_eq!(reasons, expected.map(|(status, reason)| (status, reason.to_owned())));

    let hundreds = get("/x").repeat(500) + "GET /y HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(edge, &hundreds).await.len(), 501);
}
