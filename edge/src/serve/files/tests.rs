use std::os::unix::fs::symlink;
use std::time::Duration;

use http::Request;
use http::header::{IF_NONE_MATCH, LOCATION};

use super::*;

struct Root {
    dir: tempfile::TempDir,
    files: Files,
}

impl Root {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("web/core")).unwrap();
        std::fs::write(dir.path().join("web/vnc_auto.html"), "<!DOCTYPE html>page").unwrap();
        std::fs::write(dir.path().join("web/core/index.html"), "core").unwrap();
        std::fs::write(dir.path().join("web/core/big.js"), vec![b'x'; 300_000]).unwrap();
        std::fs::write(dir.path().join("web/.secret"), "hidden").unwrap();
        std::fs::write(dir.path().join("outside.txt"), "outside").unwrap();
        let files = Files::open(&dir.path().join("web"), &FrameAncestors::default()).unwrap();
        Self { dir, files }
    }

    async fn ask(&self, method: Method, path: &str, tag: Option<&HeaderValue>) -> Option<Response<Body>> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        self.files.answer(&request.body(()).unwrap().into_parts().0).await
    }

    async fn read(&self, path: &str) -> Option<Vec<u8>> {
        let response = self.ask(Method::GET, path, None).await?;
        Some(response.into_body().collect().await.unwrap().to_bytes().to_vec())
    }
}

#[tokio::test]
async fn a_file_comes_with_its_type_its_policy_and_its_whole_length() {
    let root = Root::new();
    let page = root.ask(Method::GET, "/vnc_auto.html?token=a.b.c", None).await.unwrap();
    let headers = page.headers();
    assert_eq!(headers[CONTENT_TYPE], "text/html; charset=utf-8");
    assert_eq!(headers[CACHE_CONTROL], "no-cache");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.ends_with("frame-ancestors 'self'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(root.read("/core/big.js").await.unwrap().len(), 300_000);
    assert_eq!(root.read("/core/").await.unwrap(), b"core");
    assert_eq!(root.read("/vnc_auto").await.unwrap(), b"<!DOCTYPE html>page");
}

#[tokio::test]
async fn a_known_version_is_not_sent_again_and_head_sends_none() {
    let root = Root::new();
    let first = root.ask(Method::GET, "/vnc_auto.html", None).await.unwrap();
    let tag = first.headers()[ETAG].clone();
    let again = root.ask(Method::GET, "/vnc_auto.html", Some(&tag)).await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(again.headers()[ETAG], tag);
    assert!(again.into_body().collect().await.unwrap().to_bytes().is_empty());
    let head = root.ask(Method::HEAD, "/vnc_auto.html", None).await.unwrap();
    assert_eq!(head.headers()[CONTENT_LENGTH], "19");
    assert!(head.into_body().collect().await.unwrap().to_bytes().is_empty());

    std::fs::write(root.dir.path().join("web/vnc_auto.html"), "a longer page than before").unwrap();
    let changed = root.ask(Method::GET, "/vnc_auto.html", Some(&tag)).await.unwrap();
    assert_eq!(changed.status(), StatusCode::OK);
}

#[tokio::test]
async fn nothing_leads_out_of_the_root_or_elsewhere() {
    let root = Root::new();
    let web = root.dir.path().join("web");
    symlink(root.dir.path().join("outside.txt"), web.join("link.txt")).unwrap();
    symlink(root.dir.path(), web.join("up")).unwrap();
    symlink("loop", web.join("loop")).unwrap();
    symlink(web.join("vnc_auto.html"), web.join("inside.html")).unwrap();
    for path in [
        "/link.txt",
        "/up/outside.txt",
        "/loop",
        "/.secret",
        "/%2esecret",
        "/../outside.txt",
        "/%2e%2e/outside.txt",
        "/..%2foutside.txt",
        "/core",
        "//evil.example/",
        "/nothing.html",
        "/vnc_auto.html/",
        "/vnc_auto.html/x",
        "/",
        "/vnc_auto.html%00",
    ] {
        assert!(root.ask(Method::GET, path, None).await.is_none(), "{path}");
    }
    let inside = root.ask(Method::GET, "/inside.html", None).await.unwrap();
    assert!(inside.status() == StatusCode::OK && !inside.headers().contains_key(LOCATION));
}

#[tokio::test]
async fn a_pipe_is_no_page_and_delays_nobody() {
    let root = Root::new();
    let socket = std::os::unix::net::UnixListener::bind(root.dir.path().join("web/socket.html")).unwrap();
    let asked = tokio::time::timeout(Duration::from_secs(10), root.ask(Method::GET, "/socket", None)).await;
    assert!(asked.unwrap().is_none());
    drop(socket);
}

#[tokio::test]
async fn a_root_may_be_a_link_that_is_swapped() {
    let root = Root::new();
    let link = root.dir.path().join("current");
    symlink(root.dir.path().join("web"), &link).unwrap();
    let files = Files::open(&link, &FrameAncestors::default()).unwrap();
    let ask = async || {
        let (head, ()) = Request::get("/new.txt").body(()).unwrap().into_parts();
        files.answer(&head).await
    };
    assert!(ask().await.is_none());
    std::fs::create_dir(root.dir.path().join("next")).unwrap();
    std::fs::write(root.dir.path().join("next/new.txt"), "new").unwrap();
    std::fs::remove_file(&link).unwrap();
    symlink(root.dir.path().join("next"), &link).unwrap();
    assert!(ask().await.is_some());
}

#[test]
fn a_root_that_is_no_folder_is_named() {
    let error = Files::open(Path::new("/nonexistent/web"), &FrameAncestors::default()).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/web"), "{error}");
}
