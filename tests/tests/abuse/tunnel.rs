//! Strangers, and edges that misbehave, at an agent's tunnel.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use porthole_shared::names::EdgeInstance;
use porthole_tests::pki::{Files, Pki};
use porthole_tests::tls::Client;
use porthole_tests::wait::{PATIENCE, eventually};

use super::support::console::Console;
use super::support::raw::{Raw, Tls, tcp};
use super::support::reply::{Reply, replies};
use super::support::{CONSOLE, assert_serves, echo_through, stack};

const JWKS: &str = "GET /tunnel/v1/jwks HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n";

/// A peer of the agent with this identity; the agent is known by `ca`.
fn peer(ca: &Path, identity: Option<&Files>) -> Tls {
    Tls::new(ca, "127.0.0.1", identity.map(|files| (files.certificate.as_path(), files.key.as_path())), &["http/1.1"])
}

/// What HTTP such a peer gets to hear. In TLS 1.3 a refused certificate shows after the handshake.
async fn heard(peer: &Tls, address: SocketAddr, request: &str) -> Vec<u8> {
    match peer.connect(address).await {
        Ok(connection) => connection.exchange(request.as_bytes()).await,
        Err(_refused) => Vec::new(),
    }
}

#[tokio::test]
async fn whoever_is_no_edge_is_told_nothing() {
    let console = Console::echo().await;
    let stack = stack(&console)
        .agent(|agent| {
            agent
                .set("tunnel.denied", vec!["edge-stolen"])
                .set("tunnel.handshake_timeout", "2s")
                .set("tunnel.max_connections", 64)
        })
        .start()
        .await;
    let (pki, address) = (&stack.pki, stack.agent.tunnel());
    let other = Pki::open(&stack.directory().join("other-ca")).await.unwrap();
    let ca = pki.ca();
    let good = pki.edge("edge-1").await.unwrap();
    assert_eq!(replies(&heard(&peer(&ca, Some(&good)), address, JWKS).await)[0].status, 200);

    for (who, identity) in [
        ("nobody", None),
        ("another CA's edge", Some(other.edge("edge-1").await.unwrap())),
        ("an agent", Some(pki.agent("compute-2").await.unwrap())),
        ("the agent itself", Some(pki.agent("compute-1").await.unwrap())),
        ("a denied edge", Some(pki.edge("edge-stolen").await.unwrap())),
        ("a web server", Some(pki.public().await.unwrap())),
    ] {
        let peer = peer(&ca, identity.as_ref());
        // Twice, for the second time a session may be resumed.
        for _ in 0..2 {
            assert_eq!(heard(&peer, address, JWKS).await, b"", "{who}");
        }
    }
    // TLS 1.2 is not spoken here.
    let old = Client { ca: &ca, identity: Some((&good.certificate, &good.key)), versions: &[&rustls::version::TLS12] };
    old.connect("127.0.0.1", tcp(address).await).await.unwrap_err();

    // What is no TLS gets an alert at most, and what does not finish is cut.
    for bytes in [&b"GET /tunnel/v1/jwks HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"\0\0\0\0\0\0\0\0", b"\x16\x03\x01\xff\xff"]
    {
        let came = Raw::plain(address).await.exchange(bytes).await;
        assert!(came.is_empty() || came[0] == 0x15, "{:?}", String::from_utf8_lossy(&came));
    }
    let mut session = stack.open(CONSOLE).await;
    let crowd = join_all((0..150).map(|number: usize| async move {
        let mut stranger = Raw::plain(address).await;
        stranger.send(&b"\x16\x03\x01\x02\x00"[..number % 6]).await;
        stranger.rest_within(PATIENCE).await
    }));
    let beside = async {
        for round in 0..100_u32 {
            echo_through(&mut session, &round.to_be_bytes()).await;
        }
    };
    let (crowd, ()) = tokio::join!(crowd, beside);
    assert!(crowd.iter().all(|came| came.is_empty() || came[0] == 0x15));
    assert!(stack.agent.log().contains("max_connections"), "the log names the setting");
    // As soon as they are cut, edges have room again.
    eventually(PATIENCE, "room for edges", async || {
        heard(&peer(&ca, Some(&good)), address, JWKS).await.starts_with(b"HTTP/1.1 200")
    })
    .await;
    assert_serves(&stack).await;
}

#[tokio::test]
async fn an_edge_gets_only_what_the_tunnel_has() {
    let console = Console::echo().await;
    let stack = stack(&console).start().await;
    let address = stack.agent.tunnel();
    let edge = peer(&stack.pki.ca(), Some(&stack.pki.edge("edge-2").await.unwrap()));
    let ask = async |request: String| -> Vec<Reply> {
        let connection = edge.connect(address).await.unwrap();
        replies(&connection.exchange(request.as_bytes()).await)
    };
    let plain = |method: &str, path: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: agent\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    };

    // Nothing of the API, nor of anything else.
    for path in [
        "/v1/status",
        "/v1/consoles",
        "/v1/tokens",
        "/v1/sessions",
        "/v1/signing-keys/rotate",
        "/",
        "/tunnel/v1",
        "/tunnel/v1/",
        "/tunnel/v1/jwks/",
        "/tunnel/v2/jwks",
        "/tunnel/v1/../../v1/status",
        "//tunnel/v1/jwks",
        "/tunnel/v1/%6awks",
        "/metrics",
        "/healthz",
        "*",
    ] {
        for method in ["GET", "POST", "DELETE", "OPTIONS"] {
            let replies = ask(plain(method, path)).await;
            assert!(replies.len() == 1 && matches!(replies[0].status, 404 | 400), "{method} {path}: {replies:?}");
            assert_eq!(replies[0].body, b"", "{method} {path}");
        }
    }
    for (method, path, allowed) in [
        ("POST", "/tunnel/v1/console", "GET"),
        ("PUT", "/tunnel/v1/console", "GET"),
        ("GET", "/tunnel/v1/inspect", "POST"),
        ("PATCH", "/tunnel/v1/drain", "POST"),
        ("DELETE", "/tunnel/v1/drain", "POST"),
        ("POST", "/tunnel/v1/jwks", "GET"),
        ("CONNECT", "agent:1", ""),
    ] {
        let replies = ask(plain(method, path)).await;
        if allowed.is_empty() {
            assert_eq!(replies[0].status, 404, "{method} {path}");
        } else {
            assert_eq!((replies[0].refusal(), replies[0].field("allow")), ((405, "method_not_allowed"), Some(allowed)));
        }
    }

    // Heads and bodies beyond the bounds.
    let long = "x".repeat(1 << 20);
    let fields = (0..100).map(|number| format!("X-{number}: y\r\n")).collect::<Vec<_>>().concat();
    for request in [
        format!("GET /tunnel/v1/jwks HTTP/1.1\r\nHost: a\r\nX-Long: {long}\r\n\r\n"),
        format!("GET /tunnel/v1/jwks HTTP/1.1\r\nHost: a\r\n{fields}\r\n"),
        format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "RFB 003.008\r\n\r\n".to_owned(),
        "GET /tunnel/v1/jwks HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n".to_owned(),
    ] {
        let replies = ask(request).await;
        let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
        assert!(matches!(*statuses, [] | [400 | 414 | 431]), "{statuses:?}");
    }
    let instance = EdgeInstance::random();
    let drain = |length: usize, body: &str| {
        format!(
            "POST /tunnel/v1/drain HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let good = format!("{{\"instance\":\"{instance}\"}}");
    assert_eq!(ask(drain(good.len(), &good)).await[0].text(), "{\"closed\":0}");
    let padded = format!("{good}{}", " ".repeat(100_000));
    let nested = "[".repeat(60_000);
    for body in ["", "{}", "null", "{\"instance\":7}", "{\"instance\":\"all\"}", &nested, &padded] {
        assert_eq!(ask(drain(body.len(), body)).await[0].refusal(), (400, "bad_request"), "{body:.40}");
    }
    // Announced, and never sent.
    let (soon, never) = tokio::join!(ask(drain(5, "{")), ask(drain(50_000_000_000, "{")));
    for replies in [soon, never] {
        assert_eq!(replies[0].refusal(), (400, "bad_request"));
    }

    // A console is not opened for what only resembles a request for one.
    let link = stack.mint(CONSOLE).await;
    let fields = [
        ("Upgrade", "websocket".to_owned()),
        ("Sec-WebSocket-Version", "13".to_owned()),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==".to_owned()),
        ("Authorization", format!("Bearer {}", link.token)),
        ("Porthole-Client-Address", "192.0.2.7:7".to_owned()),
        ("Porthole-Edge-Instance", instance.to_string()),
    ];
    let head = |version: &str, change: &dyn Fn(&str, &str) -> Option<String>| {
        let mut head = format!("GET /tunnel/v1/console HTTP/{version}\r\nHost: a\r\nConnection: Upgrade\r\n");
        for (name, value) in &fields {
            head.extend(change(name, value).map(|value| format!("{name}: {value}\r\n")));
        }
        head + "\r\n"
    };
    for (name, _) in &fields {
        let without = head("1.1", &|it, value| (it != *name).then(|| value.to_owned()));
        let twice = head("1.1", &|it, value| {
            Some(if it == *name { format!("{value}\r\n{it}: {value}") } else { value.to_owned() })
        });
        let wrong = head("1.1", &|it, value| Some(if it == *name { "\"".to_owned() } else { value.to_owned() }));
        for request in [without, twice, wrong] {
            let mut connection = edge.connect(address).await.unwrap();
            connection.send(request.as_bytes()).await;
            let came = connection.head().await;
            assert!(came.starts_with(b"HTTP/1.1 400 "), "{name}: {}", String::from_utf8_lossy(&came));
        }
    }
    let old = head("1.0", &|_, value| Some(value.to_owned()));
    let came = edge.connect(address).await.unwrap().exchange(old.as_bytes()).await;
    assert!(
        came.starts_with(b"HTTP/1.0 400 ") || came.starts_with(b"HTTP/1.1 400 "),
        "{}",
        String::from_utf8_lossy(&came)
    );

    // The link is still good: none of these has used it up. The address is the one that the edge gave.
    let mut connection = edge.connect(address).await.unwrap();
    connection.send(head("1.1", &|_, value| Some(value.to_owned())).as_bytes()).await;
    assert!(connection.head().await.starts_with(b"HTTP/1.1 101 "));
    let sessions = stack.agent.sessions().await;
    assert_eq!((&sessions[0]["client_address"], &sessions[0]["edge"]), (&"192.0.2.7:7".into(), &"edge-2".into()));

    // Another edge's drain is not this one's; its own ends its session.
    let another = format!("{{\"instance\":\"{}\"}}", EdgeInstance::random());
    assert_eq!(ask(drain(another.len(), &another)).await[0].text(), "{\"closed\":0}");
    assert_eq!(stack.agent.sessions().await.len(), 1);
    assert_eq!(ask(drain(good.len(), &good)).await[0].text(), "{\"closed\":1}");
    drop(connection);
    eventually(Duration::from_secs(15), "the session's end", async || stack.agent.sessions().await.is_empty()).await;
    assert_serves(&stack).await;
}
