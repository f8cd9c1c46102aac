//! `POST /api/console`: what is this token for, or why is it refused? Scripts cannot see why an upgrade was refused, so
//! a page asks this first. Nothing is redeemed.

use http::{Response, StatusCode, request};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use porthole_shared::names::{ConsoleKind, ConsoleName};
use porthole_shared::reason::Reason;
use porthole_shared::tunnel::{ClientFacts, Inspection};
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
}

pub(super) async fn answer(head: &request::Parts, body: Incoming, client: &ClientFacts, site: &Site) -> Response<Body> {
    match inspect(head, body, client, site).await {
        Ok(Inspection { kind, name, redeem_by, expires }) => {
            let (redeem_by, expires) = (redeem_by.to_rfc3339(), expires.to_rfc3339());
            answer::json(StatusCode::OK, &Console { kind, name, redeem_by, expires })
        }
        Err(reason) => {
            tracing::debug!(client = %client.address, %reason, "question about a token refused");
            answer::refused_json(reason)
        }
    }
}

async fn inspect(
    head: &request::Parts,
    body: Incoming,
    client: &ClientFacts,
    site: &Site,
) -> Result<Inspection, Reason> {
    let body = timeout(site.head_timeout, Limited::new(body, LARGEST).collect()).await;
    let body = body.map_err(|_| Reason::BadRequest)?.map_err(|_| Reason::BadRequest)?.to_bytes();
    let candidate = gate::inspection(head, &body, &site.origins, client.clone())?;
    let (node, admission) = site.resolver.resolve(candidate).await?;
    site.dialer.inspect(&node, &admission).await
}
