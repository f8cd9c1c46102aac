//! The resources of `/v1`, their JSON, and what each asks of the rest of the agent.

pub(super) mod audit;
mod selection;
pub(super) mod sessions;
pub(super) mod tokens;

use std::future::Future;

use axum::Json;
use axum::extract::State;
use porthole_shared::names::{ConsoleKind, ConsoleName, ConsoleSource, ConsoleUuid, NodeId, NodeName};
use porthole_shared::token::KeyId;
use serde::Serialize;

use super::Api;
use super::problem::Problem;
use crate::consoles::Owner;

#[derive(Debug, Serialize)]
pub(super) struct ConsoleList {
    consoles: Vec<ConsoleView>,
}

#[derive(Debug, Serialize)]
struct ConsoleView {
    source: ConsoleSource,
    uuid: ConsoleUuid,
    name: ConsoleName,
    state: &'static str,
    kinds: Vec<KindView>,
}

#[derive(Debug, Serialize)]
struct KindView {
    kind: ConsoleKind,
    index: u8,
}

impl From<Owner> for ConsoleView {
    fn from(owner: Owner) -> Self {
        let Owner { source, uuid, name, state, kinds } = owner;
        let kinds = kinds.into_iter().map(|kind| KindView { kind: kind.kind, index: kind.index }).collect();
        Self { source, uuid, name, state: state.as_str(), kinds }
    }
}

/// `GET /v1/consoles`
pub(super) async fn consoles(State(api): State<Api>) -> Result<Json<ConsoleList>, Problem> {
    let owners = api.consoles.list().await?;
    Ok(Json(ConsoleList { consoles: owners.into_iter().map(ConsoleView::from).collect() }))
}

/// Goes on even if whoever asked hangs up, which drops the handler: a token withdrawn in the database whose sessions
/// live on would be worse than either.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(Problem::internal(&error)))
}

#[derive(Debug, Serialize)]
pub(super) struct Rotated {
    kid: KeyId,
}

/// `POST /v1/signing-keys/rotate`
pub(super) async fn rotate(State(api): State<Api>) -> Result<Json<Rotated>, Problem> {
    Ok(Json(Rotated { kid: api.tokens.rotate_keys().await? }))
}

#[derive(Debug, Serialize)]
pub(super) struct Status {
    node: NodeName,
    id: NodeId,
    version: &'static str,
    libvirt: &'static str,
    /// Why libvirt is not connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    libvirt_error: Option<String>,
    sessions: usize,
    /// Events that found no room in the audit since the agent started.
    audit_lost: u64,
    signing_key: KeyId,
    certificate_expires: String,
}

/// `GET /v1/status`
pub(super) async fn status(State(api): State<Api>) -> Json<Status> {
    let link = api.consoles.hypervisor().status().borrow().clone();
    let libvirt_error = match &link {
        crate::hypervisor::LinkState::Connecting { last_error, .. } => last_error.clone(),
        crate::hypervisor::LinkState::Disabled | crate::hypervisor::LinkState::Connected { .. } => None,
    };
    Json(Status {
        certificate_expires: api.trust.certificate_expires().to_rfc3339(),
        node: api.node,
        id: api.id,
        version: env!("CARGO_PKG_VERSION"),
        libvirt: link.as_str(),
        libvirt_error,
        sessions: api.sessions.len(),
        audit_lost: api.audit.lost(),
        signing_key: api.tokens.keys().current(),
    })
}
