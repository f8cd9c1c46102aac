//! An agent with the right certificate whose answers are not what the protocol says, or carry what is not for browsers.

use std::time::Duration;

use porthole_shared::reason::Reason;
use porthole_shared::token::SigningKey;
use porthole_shared::tunnel::WebSocketKey;
use porthole_tests::edge::Edge;
use porthole_tests::wait::within;
use porthole_tests::ws::Upgrade;
use serde_json::{Value, json};

use super::support::raw::Raw;
use super::support::reply::{assert_refused, assert_switched};
use super::support::stub::{Saying, Stub, Then, link, publishing, token};
use super::support::{Ground, assert_unharmed};

/// A key of our own, so that we know what must be answered to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Headers that would do something in a browser, or give away what is behind the edge.
const NOT_FOR_BROWSERS: &str = "Set-Cookie: token=stolen; Path=/\nLocation: https://evil.example/\n\
    Content-Security-Policy: default-src *\nServer: agent/1\nStrict-Transport-Security: max-age=0\nRefresh: 0;url=//evil\n\
    Access-Control-Allow-Origin: *\nClear-Site-Data: \"*\"\nLink: </x>; rel=preload\nAlt-Svc: h2=\"evil.example:443\"\n\
    X-Frame-Options: ALLOWALL\nReport-To: {}\nWWW-Authenticate: Basic\nVia: 1.1 agent\nX-Porthole-Debug: 1";

fn request(edge: &Edge, url: &str) -> Upgrade {
    edge.upgrade(url).without("Sec-WebSocket-Key").header("Sec-WebSocket-Key", KEY).protocols(&["binary"])
}

/// All that a client gets when it wants this console, byte for byte.
async fn got(edge: &Edge, request: &Upgrade) -> Vec<u8> {
    let asking = async { Raw::plain(edge.address()).await.exchange(&request.head()).await };
    // Far below the time that a slow agent gets.
    within(Duration::from_secs(9), "a refusal", asking).await
}

#[tokio::test]
async fn what_is_no_upgrade_is_refused_with_nothing_of_the_agents() {
    let ground = Ground::new().await;
    let stub = Stub::start("liar", &ground.pki).await;
    let edge = ground.edge("edge-1").await.plain_http().node(stub.node()).start().await.unwrap();

    let upgrade = |lines: &str| Saying::head(&format!("HTTP/1.1 101 Switching Protocols\n{lines}"));
    let answer = |status: &str, more: &str| Saying::head(&format!("HTTP/1.1 {status}\n{NOT_FOR_BROWSERS}\n{more}"));
    let right = "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Accept: {accept}";
    let megabyte = "x".repeat(1 << 20);
    let many_fields = "X-Field: 1\n".repeat(5000);
    let invalid = [
        ("200", answer("200 OK", "Content-Length: 6").and(b"hello\n")),
        ("200 without end", answer("200 OK", "Transfer-Encoding: chunked").then(Then::Forever(b"5\r\nhello\r\n"))),
        ("204", answer("204 No Content", "X: y")),
        ("302", answer("302 Found", "Content-Length: 0")),
        ("401 of its own", answer("401 Unauthorized", "Content-Length: 0")),
        ("500 with a page", answer("500 Internal Server Error", "Content-Length: 18").and(b"<script>x</script>")),
        ("101 for another key", upgrade("Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Accept: AAAA")),
        ("101 without accept", upgrade("Connection: Upgrade\nUpgrade: websocket")),
        ("101 with two", upgrade(&format!("{right}\nSec-WebSocket-Accept: AAAA"))),
        ("101 to h2c", upgrade("Connection: Upgrade\nUpgrade: h2c\nSec-WebSocket-Accept: {accept}")),
        ("101 without upgrade", upgrade("Connection: Upgrade\nSec-WebSocket-Accept: {accept}")),
        ("101 without connection", upgrade("Upgrade: websocket\nSec-WebSocket-Accept: {accept}")),
        ("another protocol", upgrade(&format!("{right}\nSec-WebSocket-Protocol: chat"))),
        ("two protocols", upgrade(&format!("{right}\nSec-WebSocket-Protocol: binary, chat"))),
        (
            "protocol twice",
            upgrade(&format!("{right}\nSec-WebSocket-Protocol: binary\nSec-WebSocket-Protocol: binary")),
        ),
        ("an extension", upgrade(&format!("{right}\nSec-WebSocket-Extensions: permessage-deflate"))),
        ("HTTP/1.0", Saying::head(&format!("HTTP/1.0 101 Switching Protocols\n{right}"))),
        ("a megabyte of header", upgrade(&format!("{right}\nX-Long: {megabyte}"))),
        ("headers without end", unfinished(right)),
        ("thousands of headers", upgrade(&format!("{many_fields}{right}"))),
        ("an unknown reason", answer("403 Forbidden", "X-Porthole-Reason: because\nContent-Length: 0")),
        ("a reason with markup", answer("403 Forbidden", "X-Porthole-Reason: <script>\nContent-Length: 0")),
        ("another status", answer("404 Not Found", "X-Porthole-Reason: used\nContent-Length: 0")),
        ("two reasons", answer("403 Forbidden", "X-Porthole-Reason: used\nX-Porthole-Reason: revoked")),
        ("a reason at 200", answer("200 OK", "X-Porthole-Reason: used\nContent-Length: 0")),
        ("a reason of the edge's", answer("403 Forbidden", "X-Porthole-Reason: origin_refused\nContent-Length: 0")),
        ("not HTTP", Saying::new("RFB 003.008\n\r\n\r\n", Then::Hold)),
        ("binary rubbish", Saying::new(vec![0, 255, 13, 10, 13, 10], Then::Hold)),
        ("a split header", upgrade(&format!("{right}\nX: a\rSet-Cookie: b"))),
        ("a NUL in a header", upgrade(&format!("{right}\nX: a\0b"))),
        ("HTTP/2", Saying::new("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Then::Hold)),
    ];
    for (what, saying) in invalid {
        stub.says(saying);
        let came = got(&edge, &request(&edge, &stub.link(&edge))).await;
        assert_refused(&came, Reason::AgentInvalid, what);
    }
    stub.says(Saying::switching("Sec-WebSocket-Protocol: binary"));
    let without = request(&edge, &stub.link(&edge)).without("Sec-WebSocket-Protocol");
    assert_refused(&got(&edge, &without).await, Reason::AgentInvalid, "a protocol that nobody offered");

    for (what, saying) in [
        ("hangs up", Saying::new("", Then::Close)),
        ("hangs up within its head", Saying::new("HTTP/1.1 101 Switching Protocols\r\nConn", Then::Close)),
    ] {
        stub.says(saying);
        assert_refused(&got(&edge, &request(&edge, &stub.link(&edge))).await, Reason::AgentUnreachable, what);
    }

    // Refusals in order, with all sorts of company.
    for (reason, end) in [
        (Reason::Used, Then::Hold),
        (Reason::NotRunning, Then::Close),
        (Reason::WrongNode, Then::Forever(b"body ")),
        (Reason::Full, Then::Drip(b"body ")),
        (Reason::BadRequest, Then::Hold),
    ] {
        let status = reason.status();
        let more = format!("X-Porthole-Reason: {reason}\nContent-Length: 1000000");
        stub.says(answer(&status.to_string(), &more).and(b"<script>alert(1)</script>").then(end));
        let came = got(&edge, &request(&edge, &stub.link(&edge))).await;
        if reason == Reason::BadRequest {
            // RFC 6455 section 4.4; see edge/src/serve/console.rs.
            assert!(String::from_utf8_lossy(&came).contains("sec-websocket-version: 13\r\n"));
            assert!(came.ends_with(b"\r\n\r\n") && !String::from_utf8_lossy(&came).contains("evil"));
        } else {
            assert_refused(&came, reason, "a refusal with company");
        }
    }
    assert_unharmed(edge.process());
}

/// Header lines without end.
fn unfinished(right: &str) -> Saying {
    let lines = format!("HTTP/1.1 101 Switching Protocols\r\n{}\r\n", right.replace('\n', "\r\n"));
    Saying::new(lines, Then::Forever(b"X: y\r\n"))
}

#[tokio::test]
async fn an_upgrade_brings_the_bytes_behind_it_and_none_of_its_headers() {
    let ground = Ground::new().await;
    let stub = Stub::start("liar", &ground.pki).await;
    let edge = ground.edge("edge-1").await.plain_http().node(stub.node()).start().await.unwrap();
    let accept = WebSocketKey::parse(KEY).unwrap().accept();

    let company = format!("{NOT_FOR_BROWSERS}\nContent-Length: 5\nContent-Type: text/html");
    for (binary, early) in [(true, 0), (true, 5), (false, 5), (true, 60_000), (true, 1 << 20)] {
        let early: Vec<u8> = (0..early).map(|at: u32| at.to_le_bytes()[at as usize % 4]).collect();
        let chosen = if binary { "\nSec-WebSocket-Protocol: binary" } else { "" };
        stub.says(Saying::switching(&format!("{company}{chosen}")).and(&early));
        let mut client = Raw::plain(edge.address()).await;
        // Bytes behind the request go the other way, in order, too.
        let mut bytes = request(&edge, &stub.link(&edge)).head();
        bytes.extend(b"pipelined");
        client.send(&bytes).await;
        assert_switched(&client.head().await, &accept, binary, "an upgrade with company");
        assert!(client.take(early.len()).await == early, "{} early bytes came otherwise", early.len());
        client.send(b", then more").await;
        assert_eq!(client.take(20).await, b"pipelined, then more");
    }

    // What the agent is told is the edge's own, whatever the client says.
    let forged = request(&edge, &stub.link(&edge))
        .header("Authorization", "Bearer aa.bb.cc")
        .header("Porthole-Client-Address", "192.0.2.1:1")
        .header("Porthole-Client-Tls", "TLSv1.3")
        .header("Porthole-Edge-Instance", "00000000-0000-4000-8000-000000000000")
        .header("Porthole-Binding", &"A".repeat(43))
        .header("X-Forwarded-For", "192.0.2.1")
        .header("Forwarded", "for=192.0.2.1")
        .header("Cookie", "session=secret")
        .header("Sec-WebSocket-Extensions", "permessage-deflate")
        .header("User-Agent", "x");
    let mut client = Raw::plain(edge.address()).await;
    client.send(&forged.head()).await;
    client.head().await;
    let asked = stub.asked();
    let asked = asked.last().unwrap();
    let mut names: Vec<&str> = asked.lines().skip(1).filter_map(|line| line.split_once(':')).map(|it| it.0).collect();
    names.sort_unstable();
    let own = [
        "authorization",
        "connection",
        "host",
        "porthole-client-address",
        "porthole-edge-instance",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "upgrade",
    ];
    assert_eq!(names, own);
    for forgery in ["aa.bb.cc", "192.0.2.1", "00000000-0000", "secret"] {
        assert!(!asked.contains(forgery), "{asked}");
    }
    assert_unharmed(edge.process());
}

#[tokio::test]
async fn keys_and_inspections_are_believed_only_where_they_fit() {
    let ground = Ground::new().await;
    let stranger = SigningKey::generate().unwrap().0;
    let many: Vec<SigningKey> = (0..17).map(|_| SigningKey::generate().unwrap().0).collect();
    let json = |body: &str| {
        Saying::head(&format!("HTTP/1.1 200 OK\ncontent-type: application/json\ncontent-length: {}", body.len()))
            .and(body.as_bytes())
    };
    let redirect = Saying::head("HTTP/1.1 307 Temporary Redirect\nLocation: https://127.0.0.1:1/\ncontent-length: 0");
    let endless = Saying::head("HTTP/1.1 200 OK\ntransfer-encoding: chunked").then(Then::Forever(b"5\r\nhello\r\n"));
    let published = [
        ("rubbish", json("<html>"), Reason::AgentInvalid),
        ("endless", endless.clone(), Reason::AgentInvalid),
        ("no-keys", json("{\"keys\":[]}"), Reason::BadSignature),
        ("too-many", publishing(&many), Reason::AgentInvalid),
        ("redirects", redirect, Reason::AgentInvalid),
        ("strangers", publishing([&stranger]), Reason::BadSignature),
        ("refuses", Saying::head("HTTP/1.1 403 Forbidden\nX-Porthole-Reason: used"), Reason::AgentUnreachable),
        (
            "garbled",
            Saying::new("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", Then::Hold),
            Reason::AgentInvalid,
        ),
    ];
    let mut edge = ground.edge("edge-1").await.plain_http();
    let mut stubs = Vec::new();
    for (name, saying, reason) in published {
        let stub = Stub::start(name, &ground.pki).await;
        stub.publishes(saying);
        edge = edge.node(stub.node());
        stubs.push((stub, reason));
    }
    let (liar, honest) = (Stub::start("liar", &ground.pki).await, Stub::start("honest", &ground.pki).await);
    let edge = edge.node(liar.node()).node(honest.node()).start().await.unwrap();
    for (stub, reason) in &stubs {
        let came = got(&edge, &request(&edge, &stub.link(&edge))).await;
        assert_refused(&came, *reason, &stub.node().name);
    }

    // A token in the name of one node, with the key of another.
    for key in [liar.key(), &stranger] {
        let url = link(&edge, &token("honest", key));
        assert_refused(&got(&edge, &request(&edge, &url)).await, Reason::BadSignature, "another node's key");
    }
    // The other node publishes that key, even under the right id; it counts for its own tokens only.
    liar.publishes(publishing([liar.key(), honest.key()]));
    let url = link(&edge, &token("honest", liar.key()));
    assert_refused(&got(&edge, &request(&edge, &url)).await, Reason::BadSignature, "a key published elsewhere");
    assert_eq!(honest.asked().len(), 0, "nobody was admitted there");
    let session = edge.upgrade(&honest.link(&edge)).protocols(&["binary"]).open().await;
    assert_eq!(session.head().status, 101);

    // What a token is for: fields of ours, or a refusal in our own words.
    let fields = json!({"kind": "tcp", "name": "far-end", "redeem_by": 1_900_000_000, "expires": 1_900_000_001});
    let mut more = fields.clone();
    more["html"] = "<script>".into();
    honest.explains(json(&more.to_string()));
    let question = json!({ "token": honest.token() });
    let answer = edge.inspect(&question).await.unwrap();
    assert_eq!(answer.status(), 200);
    let explained: Value = serde_json::from_slice(answer.body()).unwrap();
    let expected = json!({"kind": "tcp", "name": "far-end", "redeem_by": "2030-03-17T17:46:40Z",
                          "expires": "2030-03-17T17:46:41Z", "read_only": false, "force": false});
    assert_eq!(explained, expected);
    let with = |name: &str, value: Value| {
        let mut changed = fields.clone();
        changed[name] = value;
        json(&changed.to_string())
    };
    for saying in [
        json("{}"),
        json("null"),
        json(&"[".repeat(60_000)),
        json(&format!("\"{}\"", "x".repeat(70_000))),
        endless,
        with("kind", "floppy".into()),
        with("name", "<script>alert(1)</script>\u{7}".into()),
        with("redeem_by", "soon".into()),
        Saying::switching(""),
        Saying::head("HTTP/1.1 404 Not Found\nX-Porthole-Reason: used\nSet-Cookie: a=b"),
    ] {
        let what = format!("{saying:?}");
        honest.explains(saying);
        let answer = edge.inspect(&question).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers().get("set-cookie")), (502, None), "{what:.200}");
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(body["reason"], "agent_invalid", "{what:.200}");
    }
    honest.explains(Saying::head("HTTP/1.1 403 Forbidden\nX-Porthole-Reason: used\nSet-Cookie: a=b"));
    let answer = edge.inspect(&question).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers().get("set-cookie")), (403, None));
    assert_unharmed(edge.process());
}

#[tokio::test]
async fn only_the_very_node_is_spoken_with() {
    let ground = Ground::new().await;
    let stub = Stub::start("mine", &ground.pki).await;
    let builder = ground.edge("edge-1").await.node(stub.node());
    let edge = builder.start().await.unwrap();
    let reason =
        async |stub: &Stub| edge.upgrade(&stub.link(&edge)).protocols(&["binary"]).send().await.unwrap().refusal().1;
    let opens = async || {
        let mut session = edge.upgrade(&stub.link(&edge)).protocols(&["binary"]).open().await;
        session.send_binary(b"x").await.unwrap();
        assert_eq!(session.next_frame().await.unwrap().unwrap().payload, b"x");
    };
    opens().await;

    let other_ca = porthole_tests::pki::Pki::open(&ground.directory.path().join("other-ca")).await.unwrap();
    let impostors = [
        ("another node's", ground.pki.agent("yours").await.unwrap()),
        ("a longer name's", ground.pki.agent("mine.evil").await.unwrap()),
        ("an edge's", ground.pki.edge("mine").await.unwrap()),
        ("another CA's", {
            let mut files = other_ca.agent("mine").await.unwrap();
            // It asks for certificates of the right CA; only its own is of the other.
            files.ca = ground.pki.ca();
            files
        }),
    ];
    let asked = stub.asked().len();
    for (whose, files) in &impostors {
        stub.show(files);
        assert_eq!(reason(&stub).await, "agent_unreachable", "{whose}");
    }
    assert_eq!(stub.asked().len(), asked, "an impostor was told a token");
    stub.show(&ground.pki.agent("mine").await.unwrap());
    opens().await;

    // An impostor from the start is not asked for keys either.
    let impostor = Stub::start("sheep", &ground.pki).await;
    impostor.show(&ground.pki.agent("wolf").await.unwrap());
    edge.write_nodes(&[stub.node(), impostor.node()]).unwrap();
    porthole_tests::wait::eventually(super::support::NOTICED, "the new node", async || {
        reason(&impostor).await == "agent_unreachable"
    })
    .await;
    assert_eq!(impostor.fetches(), 0);
    assert_unharmed(edge.process());
}
