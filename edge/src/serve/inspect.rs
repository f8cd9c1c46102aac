//! `POST /api/console`: what is this token for, or why is it refused? Scripts cannot see why an upgrade was refused, so
//! a page asks this first. Nothing is redeemed.
//!
//! Pages of other allowed origins may ask, too, and read the answer: the CORS protocol tells their browsers so, on this
//! path only.

use std::net::SocketAddr;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    HeaderValue, ORIGIN, VARY,
};
use http::{Method, Response, StatusCode, request};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use porthole_shared::names::{ConsoleKind, ConsoleName, Requestor};
use porthole_shared::reason::Reason;
use porthole_shared::tunnel::{ClientFacts, Inspection, Writer};
use serde::Serialize;
use tokio::time::timeout;

use super::answer::{self, Body};
use super::site::Site;
use crate::gate;

/// The largest body: a token and a binding secret have about a third of this.
const LARGEST: usize = 4096;

/// The answer, in the words of the agent's API.
#[derive(Serialize)]
struct Console {
    kind: ConsoleKind,
    name: ConsoleName,
    redeem_by: String,
    expires: String,
    read_only: bool,
    force: bool,
    /// Who else writes to it, where only one may.
    #[serde(skip_serializing_if = "Option::is_none")]
    writer: Option<Holder>,
}

/// Who writes to a serial port.
#[derive(Serialize)]
struct Holder {
    who: Option<Requestor>,
    client: Option<SocketAddr>,
    since: String,
}

impl From<Writer> for Holder {
    fn from(writer: Writer) -> Self {
        let Writer { who, client, since } = writer;
        Self { who, client, since: since.to_rfc3339() }
    }
}

pub(super) async fn answer(head: &request::Parts, body: Incoming, client: &ClientFacts, site: &Site) -> Response<Body> {
    let mut response = match inspect(head, body, client, site).await {
        Ok(Inspection { kind, name, redeem_by, expires, read_only, force, writer }) => {
            let (redeem_by, expires) = (redeem_by.to_rfc3339(), expires.to_rfc3339());
            let writer = writer.map(Holder::from);
            answer::json(StatusCode::OK, &Console { kind, name, redeem_by, expires, read_only, force, writer })
        }
        Err(reason) => {
            site.instruments.refused("inspect", reason);
            tracing::debug!(client = %client.address, %reason, "question about a token refused");
            answer::refused_json(reason)
        }
    };
    share(&mut response, head, site);
    response
}

/// Does this ask whether a page of another origin may ask?
pub(super) fn is_preflight(head: &request::Parts) -> bool {
    head.method == Method::OPTIONS && head.headers.contains_key(ORIGIN)
}

/// Says whether it may. Nothing but what our pages send is allowed: a JSON body, no credentials.
pub(super) fn preflight(head: &request::Parts, site: &Site) -> Response<Body> {
    let mut response = match site.settings().origins.check(head) {
        Ok(()) => Response::new(answer::empty()),
        Err(reason) => answer::refused_json(reason),
    };
    if share(&mut response, head, site) {
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

/// Lets the page that asks read the answer, if its origin is allowed.
fn share(response: &mut Response<Body>, head: &request::Parts, site: &Site) -> bool {
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("origin"));
    let settings = site.settings();
    let reader = settings.origins.reader(head);
    if let Some(origin) = reader {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    reader.is_some()
}

async fn inspect(
    head: &request::Parts,
    body: Incoming,
    client: &ClientFacts,
    site: &Site,
) -> Result<Inspection, Reason> {
    let body = timeout(site.settings().head_timeout, Limited::new(body, LARGEST).collect()).await;
    let body = body.map_err(|_| Reason::BadRequest)?.map_err(|_| Reason::BadRequest)?.to_bytes();
    let candidate = gate::inspection(head, &body, &site.settings().origins, client.clone())?;
    let (node, admission) = site.resolver.resolve(candidate).await?;
    site.dialer.inspect(&node, &admission).await
}
