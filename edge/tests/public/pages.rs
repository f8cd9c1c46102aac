//! What a browser gets that is no console.

use crate::support::{Client, Edge, Setup};

const PAGES: &[(&str, &str)] = &[("vnc_auto.html", "<!DOCTYPE html>vnc"), ("core/rfb.js", "export {}")];

async fn get(edge: &Edge, target: &str) -> (crate::support::Answer, String) {
    let mut client = Client::connect(edge).await;
    let answer = client.ask(&format!("GET {target} HTTP/1.1\r\nHost: edge.example\r\n\r\n")).await;
    let body = client.body(&answer).await;
    (answer, body)
}

#[tokio::test]
async fn pages_come_from_the_root_with_their_policy() {
    let edge = Edge::start(Setup {
        public: "frame_ancestors = [\"'self'\", 'https://dashboard.example']",
        pages: PAGES,
        ..Setup::default()
    })
    .await;
    let (answer, body) = get(&edge, "/vnc_auto.html?token=a.b.c").await;
    assert_eq!((answer.status, &*body), (200, "<!DOCTYPE html>vnc"));
    let policy = answer.field("content-security-policy").unwrap();
    assert_eq!(answer.field("cache-control"), Some("no-store"), "no cache may keep an address with a token");
    assert_eq!(get(&edge, "/vnc_auto.html").await.0.field("cache-control"), Some("no-cache"));
    assert!(policy.ends_with("frame-ancestors 'self' https://dashboard.example"), "{policy}");
    assert_eq!(get(&edge, "/core/rfb.js").await.0.field("content-type"), Some("text/javascript; charset=utf-8"));
    for target in ["//evil.example/..", "/%2e%2e/ca.pem", "/core", "/vnc_auto.html/"] {
        let (answer, body) = get(&edge, target).await;
        assert_eq!((answer.status, answer.field("location")), (404, None), "{target}");
        assert!(body.contains("There is no such page."));
    }
}

#[tokio::test]
async fn without_pages_a_console_link_gets_a_short_page_that_says_so() {
    let edge = Edge::start(Setup::default()).await;
    let (answer, body) = get(&edge, "/vnc_auto.html?token=a.b.c").await;
    assert_eq!((answer.status, answer.field("x-porthole-reason")), (404, Some("no_such_page")));
    assert!(body.contains("no page to show it in") && !body.contains("a.b.c"), "{body}");
    let (answer, body) = get(&edge, "/?token=a&token=b").await;
    assert_eq!((answer.status, answer.field("x-porthole-reason")), (400, Some("token_conflict")));
    assert!(body.contains("two different tokens"));
}

#[tokio::test]
async fn other_methods_are_named() {
    let edge = Edge::start(Setup { pages: PAGES, ..Setup::default() }).await;
    for (method, target, allow) in
        [("PUT", "/vnc_auto.html", "GET, HEAD"), ("OPTIONS", "/", "GET, HEAD"), ("GET", "/api/console", "POST")]
    {
        let mut client = Client::connect(&edge).await;
        let answer = client.ask(&format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!((answer.status, answer.field("allow")), (405, Some(allow)), "{method} {target}");
    }
}

#[tokio::test]
async fn a_connection_serves_several_pages_and_then_a_console() {
    let edge = Edge::start(Setup { pages: PAGES, ..Setup::default() }).await;
    let mut client = Client::connect(&edge).await;
    for _ in 0..3 {
        let answer = client.ask("GET /core/rfb.js HTTP/1.1\r\nHost: edge.example\r\n\r\n").await;
        assert_eq!((answer.status, &*client.body(&answer).await), (200, "export {}"));
    }
    assert_eq!(client.ask(&crate::support::upgrade(&edge.target(), "")).await.status, 101);
    assert_eq!(client.exactly(5).await, b"hello");
}
