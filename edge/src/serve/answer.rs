//! The answers that the edge words itself: refusals, short pages and JSON.
//!
//! Every one of them may not be kept by caches, guessed at, or framed by strangers. A refused upgrade has no body, for
//! raw WebSocket clients take any byte behind the head for data.

use std::io;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use porthole_shared::reason::{Reason, Retry};
use porthole_shared::tunnel::REASON;
use serde::Serialize;

use super::public::FrameAncestors;

/// A body: of bytes in memory, or streamed from a file.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// No bytes.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// These bytes.
pub fn bytes(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// The refusal of an upgrade: a status, the reason's code, and nothing behind the head.
pub fn refused_upgrade(reason: Reason) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = reason.status();
    let headers = response.headers_mut();
    headers.insert(REASON, HeaderValue::from_static(reason.code()));
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A JSON answer.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    // What we serialise are plain structs of texts and numbers: it does not fail.
    let mut response = Response::new(bytes(serde_json::to_vec(value).unwrap_or_default()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    harden(headers);
    response
}

/// A refusal in JSON.
pub fn refused_json(reason: Reason) -> Response<Body> {
    #[derive(Serialize)]
    struct Refusal {
        reason: Reason,
        words: &'static str,
        next_step: &'static str,
        retry: Retry,
    }
    let refusal = Refusal { reason, words: reason.words(), next_step: reason.next_step(), retry: reason.retry() };
    let mut response = json(reason.status(), &refusal);
    response.headers_mut().insert(REASON, HeaderValue::from_static(reason.code()));
    response
}

/// Fields that every answer with a body has.
pub fn harden(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// The style of short pages. Colours follow the browser's light or dark setting.
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1.5rem}\
h1{font-size:1.4rem;margin:0 0 .5rem}\
p{margin:.5rem 0}\
small{opacity:.7}";

/// The style's source expression, so that the policy needs no `unsafe-inline`.
static STYLE_SOURCE: LazyLock<String> =
    LazyLock::new(|| format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, STYLE.as_bytes()))));

/// Short pages in the words of the reason table: self-contained, without scripts.
#[derive(Debug, Clone)]
pub struct ShortPages {
    policy: HeaderValue,
}

impl ShortPages {
    /// Pages that these sites may show in a frame.
    pub fn new(ancestors: &FrameAncestors) -> Self {
        let policy = format!(
            "default-src 'none'; style-src {}; base-uri 'none'; form-action 'none'; {}",
            *STYLE_SOURCE,
            ancestors.directive()
        );
        Self { policy: policy_value(&policy) }
    }

    /// The page for a reason, with one more sentence if there is something to add.
    pub fn page(&self, method: &Method, reason: Reason, more: Option<&'static str>) -> Response<Body> {
        let more = more.map(|sentence| format!("<p>{sentence}</p>\n")).unwrap_or_default();
        let (words, next_step, code) = (reason.words(), reason.next_step(), reason.code());
        let page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{words}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <h1>{words}</h1>\n{more}<p>{next_step}</p>\n<p><small>{code}</small></p>\n</main>\n</body>\n</html>\n"
        );
        let length = page.len();
        let mut response = Response::new(if method == Method::HEAD { empty() } else { bytes(page) });
        *response.status_mut() = reason.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REASON, HeaderValue::from_static(reason.code()));
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        harden(headers);
        response
    }
}

/// A policy as a field's value. Sources are checked when the configuration is read, so this does not fail; if it did,
/// the strictest policy would be the right one.
pub fn policy_value(policy: &str) -> HeaderValue {
    HeaderValue::from_str(policy).unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(response: Response<Body>) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_refused_upgrade_has_no_body_for_any_reason() {
        for &reason in Reason::ALL {
            let response = refused_upgrade(reason);
            assert_eq!(response.status(), reason.status());
            assert_eq!(response.headers()[REASON], reason.code());
            assert_eq!(response.headers()[CONTENT_LENGTH], "0");
            assert_eq!(text(response).await, "");
        }
    }

    #[tokio::test]
    async fn a_short_page_is_whole_for_any_reason_and_its_style_is_allowed_by_hash() {
        let pages = ShortPages::new(&FrameAncestors::default());
        for &reason in Reason::ALL {
            let response = pages.page(&Method::GET, reason, Some("More."));
            let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
            assert!(policy.contains("style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
            let length = response.headers()[CONTENT_LENGTH].to_str().unwrap().parse::<usize>().unwrap();
            let page = text(response).await;
            assert_eq!(page.len(), length);
            assert!(page.contains(reason.words()) && page.contains(reason.next_step()), "{page}");
            assert!(!page.contains("<script") && !page.contains("style=") && !page.contains("http"), "{page}");
        }
        let head = pages.page(&Method::HEAD, Reason::NoSuchPage, None);
        assert_ne!(head.headers()[CONTENT_LENGTH], "0");
        assert_eq!(text(head).await, "");
    }

    #[tokio::test]
    async fn json_refusals_say_what_and_what_next() {
        let response = refused_json(Reason::Expired);
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let value: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(value["reason"], "expired");
        assert_eq!(value["words"], Reason::Expired.words());
        assert_eq!(value["next_step"], Reason::Expired.next_step());
        assert_eq!(value["retry"], "never");
    }
}
