//! An upgrade: from the request to a running session, or to a refusal without a body.
//!
//! A session is counted from before its agent hears of it, so that a drain that begins meanwhile tells that agent too;
//! and one that was on its way when the drain began is given up.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, request};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use porthole_shared::binding::Subprotocol;
use porthole_shared::leg::Leg;
use porthole_shared::names::{ConsoleKind, NodeId, TokenId};
use porthole_shared::reason::Reason;
use porthole_shared::tunnel::WebSocketKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, sink};
use tokio::time::timeout;

use super::answer::{self, Body};
use super::connection::Client;
use super::live::Counted;
use super::site::Site;
use crate::dial::AgentConsole;
use crate::gate;
use crate::relay::Relay;

/// How long a refused client gets to read why.
const GOODBYE: Duration = Duration::from_secs(2);

/// How much of what it sent meanwhile is read and forgotten.
const GOODBYE_BYTES: u64 = 1 << 20;

/// An agent's `101` is in hand; the client's is not sent yet.
struct Opened {
    session: About,
    key: WebSocketKey,
    agent: AgentConsole,
}

/// What a session is, to whoever reads the log; and its place in the count.
struct About {
    node: NodeId,
    kind: ConsoleKind,
    token_id: TokenId,
    _counted: Counted,
}

pub(super) async fn answer(mut request: Request<Incoming>, client: Arc<Client>, site: Arc<Site>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (head, _body) = request.into_parts();
    match open(&head, &client, &site).await {
        Ok(opened) => {
            site.instruments.opened(opened.session.kind);
            let response = switching(&opened.key, opened.agent.subprotocol);
            site.tasks.spawn(begin(upgrade, opened, client, Arc::clone(&site)));
            response
        }
        Err(reason) => {
            site.instruments.refused("console", reason);
            tracing::debug!(client = %client.facts.address, %reason, "console refused");
            let mut response = answer::refused_upgrade(reason);
            if reason == Reason::BadRequest {
                // RFC 6455 section 4.4: the versions that we speak.
                response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            site.tasks.spawn(see_off(upgrade, client, Arc::clone(&site)));
            response
        }
    }
}

async fn open(head: &request::Parts, client: &Client, site: &Site) -> Result<Opened, Reason> {
    if site.shutdown.soft.is_cancelled() {
        return Err(Reason::Draining);
    }
    let candidate = gate::console(head, &site.settings().origins, client.facts.clone())?;
    let (node, admission) = site.resolver.resolve(candidate).await?;
    let counted = site.live.count(&node, admission.kind());
    let agent = match site.dialer.console(&node, &admission).await {
        // The agent heard of our drain before it had opened the console: to the client that is the same as after.
        Err(Reason::EdgeDraining) => return Err(Reason::Draining),
        answer => answer?,
    };
    if site.shutdown.soft.is_cancelled() {
        return Err(Reason::Draining);
    }
    let (kind, token_id, key) = (admission.kind(), admission.token_id(), admission.request().key.clone());
    Ok(Opened { session: About { node: node.id, kind, token_id, _counted: counted }, key, agent })
}

/// Our own `101`: nothing in it is the agent's, but for the choice of the subprotocol.
fn switching(key: &WebSocketKey, subprotocol: Option<Subprotocol>) -> Response<Body> {
    let mut response = Response::new(answer::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::try_from(key.accept()) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(subprotocol) = subprotocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol.as_str()));
    }
    response
}

/// Ends the connection of a refused client. hyper leaves one on which an upgrade was wished for to whoever took that
/// wish, whatever the answer. Merely dropped, it would end without TLS's goodbye and, where the client has pipelined more
/// than was read, in a reset, which may overtake the refusal.
async fn see_off(upgrade: OnUpgrade, client: Arc<Client>, site: Arc<Site>) {
    // An error: hyper has seen no such wish, and ends the connection itself.
    let Ok(Ok(parts)) = upgrade.await.map(hyper::upgrade::Upgraded::downcast::<TokioIo<Leg>>) else { return };
    let mut stream = parts.io.into_inner();
    let goodbye = async {
        stream.shutdown().await?;
        copy(&mut stream.take(GOODBYE_BYTES), &mut sink()).await
    };
    let ended = site.shutdown.hard.run_until_cancelled(timeout(GOODBYE, goodbye)).await;
    if let Some(Ok(Err(error))) = ended {
        tracing::trace!(client = %client.facts.address, %error, "a refused client left");
    }
}

/// Waits until the `101` is out, and takes the connection from HTTP. What the client has sent behind its request goes to
/// the agent first.
async fn begin(upgrade: OnUpgrade, opened: Opened, client: Arc<Client>, site: Arc<Site>) {
    let Opened { session, agent, key: _ } = opened;
    let (address, About { node, kind, token_id, .. }) = (client.facts.address, &session);
    match upgrade.await.map(hyper::upgrade::Upgraded::downcast::<TokioIo<Leg>>) {
        Ok(Ok(parts)) => {
            let relay = Relay::between(parts.io.into_inner(), parts.read_buf, agent.leg, agent.early);
            // In a task of its own: this one is as large as what it was until now.
            site.tasks.spawn(carry(Box::new(relay), session, client, Arc::clone(&site)));
        }
        Ok(Err(_)) => tracing::error!(client = %address, "the connection is of another type than it was made of"),
        Err(error) => tracing::info!(client = %address, %node, %kind, token = %token_id, %error,
            "the client went away before its session began"),
    }
}

/// Copies. The relay is boxed, because an `async fn` holds each of its arguments twice.
async fn carry(mut relay: Box<Relay>, session: About, client: Arc<Client>, site: Arc<Site>) {
    let (address, About { node, kind, token_id, .. }) = (client.facts.address, &session);
    tracing::info!(client = %address, %node, %kind, token = %token_id, "session begins");
    let summary = relay.run(&site.counters, &site.shutdown.hard).await;
    tracing::info!(client = %address, %node, %kind, token = %token_id, to_agent = summary.to_agent,
        to_client = summary.to_client, end = ?summary.end, "session ends");
    site.instruments.ended(summary.end);
}
