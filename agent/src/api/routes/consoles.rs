//! `/v1/consoles`, `/v1/external-consoles`: what this node has.

use axum::Json;
use axum::extract::State;
use porthole_shared::names::{ConsoleKind, ConsoleName, ConsoleSource, ConsoleUuid};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::admission::Rights;
use crate::api::extract::Asked;
use crate::api::page::Piece;
use crate::api::problem::Problem;
use crate::api::{Api, schema};
use crate::consoles::{Closed, ExternalConsole, Kind, Owner};

/// What has consoles.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct ConsoleList {
    /// In the order of their names.
    consoles: Vec<ConsoleView>,
    /// `after` of the next piece, if there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// A domain or an external console, with the consoles that it has.
#[derive(Debug, Serialize, ToSchema)]
struct ConsoleView {
    #[schema(schema_with = schema::source)]
    source: ConsoleSource,
    #[schema(schema_with = schema::uuid)]
    uuid: ConsoleUuid,
    #[schema(value_type = String)]
    name: ConsoleName,
    /// libvirt's word for what a domain does; `unknown` for an external console, which nobody asks before it is opened.
    #[schema(example = "running")]
    state: &'static str,
    kinds: Vec<KindView>,
    /// Which of these, and which of its other devices, cannot be opened now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    closed: Vec<ClosedView>,
}

/// Something that cannot be opened.
#[derive(Debug, Serialize, ToSchema)]
struct ClosedView {
    /// What, in words; `all` where nothing could be learnt of a domain.
    #[schema(example = "serial 1 (file)")]
    device: String,
    /// Which of `kinds` it is; not there for a device that is no console.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::kind)]
    kind: Option<ConsoleKind>,
    /// Which one of that kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    index: Option<u8>,
    /// Why not, in words.
    why: String,
}

/// One console of an owner's.
#[derive(Debug, Serialize, ToSchema)]
struct KindView {
    #[schema(schema_with = schema::kind)]
    kind: ConsoleKind,
    /// Which one of that kind, from 0.
    index: u8,
}

impl From<Owner> for ConsoleView {
    fn from(owner: Owner) -> Self {
        let Owner { source, uuid, name, state, life: _, kinds, closed } = owner;
        let kinds = kinds.into_iter().map(|Kind { kind, index }| KindView { kind, index }).collect();
        let closed = closed.into_iter().map(|Closed { device, kind, why }| {
            let (kind, index) = kind.map(|Kind { kind, index }| (kind, index)).unzip();
            ClosedView { device, kind, index, why }
        });
        Self { source, uuid, name, state: state.as_str(), kinds, closed: closed.collect() }
    }
}

/// List domains and external consoles
#[utoipa::path(
    get, path = "/v1/consoles", operation_id = "list_consoles", tag = "consoles", params(Piece),
    responses((status = 200, description = "What this node has, domains that do not run included.", body = ConsoleList))
)]
pub(in crate::api) async fn list(
    State(api): State<Api>,
    _rights: Rights,
    Asked(piece): Asked<Piece>,
) -> Result<Json<ConsoleList>, Problem> {
    let (owners, next) = piece.cut(api.consoles.list().await?, |owner| (owner.name.clone(), owner.uuid))?;
    Ok(Json(ConsoleList { consoles: owners.into_iter().map(ConsoleView::from).collect(), next }))
}

/// The consoles that libvirt does not know.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct ExternalList {
    /// In the order of their names.
    external_consoles: Vec<ExternalView>,
    /// `after` of the next piece, if there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// An entry of the configuration.
#[derive(Debug, Serialize, ToSchema)]
struct ExternalView {
    #[schema(schema_with = schema::uuid)]
    uuid: ConsoleUuid,
    #[schema(value_type = String)]
    name: ConsoleName,
    #[schema(schema_with = schema::kind)]
    kind: ConsoleKind,
    /// A name or an address.
    #[schema(example = "10.0.0.17")]
    host: String,
    port: u16,
}

impl From<&ExternalConsole> for ExternalView {
    fn from(console: &ExternalConsole) -> Self {
        let ExternalConsole { uuid, name, kind, address } = console;
        Self { uuid: *uuid, name: name.clone(), kind: *kind, host: address.host().to_owned(), port: address.port() }
    }
}

/// List external consoles, and where they are
#[utoipa::path(
    get, path = "/v1/external-consoles", operation_id = "list_external_consoles", tag = "consoles", params(Piece),
    responses((status = 200, description = "The consoles of `[external]` in the agent's configuration.",
               body = ExternalList))
)]
pub(in crate::api) async fn external(
    State(api): State<Api>,
    _rights: Rights,
    Asked(piece): Asked<Piece>,
) -> Result<Json<ExternalList>, Problem> {
    let external = api.consoles.external();
    let mut consoles: Vec<&ExternalConsole> = external.consoles().iter().collect();
    consoles.sort_by(|a, b| (&a.name, a.uuid).cmp(&(&b.name, b.uuid)));
    let (consoles, next) = piece.cut(consoles, |console| (console.name.clone(), console.uuid))?;
    Ok(Json(ExternalList { external_consoles: consoles.into_iter().map(ExternalView::from).collect(), next }))
}
