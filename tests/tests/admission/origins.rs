//! Which pages may open a console: the `Origin` of an upgrade against the host that it addresses.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use porthole_tests::agent::Mint;
use porthole_tests::edge::Edge;
use porthole_tests::stack::Stack;
use porthole_tests::ws::Upgrade;
use serde_json::json;

use crate::support::{Console, GREETING, NAME, refusal, refused};

/// Opens, or is refused for its origin.
async fn check(request: &Upgrade, opens: bool, what: &str) {
    if opens {
        assert_eq!(request.open().await.binary().await, GREETING, "{what}");
    } else {
        assert_eq!(refusal(request).await, refused(403, "origin_refused"), "{what}");
    }
}

#[tokio::test]
async fn the_addressed_host_and_listed_ones_may() {
    let console = Console::listen().await;
    let allowed = vec!["dashboard.example.org", "[2001:db8::7]"];
    let stack = Stack::builder().agent(console.configured());
    let stack = stack.edge(move |edge| edge.set("public.allowed_origins", allowed)).start().await;
    let console = console.echo();
    let link = stack.mint(Mint::of(NAME).policy("reusable")).await;
    let to = |host: &str| stack.upgrade(&link).without("Host").header("Host", host);

    check(&stack.upgrade(&link), true, "none").await;
    for (host, origin, opens) in [
        ("c.example.org", "https://c.example.org", true),
        ("c.example.org:6080", "https://C.Example.ORG:8443", true),
        ("C.EXAMPLE.org", "https://c.example.org", true),
        ("192.0.2.1:6080", "https://192.0.2.1", true),
        ("[::1]:6080", "https://[::1]", true),
        ("[2001:db8::1]", "https://[2001:DB8:0:0::1]:443", true),
        ("c.example.org", "https://dashboard.example.org", true),
        ("c.example.org", "https://DASHBOARD.example.org:99", true),
        ("c.example.org", "https://[2001:db8:0::7]:99", true),
        ("c.example.org", "", false),
        ("c.example.org", "null", false),
        ("c.example.org", "https://", false),
        ("c.example.org", "https:", false),
        ("c.example.org", "https://:443", false),
        ("c.example.org", "c.example.org", false),
        ("c.example.org", "//c.example.org", false),
        ("c.example.org", "file://", false),
        ("c.example.org", "http://c.example.org", false),
        ("c.example.org", "http://dashboard.example.org", false),
        ("c.example.org", "wss://c.example.org", false),
        ("c.example.org", "https://evil.example", false),
        ("c.example.org", "https://c.example.org.evil.example", false),
        ("c.example.org", "https://evil-c.example.org", false),
        ("c.example.org", "https://c.example.org@evil.example", false),
        ("c.example.org", "https://evil.example/c.example.org", false),
        ("c.example.org", "https://c.example.org, https://evil.example", false),
        ("[2001:db8::1]", "https://[2001:db8::2]", false),
        ("192.0.2.1", "https://192.0.2.10", false),
        ("localhost", "https://127.0.0.1", false),
    ] {
        check(&to(host).origin(origin), opens, &format!("{origin:?} at {host}")).await;
    }
    let twice = to("c.example.org").origin("https://c.example.org").origin("https://evil.example");
    check(&twice, false, "two").await;
    let forwarded = to("c.example.org").origin("https://evil.example").header("X-Forwarded-Host", "evil.example");
    check(&forwarded, false, "what a proxy might have said").await;
    assert_eq!(console.connections(), 10);

    // The question what a link is for is held to the same rule.
    for (origin, status) in [("https://localhost", 200), ("https://dashboard.example.org", 200), ("null", 403)] {
        let question = Full::new(Bytes::from(json!({ "token": link.token }).to_string()));
        let question = Request::post("/api/console").header("origin", origin).body(question).unwrap();
        assert_eq!(stack.edge.request(question).await.unwrap().status(), status, "{origin}");
    }
}

#[tokio::test]
async fn http_pages_may_where_people_come_by_http() {
    let console = Console::listen().await;
    let stack = Stack::builder().agent(console.configured()).start().await;
    let _console = console.echo();
    let link = stack.mint(Mint::of(NAME).policy("reusable")).await;
    let edge = async |name: &str, scheme: &str| {
        let edge = Edge::builder(&stack.directory().join(name), name, &stack.pki).await.unwrap();
        edge.plain_http().set("public.scheme", scheme).node(&stack.agent).start().await.unwrap()
    };
    for (scheme, http_opens) in [("http", true), ("https", false)] {
        let edge = edge(&format!("plain-{scheme}"), scheme).await;
        let to = || edge.upgrade(&format!("{}/?token={}", edge.url(), link.token)).protocols(&["binary"]);
        check(&to(), true, scheme).await;
        check(&to().origin("https://localhost:1"), true, scheme).await;
        check(&to().origin("http://LOCALHOST:6080"), http_opens, scheme).await;
        check(&to().origin("http://evil.example"), false, scheme).await;
        check(&to().origin("null"), false, scheme).await;
    }
}
