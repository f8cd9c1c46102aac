//! `/v1/status`, `/v1/signing-keys`: the agent itself.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use porthole_shared::names::{NodeId, NodeName};
use porthole_shared::token::KeyId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::admission::Rights;
use crate::api::problem::Problem;
use crate::api::{Api, schema};
use crate::hook::CallCount;
use crate::hypervisor::LinkState;

/// How the agent is.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Status {
    #[schema(value_type = String)]
    node: NodeName,
    /// What tokens call the node.
    #[schema(value_type = String)]
    id: NodeId,
    /// The agent's release.
    version: &'static str,
    /// `connected`, `connecting` or `disabled`.
    libvirt: &'static str,
    /// Why libvirt is not connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    libvirt_error: Option<String>,
    /// How many are live.
    sessions: usize,
    /// Events that found no room in the audit since the agent started.
    audit_lost: u64,
    /// What libvirt's hook has told since the agent started, by operation. Empty if libvirt does not call it.
    hook: BTreeMap<&'static str, HookCalls>,
    /// The key that tokens are signed with.
    #[schema(value_type = String)]
    signing_key: KeyId,
    /// Until when the tunnel's certificate is valid.
    #[schema(schema_with = schema::time)]
    certificate_expires: String,
}

/// How often libvirt's hook told of an operation.
#[derive(Debug, Serialize, ToSchema)]
struct HookCalls {
    count: u64,
    /// When the last time.
    #[schema(schema_with = schema::time)]
    last: String,
}

/// Show how the agent is
#[utoipa::path(
    get, path = "/v1/status", operation_id = "show_status", tag = "agent",
    responses((status = 200, description = "How the agent is.", body = Status))
)]
pub(in crate::api) async fn show(State(api): State<Api>, _rights: Rights) -> Json<Status> {
    let link = api.consoles.hypervisor().status().borrow().clone();
    let libvirt_error = match &link {
        LinkState::Connecting { last_error, .. } => last_error.clone(),
        LinkState::Disabled | LinkState::Connected { .. } => None,
    };
    Json(Status {
        certificate_expires: api.trust.certificate_expires().to_rfc3339(),
        node: api.node.clone(),
        id: api.id.clone(),
        version: env!("CARGO_PKG_VERSION"),
        libvirt: link.as_str(),
        libvirt_error,
        sessions: api.sessions.len(),
        audit_lost: api.audit.lost(),
        hook: api
            .hook
            .counts()
            .into_iter()
            .map(|(operation, CallCount { count, last })| (operation, HookCalls { count, last: last.to_rfc3339() }))
            .collect(),
        signing_key: api.tokens.keys().current(),
    })
}

/// The key that signs from now on.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Rotated {
    #[schema(value_type = String)]
    kid: KeyId,
}

/// Sign with the next key from now on
///
/// Tokens of before stay good. The agent does this by itself every `[tokens] key_rotation`.
#[utoipa::path(
    post, path = "/v1/signing-keys/rotate", operation_id = "rotate_signing_keys", tag = "agent",
    responses((status = 200, description = "Done.", body = Rotated),
              (status = 409, description = "There are so many keys that tokens may still be signed with that there \
                                            cannot be another.",
               body = Problem, content_type = "application/problem+json"))
)]
pub(in crate::api) async fn rotate(State(api): State<Api>, _rights: Rights) -> Result<Json<Rotated>, Problem> {
    Ok(Json(Rotated { kid: api.tokens.rotate_keys().await? }))
}
