//! What a browser gets that is no console.

use crate::support::{Client, Edge, Setup};

const PAGES: &[(&str, &str)] = &[
    ("index.html", "<!DOCTYPE html>index"),
    ("vnc_auto.html", "<!DOCTYPE html>vnc"),
    ("console.html", "<!DOCTYPE html>console"),
    ("core/rfb.js", "export {}"),
    ("core/rfb.js.gz", "packed"),
];

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
async fn a_page_needs_no_html_in_its_address() {
    let edge = Edge::start(Setup { pages: PAGES, ..Setup::default() }).await;
    for (target, body) in [
        ("/console?token=a.b.c", "<!DOCTYPE html>console"),
        ("/", "<!DOCTYPE html>index"),
        ("/index", "<!DOCTYPE html>index"),
    ] {
        let (answer, page) = get(&edge, target).await;
        assert_eq!((answer.status, &*page), (200, body), "{target}");
        assert_eq!(answer.field("content-type"), Some("text/html; charset=utf-8"), "{target}");
    }
    for target in ["/api", "/console/", "/core/rfb", "/.console"] {
        assert_eq!(get(&edge, target).await.0.status, 404, "{target}");
    }
}

#[tokio::test]
async fn a_browser_gets_files_packed() {
    let edge = Edge::start(Setup { pages: PAGES, ..Setup::default() }).await;
    let mut client = Client::connect(&edge).await;
    let request = "GET /core/rfb.js HTTP/1.1\r\nHost: edge.example\r\nAccept-Encoding: gzip, deflate, br\r\n\r\n";
    let answer = client.ask(request).await;
    assert_eq!((answer.field("content-encoding"), &*client.body(&answer).await), (Some("gzip"), "packed"));
}

#[tokio::test]
async fn pages_are_told_every_reason() {
    let edge = Edge::start(Setup::default()).await;
    let (answer, body) = get(&edge, "/api/reasons").await;
    assert_eq!((answer.status, answer.field("content-type")), (200, Some("application/json")));
    assert_eq!(answer.field("cache-control"), Some("public, max-age=300"));
    assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
    let table: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(table["used"]["words"], "This link was already used.");
    assert_eq!(table["used"]["retry"], "never");
    assert_eq!(table["edge_draining"]["retry"], "by_itself");

    let mut client = Client::connect(&edge).await;
    let answer = client.ask("HEAD /api/reasons HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((answer.status, answer.field("content-length")), (200, Some(&*body.len().to_string())));
    // Nothing came behind the head: the next answer is read whole.
    assert_eq!(client.ask("POST /api/reasons HTTP/1.1\r\nHost: a\r\n\r\n").await.field("allow"), Some("GET, HEAD"));
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
async fn a_page_of_an_allowed_origin_may_ask_what_a_token_is_for_and_read_the_answer() {
    let edge = Edge::start(Setup { public: "allowed_origins = ['dashboard.example']", ..Setup::default() }).await;
    let question = format!("{{\"token\":\"{}\"}}", edge.agent.token().expose());
    let ask = async |method: &str, target: &str, origin: &str, body: &str| {
        let mut client = Client::connect(&edge).await;
        let length = body.len();
        let answer = client
            .ask(&format!(
                "{method} {target} HTTP/1.1\r\nHost: edge.example\r\nOrigin: {origin}\r\nContent-Length: {length}\r\n\
                 Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n\r\n{body}"
            ))
            .await;
        let field = |name| answer.field(name).map(str::to_owned);
        let shared = [field("access-control-allow-origin"), field("access-control-allow-methods")];
        (answer.status, shared, field("access-control-allow-headers"), field("vary"))
    };
    let (path, dashboard, evil) = ("/api/console", "https://dashboard.example:8443", "https://evil.example");
    let (text, vary) = (|text: &str| Some(text.to_owned()), Some("origin".to_owned()));

    let allowed = [text(dashboard), text("POST")];
    assert_eq!(ask("OPTIONS", path, dashboard, "").await, (204, allowed, text("content-type"), vary.clone()));
    let readable = [text(dashboard), None];
    assert_eq!(ask("POST", path, dashboard, &question).await, (200, readable.clone(), None, vary.clone()));
    // Why not is for that page, too.
    assert_eq!(ask("POST", path, dashboard, "{}").await, (401, readable, None, vary.clone()));
    for method in ["OPTIONS", "POST"] {
        assert_eq!(ask(method, path, evil, "").await, (403, [None, None], None, vary.clone()), "{method}");
    }
    assert_eq!(ask("OPTIONS", "/other", dashboard, "").await, (405, [None, None], None, None));
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
