//! The pages: what is served below `web_root`, and that nothing else is.

use std::os::unix::fs::symlink;
use std::path::Path;

use porthole_tests::edge::{Edge, Node};

use super::support::raw::Raw;
use super::support::reply::{Reply, bodiless};
use super::support::{Ground, assert_unharmed};

const SECRET: &str = "not for you";

fn make_site(root: &Path) {
    std::fs::create_dir_all(root.join("core/.git")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(root.join(name), text).unwrap();
    write("index.html", "<!DOCTYPE html><title>start</title>");
    write("vnc_auto.html", "<!DOCTYPE html><title>console</title>");
    write("core/rfb.js", "export default 1;");
    write("core/a b.css", "p{}");
    write("app.0123456789abcdef.js", "1");
    write("picture.svg", "<svg/>");
    write("LICENSE.txt", "text");
    write("core/.git/config", SECRET);
    write(".env", SECRET);
    let outside = root.parent().unwrap();
    std::fs::write(outside.join("secret.txt"), SECRET).unwrap();
    symlink(outside.join("secret.txt"), root.join("out.txt")).unwrap();
    symlink(outside, root.join("up")).unwrap();
    symlink("/etc", root.join("etc")).unwrap();
    symlink("index.html", root.join("inside.html")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    nix::unistd::mkfifo(&root.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
}

async fn get(edge: &Edge, target: &str, more: &str) -> Reply {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n");
    let mut replies = Raw::to(edge).await.ask(&request).await;
    assert_eq!(replies.len(), 1, "{target}");
    replies.remove(0)
}

/// What every answer with a body has.
fn assert_hardened(reply: &Reply, target: &str) {
    assert_eq!(reply.field("x-content-type-options"), Some("nosniff"), "{target}");
    assert_eq!(reply.field("referrer-policy"), Some("no-referrer"), "{target}");
    let policy = reply.field("content-security-policy").unwrap_or_else(|| panic!("{target} without a policy"));
    assert!(policy.contains("frame-ancestors 'self' https://dashboard.example.org"), "{policy}");
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(
        (reply.field("server"), reply.field("set-cookie"), reply.field("location")),
        (None, None, None),
        "{target}"
    );
}

#[tokio::test]
async fn files_are_served_as_what_they_are_and_nothing_else_is() {
    let ground = Ground::new().await;
    let root = ground.directory.path().join("site/web");
    std::fs::create_dir_all(&root).unwrap();
    make_site(&root);
    let ancestors = vec!["'self'", "https://dashboard.example.org"];
    let node = Node::new("compute-1", "127.0.0.1:1");
    let builder = ground.edge("edge-1").await.node(node).set("public.web_root", root.to_string_lossy().into_owned());
    let edge = builder.set("public.frame_ancestors", ancestors).start().await.unwrap();

    for (target, kind, body) in [
        ("/", "text/html; charset=utf-8", "<!DOCTYPE html><title>start</title>"),
        ("/vnc_auto.html?path=websockify", "text/html; charset=utf-8", "<!DOCTYPE html><title>console</title>"),
        ("/core/rfb.js", "text/javascript; charset=utf-8", "export default 1;"),
        ("/core/a%20b.css", "text/css; charset=utf-8", "p{}"),
        ("/picture.svg", "image/svg+xml", "<svg/>"),
        ("/LICENSE.txt", "text/plain; charset=utf-8", "text"),
        ("/vnc_auto", "text/html; charset=utf-8", "<!DOCTYPE html><title>console</title>"),
        ("/inside.html", "text/html; charset=utf-8", "<!DOCTYPE html><title>start</title>"),
    ] {
        let reply = get(&edge, target, "").await;
        assert_eq!((reply.status, reply.field("content-type"), reply.text()), (200, Some(kind), body), "{target}");
        assert_eq!(reply.field("cache-control"), Some("no-cache"), "{target}");
        assert_hardened(&reply, target);
        // The same by HEAD, and from the browser's own copy.
        let request = format!("HEAD {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let head = bodiless(&Raw::to(&edge).await.exchange(request.as_bytes()).await);
        for name in ["content-type", "content-length", "etag", "last-modified", "content-security-policy"] {
            assert!(head.field(name).is_some() && head.field(name) == reply.field(name), "{target}: {name}");
        }
        let tag = reply.field("etag").unwrap();
        let unchanged = get(&edge, target, &format!("If-None-Match: {tag}\r\n")).await;
        assert_eq!((unchanged.status, unchanged.field("etag")), (304, Some(tag)), "{target}");
        assert_eq!(get(&edge, target, "If-None-Match: \"other\"\r\n").await.status, 200);
        let since = format!("If-Modified-Since: {}\r\n", reply.field("last-modified").unwrap());
        assert_eq!(get(&edge, target, &since).await.status, 304);
    }
    let kept = get(&edge, "/app.0123456789abcdef.js", "").await;
    assert_eq!(kept.field("cache-control"), Some("public, max-age=31536000, immutable"));
    let old = get(&edge, "/core/rfb.js", "").await;
    std::fs::write(root.join("core/rfb.js"), "export default 2;").unwrap();
    let changed = get(&edge, "/core/rfb.js", &format!("If-None-Match: {}\r\n", old.field("etag").unwrap())).await;
    assert_eq!((changed.status, changed.text()), (200, "export default 2;"));

    for target in [
        "/../secret.txt",
        "/core/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2E%2E%2Fsecret.txt",
        "/core/..%2f..%2fsecret.txt",
        "/%252e%252e/secret.txt",
        "/%252e%252e%252fsecret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/core\\rfb.js",
        "/core%5crfb.js",
        "/%c0%ae%c0%ae/secret.txt",
        "/..%c0%afsecret.txt",
        "/%u002e%u002e/secret.txt",
        "/.env",
        "/%2eenv",
        "/core/.git/config",
        "/core/%2egit/config",
        "/out.txt",
        "/up/secret.txt",
        "/etc/passwd",
        "/loop",
        "/pipe",
        "/core",
        "/core/",
        "/core/rfb.js/",
        "/core/rfb.js/x",
        "//core/rfb.js",
        "//evil.example/",
        "//evil.example/%2f..",
        "/index.html%00.txt",
        "/index.html%0a",
        "/%00",
        "/index.html;x",
        "/./index.html",
        "/core/./rfb.js",
        "/INDEX.HTML",
        "/~root",
        "/web_root",
        &format!("/{}", "a/".repeat(400)),
        &format!("/{}", "a".repeat(300)),
        &format!("/{}", "%2e".repeat(300)),
        "/etc/",
        "http://localhost/../secret.txt",
        "file:///etc/passwd",
    ] {
        let reply = get(&edge, target, "").await;
        assert!(matches!(reply.status, 400 | 404), "{target}: {reply:?}");
        assert!(!reply.text().contains(SECRET) && !reply.text().contains("root:"), "{target}");
        if reply.status == 404 {
            assert_eq!(reply.field("content-type"), Some("text/html; charset=utf-8"), "{target}");
            assert_eq!(
                (reply.field("cache-control"), reply.refusal().1),
                (Some("no-store"), "no_such_page"),
                "{target}"
            );
            assert!(reply.body.len() < 2048 && !reply.text().contains("<script"), "{target}");
            assert!(!reply.text().contains("secret") && !reply.text().contains("evil"), "{target} comes back");
            assert_hardened(&reply, target);
        }
    }

    // A console's address in a browser's address bar: a page, never to be kept.
    let page = get(&edge, "/vnc_auto.html?token=aa.bb.cc", "").await;
    assert_eq!((page.status, page.field("cache-control")), (200, Some("no-store")));
    for target in ["/console?token=aa.bb.cc", "/websockify?token=aa.bb.cc"] {
        let page = get(&edge, target, "").await;
        assert_eq!((page.status, page.field("cache-control")), (404, Some("no-store")), "{target}");
        assert!(page.text().contains("console link") && !page.text().contains("aa.bb.cc"), "{}", page.text());
    }
    assert_eq!(get(&edge, "/?token=a&token=b", "").await.refusal(), (400, "token_conflict"));

    for method in ["POST", "PUT", "DELETE", "PATCH", "PROPFIND", "options", "get"] {
        let request = format!(
            "{method} /index.html HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let reply = Raw::to(&edge).await.ask(&request).await.remove(0);
        assert_eq!(
            (reply.refusal(), reply.field("allow")),
            ((405, "method_not_allowed"), Some("GET, HEAD")),
            "{method}"
        );
    }
    // A range is not served; the whole is.
    assert_eq!(get(&edge, "/LICENSE.txt", "Range: bytes=0-0\r\n").await.text(), "text");
    assert_unharmed(edge.process());
}
