//! What a request is for.

use std::sync::Arc;

use http::header::{ALLOW, CACHE_CONTROL, HeaderValue};
use http::{Method, Request, Response, request};
use hyper::body::Incoming;
use porthole_shared::reason::Reason;

use super::answer::Body;
use super::connection::Client;
use super::site::Site;
use super::{console, files, inspect, reasons};
use crate::gate::{source, upgrade};

/// The path of the question what a token is for.
const INSPECT_PATH: &str = "/api/console";

/// Answers a request. A wish for a WebSocket is one for a console, whatever its path. What dials is boxed: connections
/// that only fetch pages need not be as large as that.
pub async fn answer(request: Request<Incoming>, client: Arc<Client>, site: Arc<Site>) -> Response<Body> {
    if upgrade::is_wanted(request.headers()) {
        return Box::pin(console::answer(request, client, site)).await;
    }
    let (head, body) = request.into_parts();
    match (head.uri.path(), &head.method) {
        (INSPECT_PATH, &Method::POST) => Box::pin(inspect::answer(&head, body, &client.facts, &site)).await,
        (INSPECT_PATH, _) if inspect::is_preflight(&head) => inspect::preflight(&head, &site),
        (INSPECT_PATH, _) => not_allowed(&head, &site, HeaderValue::from_static("POST")),
        (reasons::PATH, &Method::GET | &Method::HEAD) => reasons::answer(&head.method),
        (_, &Method::GET | &Method::HEAD) => page(&head, &site).await,
        (_, _) => not_allowed(&head, &site, files::METHODS),
    }
}

fn not_allowed(head: &request::Parts, site: &Site, methods: HeaderValue) -> Response<Body> {
    let mut response = site.short_pages.page(&head.method, Reason::MethodNotAllowed, None);
    response.headers_mut().insert(ALLOW, methods);
    response
}

/// A file, or a short page that says why there is none.
async fn page(head: &request::Parts, site: &Site) -> Response<Body> {
    let in_query = source::of_query(&head.uri);
    if let Err(conflict) = in_query {
        return site.short_pages.page(&head.method, conflict, None);
    }
    let with_token = in_query.is_ok_and(|token| token.is_some());
    if let Some(files) = &site.files
        && let Some(mut response) = files.answer(head).await
    {
        if with_token {
            // A cache would keep the address, and the token in it.
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        return response;
    }
    let more = with_token.then_some(
        "The address carries a console link, but this server has no page to show it in. A console client that connects \
         with this address by itself can use it.",
    );
    site.short_pages.page(&head.method, Reason::NoSuchPage, more)
}
