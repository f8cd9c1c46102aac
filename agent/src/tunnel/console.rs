//! `GET /tunnel/v1/console`: from a token to a running session.
//!
//! The order matters. Nothing is changed before the token's row says that it would open the console, so strangers cost
//! a lookup; a place is taken before the console is asked for, so a full host does not bother guests; and the token is
//! used up last, so a guest that does not answer costs nobody a link.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Parts};
use hyper_util::rt::TokioIo;
use porthole_shared::binding::Subprotocol;
use porthole_shared::leg::Leg;
use porthole_shared::lifecycle::chain;
use porthole_shared::names::{ConsoleId, ConsoleKind, ConsoleSource, EdgeName};
use porthole_shared::reason::Reason;
use porthole_shared::tunnel::{ClientFacts, ConsoleRequest, Presented, WebSocketKey};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::Server;
use super::listener::Link;
use super::routes::malformed;
use crate::audit::{Event, Refusal, Subject};
use crate::consoles::open::{ConsoleStream, open};
use crate::serial::{Applicant, Attachment, Protocol, view};
use crate::sessions::{Connection, Sessions};
use crate::throttle::Throttle;
use crate::tokens::{Examined, Refused};
use crate::websocket::{Inbound, Relay, Socket, accept};

/// How long opening a console, or looking for it, may take, all in all. libvirt's own deadlines (5 s) shall run out first, because their end
/// tells more; an edge waits longer (10 s).
pub(crate) const OPEN_PATIENCE: Duration = Duration::from_secs(6);

/// How long an edge may take to take the `101`.
const SWITCH_PATIENCE: Duration = Duration::from_secs(10);

/// Redeems and connects; the session runs on in a task of its own.
pub(super) async fn connect(
    link: &Arc<Link>,
    edge: &EdgeName,
    mut request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Reason> {
    let server = &link.server;
    let wanted = ConsoleRequest::read(request.headers()).map_err(|error| malformed(error, edge))?;
    // HTTP/1.0 has no upgrades, whatever its headers say.
    request.extensions().get::<OnUpgrade>().ok_or(Reason::BadRequest)?;

    let client = &wanted.presented.client;
    let (console, connection) =
        admit(server, edge, &wanted.presented).await.map_err(|Refused { reason, subject }| {
            tell_listeners(&server.services.sessions, edge, client, reason, subject.as_ref());
            let (edge, client) = (edge.clone(), client.address.ip());
            server.services.audit.tell(Event::Refused(Refusal { reason, edge, client, subject }));
            reason
        })?;

    let upgrade = hyper::upgrade::on(&mut request);
    let subprotocol = choose(&wanted, &console);
    drop(server.connections.spawn(carry(Arc::clone(link), upgrade, console, connection, subprotocol)));
    switching(&wanted.key, subprotocol)
}

/// What a session relays to.
#[derive(Debug)]
enum Opened {
    /// A console's own bytes.
    Stream(ConsoleStream),
    /// A place on a serial port.
    Serial(Box<Attachment>),
}

fn choose(wanted: &ConsoleRequest, opened: &Opened) -> Option<Subprotocol> {
    match opened {
        Opened::Serial(_) if wanted.serial => Some(Subprotocol::SerialV1),
        Opened::Serial(_) | Opened::Stream(_) => wanted.binary.then_some(Subprotocol::Binary),
    }
}

/// Whether a console is one of the ports that [`serial`](crate::serial) holds.
pub(super) const fn is_port(console: &ConsoleId) -> bool {
    matches!((console.source, console.kind), (ConsoleSource::Libvirt, ConsoleKind::Serial))
}

/// Who comes to a serial port with this token.
pub(super) fn applicant(token: &Examined, client: &ClientFacts) -> Applicant {
    let rights = token.rights();
    Applicant {
        who: token.requestor().cloned(),
        client: Some(client.address),
        // One that anybody may use is nobody's.
        token: token.is_bound().then(|| token.id()),
        read_only: rights.read_only,
        force: rights.force,
    }
}

async fn open_console(
    server: &Server,
    token: &Examined,
    client: &ClientFacts,
    deadline: Instant,
) -> Result<Opened, (Reason, String)> {
    let (services, console) = (&server.services, token.console());
    if is_port(&console) {
        let attached = services.serial.attach(&console, applicant(token, client), deadline).await;
        return attached
            .map(|attachment| Opened::Serial(Box::new(attachment)))
            .map_err(|error| (error.reason(), chain(&error)));
    }
    let opened = open(&services.consoles, &console, deadline).await;
    opened.map(Opened::Stream).map_err(|error| (error.reason(), chain(&error)))
}

/// Uses the token, once its console is open.
async fn admit(server: &Server, edge: &EdgeName, presented: &Presented) -> Result<(Opened, Connection), Refused> {
    if server.shutdown.soft.is_cancelled() {
        return Err(Reason::Draining.into());
    }
    let (services, client) = (&server.services, &presented.client);
    let token = services.tokens.examine_to_use(presented).await.inspect_err(|Refused { reason, .. }| {
        tracing::debug!(%edge, client = %client.address, %reason, "a token was refused");
    })?;
    let refused = |reason: Reason, error: Option<String>| {
        tell_of_refusal(&server.complaints.console, &token, client, reason, error.as_deref());
        Refused { reason, subject: Some(token.subject()) }
    };
    let place = services.sessions.reserve(&token, client, edge).map_err(|reason| refused(reason, None))?;
    let began = Instant::now();
    let mut console = open_console(server, &token, client, began + OPEN_PATIENCE)
        .await
        .map_err(|(reason, error)| refused(reason, Some(error)))?;
    server.instruments.opened(token.console().kind, began.elapsed());
    // Opening took its time. Nobody uses a token up for a connection that was told to end meanwhile.
    if let Some(reason) = place.told_to_end() {
        return Err(refused(reason, None));
    }
    let redeemed = services.tokens.redeem(&token, client, edge).await.map_err(|reason| refused(reason, None))?;
    if place.told_to_end() == Some(Reason::Killed) {
        // Told in that moment: killed is killed, so its page must not come back either.
        services.tokens.revoke(token.id()).await.map_err(|error| {
            tracing::error!(token = %token.id(), error = chain(&error), "a killed session's token is not withdrawn");
            refused(Reason::Killed, None)
        })?;
    }
    let connection = services.sessions.begin(place, redeemed);
    if let Opened::Serial(attachment) = &mut console {
        attachment.confirm();
    }
    Ok((console, connection))
}

/// Each refusal, while the audit counts them: who listens is there at the moment.
fn tell_listeners(sessions: &Sessions, edge: &EdgeName, client: &ClientFacts, reason: Reason, of: Option<&Subject>) {
    let data = match of {
        None => json!({ "client_address": client.address, "edge": edge, "reason": reason }),
        Some(Subject { token, console, name, requestor, .. }) => json!({
            "token_id": token, "console": console, "name": name, "requestor": requestor,
            "client_address": client.address, "edge": edge, "reason": reason,
        }),
    };
    sessions.feed().tell_refusal(of.and_then(|subject| subject.minted_by.clone()), data);
}

/// Whoever has a link can draw a refusal out again and again: the ordinary ones are for those who debug, and of the
/// others there is a line now and then.
fn tell_of_refusal(few: &Throttle, token: &Examined, client: &ClientFacts, reason: Reason, error: Option<&str>) {
    let (id, console, client) = (token.id(), token.console(), client.address);
    if is_ordinary(reason) {
        tracing::debug!(token = %id, %console, %client, %reason, error, "a console was refused");
    } else if let Some(others) = few.pass() {
        tracing::warn!(token = %id, %console, %client, %reason, error, others, "cannot open a console");
    }
}

/// Guests stop and move, links are used up, and agents restart: nothing is wrong with this host.
const fn is_ordinary(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NotRunning
            | Reason::NoSuchConsole
            | Reason::NoSuchKind
            | Reason::Migrating
            | Reason::InUse
            | Reason::Used
            | Reason::NotYours
            | Reason::Expired
            | Reason::Revoked
            | Reason::Draining
    )
}

fn switching(key: &WebSocketKey, subprotocol: Option<Subprotocol>) -> Result<Response<Full<Bytes>>, Reason> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::try_from(key.accept()).map_err(|_| Reason::Internal)?);
    if let Some(subprotocol) = subprotocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol.as_str()));
    }
    Ok(response)
}

/// A session's connection, from its `101` to its end. `link` holds its place.
async fn carry(
    link: Arc<Link>,
    upgrade: OnUpgrade,
    console: Opened,
    connection: Connection,
    subprotocol: Option<Subprotocol>,
) {
    let server = &link.server;
    let pings = server.services.pings;
    let carrying = async {
        let Some((leg, received)) = switched(upgrade).await else {
            connection.finish(Reason::ClientGone);
            return;
        };
        // Boxed, so that a session is as large as what it does, not as the largest of what it might have done.
        match console {
            Opened::Stream(console) => {
                let inbound = Inbound::new(connection.console().kind, connection.rights().read_only);
                let socket = Socket::new(leg, received, None);
                let carrying = Relay::new(socket, console, inbound, connection.meter(), pings);
                Box::pin(relay(Box::new(carrying), Box::new(connection))).await;
            }
            Opened::Serial(attachment) => {
                let protocol = match subprotocol {
                    Some(Subprotocol::SerialV1) => Protocol::V1,
                    Some(Subprotocol::Binary) | None => Protocol::Plain,
                };
                let viewing =
                    async { view(accept(leg, received).await, *attachment, protocol, connection, pings).await };
                Box::pin(viewing).await;
            }
        }
    };
    tokio::select! {
        () = carrying => {}
        () = server.shutdown.hard.cancelled() => {}
    }
}

/// A console's own bytes. Boxed, because an `async fn` holds each of its arguments twice; and its end, because a session
/// need not have room for that while it lasts.
async fn relay(mut relay: Box<Relay<TcpStream, ConsoleStream>>, connection: Box<Connection>) {
    let reason = relay.run(connection.ended()).await;
    // The record is closed first: how long the client takes to say goodbye is its own affair.
    let reason = Box::pin(connection.conclude(reason)).await;
    Box::pin(relay.close(reason)).await;
}

/// The edge's connection itself, and what came behind the request.
async fn switched(upgrade: OnUpgrade) -> Option<(Leg, Bytes)> {
    let upgraded = timeout(SWITCH_PATIENCE, upgrade).await.ok()?.ok()?;
    let Parts { io, read_buf, .. } = upgraded.downcast::<TokioIo<Leg>>().ok()?;
    Some((io.into_inner(), read_buf))
}
