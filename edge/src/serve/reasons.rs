//! `GET /api/reasons`: the reason table, for pages. They word the close frames that agents send with it, and need it at
//! the very moment when this edge may be gone, so they fetch it first.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, Response};
use porthole_shared::reason::{Reason, Retry};
use serde::Serialize;

use super::answer::{self, Body};

/// Where it is.
pub(super) const PATH: &str = "/api/reasons";

/// A row, in the names that a refusal has in JSON.
#[derive(Serialize)]
struct Row {
    words: &'static str,
    next_step: &'static str,
    close: u16,
    retry: Retry,
}

/// It changes with the release only.
static TABLE: LazyLock<Bytes> = LazyLock::new(|| {
    let row = |reason: Reason| Row {
        words: reason.words(),
        next_step: reason.next_step(),
        close: reason.close_code(),
        retry: reason.retry(),
    };
    let table: BTreeMap<&str, Row> = Reason::ALL.iter().map(|&reason| (reason.code(), row(reason))).collect();
    // Plain texts and numbers: it does not fail.
    serde_json::to_vec(&table).unwrap_or_default().into()
});

pub(super) fn answer(method: &Method) -> Response<Body> {
    let body = if method == Method::HEAD { answer::empty() } else { answer::bytes(TABLE.clone()) };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(TABLE.len()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    answer::harden(headers);
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn every_reason_is_in_the_table_with_its_words() {
        let response = answer(&Method::GET);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let table: serde_json::Value = serde_json::from_slice(&body).unwrap();
        for reason in Reason::ALL {
            let row = &table[reason.code()];
            assert_eq!(row["words"], reason.words());
            assert_eq!(row["next_step"], reason.next_step());
            assert_eq!(row["close"], reason.close_code());
            assert_eq!(row["retry"], serde_json::to_value(reason.retry()).unwrap());
        }
        assert_eq!(table.as_object().unwrap().len(), Reason::ALL.len());
    }

    #[tokio::test]
    async fn head_tells_the_length_and_sends_nothing() {
        let response = answer(&Method::HEAD);
        assert_eq!(response.headers()[CONTENT_LENGTH], TABLE.len().to_string());
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
}
