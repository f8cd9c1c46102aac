//! The four addresses of `/tunnel/v1`, and how refusals look.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use porthole_shared::names::{ConsoleSource, EdgeName};
use porthole_shared::reason::Reason;
use porthole_shared::tls::NotAnEdge;
use porthole_shared::tunnel::{
    CONSOLE_PATH, DRAIN_PATH, Drain, Drained, INSPECT_PATH, JWKS_PATH, MAX_BODY_BYTES, MalformedRequest, Presented,
    REASON,
};
use serde::Serialize;
use tokio::time::timeout;

use super::console::{self, OPEN_PATIENCE};
use super::listener::Link;
use crate::consoles::ResolveError;

/// How long a request's body may be under way.
const BODY_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy)]
enum Route {
    Console,
    Inspect,
    Jwks,
    Drain,
}

impl Route {
    fn at(path: &str) -> Option<Self> {
        match path {
            CONSOLE_PATH => Some(Self::Console),
            INSPECT_PATH => Some(Self::Inspect),
            JWKS_PATH => Some(Self::Jwks),
            DRAIN_PATH => Some(Self::Drain),
            _ => None,
        }
    }

    /// What it is counted as.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Inspect => "inspect",
            Self::Jwks => "jwks",
            Self::Drain => "drain",
        }
    }

    const fn method(self) -> (Method, HeaderValue) {
        match self {
            Self::Console | Self::Jwks => (Method::GET, HeaderValue::from_static("GET")),
            Self::Inspect | Self::Drain => (Method::POST, HeaderValue::from_static("POST")),
        }
    }
}

/// Answers a request. The error closes the connection: whoever is no edge gets no answer.
pub(super) async fn answer(link: Arc<Link>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, NotAnEdge> {
    let edge = link.edge()?;
    let Some(route) = Route::at(request.uri().path()) else { return Ok(refusal(Reason::NoSuchPage)) };
    let (method, allowed) = route.method();
    if *request.method() != method {
        let mut response = refusal(Reason::MethodNotAllowed);
        response.headers_mut().insert(ALLOW, allowed);
        return Ok(response);
    }
    let answered = match route {
        Route::Console => console::connect(&link, &edge, request).await,
        Route::Inspect => inspect(&link, &edge, &request).await,
        Route::Jwks => Ok(json(Bytes::copy_from_slice(&link.server.services.tokens.keys().jwks()))),
        Route::Drain => drain(&link, &edge, request).await,
    };
    Ok(answered.unwrap_or_else(|reason| {
        link.server.instruments.refused(route.as_str(), reason);
        refusal(reason)
    }))
}

/// The edge has sent what is not of this protocol.
pub(super) fn malformed(error: MalformedRequest, edge: &EdgeName) -> Reason {
    tracing::warn!(%edge, %error, "an edge sent a request that this release does not understand");
    Reason::BadRequest
}

async fn inspect(link: &Link, edge: &EdgeName, request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, Reason> {
    let presented = Presented::read(request.headers()).map_err(|error| malformed(error, edge))?;
    let services = &link.server.services;
    let examined = services.tokens.examine(&presented).await?;
    // A page cannot see why its upgrade is refused, so what would refuse it is looked for here: whatever can be known
    // without opening the console. No place is taken: a page that only asks keeps nobody out.
    services.sessions.has_place(&examined, &presented.client, edge)?;
    let console = examined.console();
    if console.source == ConsoleSource::Libvirt && services.consoles.hypervisor().is_migrating(console.uuid).await {
        return Err(Reason::Migrating);
    }
    let mut inspection = examined.inspection();
    let looking = async {
        if console::is_port(&console) {
            // Who else writes is no refusal: the page words it, with who that is.
            let applicant = console::applicant(&examined, &presented.client);
            inspection.writer = services.serial.look(&console, &applicant).await?;
            return Ok(());
        }
        services.consoles.console(&console).await.map(drop)
    };
    let looked: Result<(), ResolveError> =
        timeout(OPEN_PATIENCE, looking).await.map_err(|_elapsed| Reason::Unreachable)?;
    looked.map_err(|error| error.reason())?;
    to_json(&inspection)
}

async fn drain(link: &Link, edge: &EdgeName, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Reason> {
    let body = Limited::new(request.into_body(), MAX_BODY_BYTES).collect();
    let Ok(Ok(body)) = timeout(BODY_PATIENCE, body).await else { return Err(Reason::BadRequest) };
    let Drain { instance } = serde_json::from_slice(&body.to_bytes()).map_err(|_| Reason::BadRequest)?;
    let closed = link.server.services.sessions.end_edge(edge, instance);
    tracing::info!(%edge, %instance, closed, "an edge goes away: its connections are closed");
    to_json(&Drained { closed: closed as u64 })
}

fn to_json(value: &impl Serialize) -> Result<Response<Full<Bytes>>, Reason> {
    let text = serde_json::to_vec(value).map_err(|_| Reason::Internal)?;
    Ok(json(text.into()))
}

fn json(text: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn refusal(reason: Reason) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = reason.status();
    response.headers_mut().insert(REASON, HeaderValue::from_static(reason.code()));
    debug_assert_ne!(response.status(), StatusCode::OK);
    response
}
