use std::os::unix::fs::symlink;
use std::time::Duration;

use http::Request;
use http::header::{ACCEPT_ENCODING, IF_NONE_MATCH, LOCATION};

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
async fn a_packed_copy_goes_to_those_who_take_it() {
    let root = Root::new();
    let web = root.dir.path().join("web");
    std::fs::write(web.join("core/big.js.gz"), "packed").unwrap();
    let ask = async |path: &str, takes: &str, tag: Option<&HeaderValue>| {
        let mut request = Request::get(path).header(ACCEPT_ENCODING, takes);
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        root.files.answer(&request.body(()).unwrap().into_parts().0).await.unwrap()
    };
    let packed = ask("/core/big.js", "gzip, br", None).await;
    let tag = packed.headers()[ETAG].clone();
    assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
    assert_eq!(packed.headers()[CONTENT_TYPE], "text/javascript; charset=utf-8");
    assert_eq!(packed.headers()[CONTENT_LENGTH], "6");
    assert_eq!(packed.into_body().collect().await.unwrap().to_bytes(), "packed");
    assert_eq!(ask("/core/big.js", "gzip", Some(&tag)).await.status(), StatusCode::NOT_MODIFIED);

    let plain = ask("/core/big.js", "br", Some(&tag)).await;
    assert_eq!((plain.status(), plain.headers().get(CONTENT_ENCODING)), (StatusCode::OK, None));
    assert_eq!(plain.headers()[CONTENT_LENGTH], "300000");
    for response in [plain, ask("/vnc_auto", "gzip", None).await] {
        assert_eq!(response.headers()[VARY], "accept-encoding");
        assert!(!response.headers().contains_key(CONTENT_ENCODING));
    }

    // Alone it is no page, and a copy leads out of the root no more than anything else.
    std::fs::write(web.join("alone.js.gz"), "packed").unwrap();
    assert!(root.ask(Method::GET, "/alone.js", None).await.is_none());
    symlink(root.dir.path().join("outside.txt"), web.join("vnc_auto.html.gz")).unwrap();
    let page = ask("/vnc_auto.html", "gzip", None).await;
    assert_eq!(page.headers().get(CONTENT_ENCODING), None);
    assert_eq!(page.into_body().collect().await.unwrap().to_bytes(), "<!DOCTYPE html>page");
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
