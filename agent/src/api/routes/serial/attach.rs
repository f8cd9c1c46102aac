//! A place on a serial port for whoever may use the API: `porthole console`, `porthole log -f`.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderValue, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use porthole_shared::binding::SERIAL_SUBPROTOCOL;
use porthole_shared::lifecycle::chain;
use porthole_shared::names::{ConsoleId, ConsoleKind, EdgeInstance, EdgeName};
use porthole_shared::reason::Reason;
use porthole_shared::tunnel::{ClientFacts, Presented, WebSocketKey};
use serde::Deserialize;
use tokio::time::Instant;

use super::{Named, find, in_use};
use crate::api::Api;
use crate::api::admission::{Peer, Rights};
use crate::api::extract::Asked;
use crate::api::problem::Problem;
use crate::callers::CallerName;
use crate::serial::{Applicant, Attachment, Protocol, view};
use crate::sessions::Connection;
use crate::tokens::{MintRequest, Policy, RightsWanted};
use crate::tunnel::OPEN_PATIENCE;
use crate::websocket::accept;

/// What stands for the edge of a session that came by none.
const HERE: &str = "localhost";

/// How to come to a port.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct AttachAsked {
    /// To watch only.
    #[serde(default)]
    read_only: bool,
    /// To take over from whoever writes.
    #[serde(default)]
    force: bool,
}

/// Attach to a serial port
///
/// An upgrade to a WebSocket that speaks `porthole.serial.v1`, for `porthole console`. It needs no link, and is a session
/// like those of links, asked for by the caller: in the lists, in the audit, and to be ended as they are.
#[utoipa::path(
    get, path = "/v1/serial/{console}/{index}/attach", operation_id = "attach_serial_port", tag = "consoles",
    params(("console" = String, Path, description = "The domain, by name or UUID."),
           ("index" = u8, Path, description = "Which of its serial ports, from 0."), AttachAsked),
    responses((status = 101, description = "Attached."),
              (status = 403, description = "Told to end before it began.", body = Problem,
               content_type = "application/problem+json"),
              (status = 404, description = "There is no such port.", body = Problem,
               content_type = "application/problem+json"),
              (status = 409, description = "It does not run, or somebody else writes to it; or the name is ambiguous.",
               body = Problem, content_type = "application/problem+json"),
              (status = 426, description = "Not asked for as a WebSocket.", body = Problem,
               content_type = "application/problem+json"),
              (status = 501, description = "The port is none that a console can be had of.", body = Problem,
               content_type = "application/problem+json"),
              (status = 502, description = "The port does not answer.", body = Problem,
               content_type = "application/problem+json"),
              (status = 503, description = "libvirt does not answer, or as many watch as may.", body = Problem,
               content_type = "application/problem+json"))
)]
pub(in crate::api) async fn attach(
    State(api): State<Api>,
    rights: Rights,
    named: Named,
    Asked(asked): Asked<AttachAsked>,
    peer: Extension<Peer>,
    mut request: Request,
) -> Result<Response, Problem> {
    let key = request.headers().get(SEC_WEBSOCKET_KEY).and_then(|key| WebSocketKey::parse(key.to_str().ok()?));
    let (Some(key), Some(_)) = (key, request.extensions().get::<OnUpgrade>()) else {
        let detail = "ask for this as a WebSocket (RFC 6455), as `porthole console` does";
        return Err(Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", detail));
    };
    let console = find(&api, &named).await?;
    let client = client(&peer);
    let upgrade = hyper::upgrade::on(&mut request);
    let (attachment, connection) = begin(&api, rights.caller.name, console, asked, client).await?;
    drop(tokio::spawn(async move {
        // Whoever is gone by now has left: dropped, both are ended.
        let Ok(upgraded) = upgrade.await else { return };
        view(accept(TokioIo::new(upgraded), Bytes::new()).await, attachment, Protocol::V1, connection, api.pings).await;
    }));
    let headers = [
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SERIAL_SUBPROTOCOL)),
    ];
    let mut response = (StatusCode::SWITCHING_PROTOCOLS, headers).into_response();
    if let Ok(accepted) = HeaderValue::try_from(key.accept()) {
        response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accepted);
    }
    Ok(response)
}

/// A place on the port, and a session: by a token of its own that nobody else ever sees, so that it is known, bounded and
/// ended in the same way as any other.
async fn begin(
    api: &Api,
    caller: CallerName,
    console: ConsoleId,
    AttachAsked { read_only, force }: AttachAsked,
    client: ClientFacts,
) -> Result<(Attachment, Connection), Problem> {
    let requestor = caller.to_string().parse().ok();
    let applicant = Applicant { who: requestor, client: None, token: None, read_only, force };
    let wanted = RightsWanted { read_only, force, ..RightsWanted::default() };
    // First, so that a port that is in use costs no token.
    let attached = api.serial.attach(&console, applicant.clone(), Instant::now() + OPEN_PATIENCE).await;
    let mut attachment = attached.map_err(|error| {
        let writer = api.serial.status(console.uuid, console.index).and_then(|status| status.writer);
        let detail = match (error.reason(), writer) {
            (Reason::InUse, Some(writer)) => in_use(&writer),
            (..) => chain(&error),
        };
        Problem::reason(error.reason(), detail)
    })?;
    let token = api
        .tokens
        .mint_for_here(MintRequest {
            console: console.uuid.to_string(),
            kind: Some(ConsoleKind::Serial),
            index: console.index,
            policy: Some(Policy::Once),
            ttl: None,
            grace: None,
            rights: wanted,
            requestor: applicant.who,
            minted_by: Some(caller),
        })
        .await?;
    let refused = |reason: Reason| Problem::reason(reason, reason.words());
    let edge: EdgeName = HERE.parse().map_err(|_| refused(Reason::Internal))?;
    let presented = Presented { token, binding: None, client };
    let examined = api.tokens.examine_to_use(&presented).await.map_err(|error| refused(error.reason))?;
    let place = api.sessions.reserve(&examined, &presented.client, &edge).map_err(refused)?;
    let redeemed = api.tokens.redeem(&examined, &presented.client, &edge).await.map_err(refused)?;
    let connection = api.sessions.begin(place, redeemed);
    attachment.confirm();
    Ok((attachment, connection))
}

/// Whoever is at the unix socket is on this host.
fn client(peer: &Peer) -> ClientFacts {
    let from = match peer {
        Peer::Local(_) => Ipv4Addr::LOCALHOST.into(),
        Peer::Network { from, .. } => *from,
    };
    ClientFacts { address: SocketAddr::new(from, 0), tls: None, edge_instance: EdgeInstance::random() }
}
