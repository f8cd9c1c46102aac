//! `/v1/ports`: which of this host's ports are whose.

use axum::Json;
use axum::extract::State;
use porthole_shared::clock::UnixTime;
use porthole_shared::names::{ConsoleName, ConsoleUuid};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::to_its_end;
use crate::api::extract::{Asked, Body, Id};
use crate::api::page::Piece;
use crate::api::problem::Problem;
use crate::api::{Api, schema};
use crate::ports::{Device, ListedPort, Owner, PortState, Ports, Purpose};

/// The ports that are not free.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct PortList {
    /// In their order.
    ports: Vec<PortView>,
    /// `after` of the next piece, if there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// A port that is not free.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct PortView {
    #[schema(minimum = 1, maximum = 65535)]
    port: u16,
    /// From which range it is; not there if it is in none (any more).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::purpose)]
    range: Option<&'static str>,
    /// `pending`: libvirt does not have the domain yet. `releasing`: it does not have it any more. `foreign`: something
    /// else listens there.
    #[schema(schema_with = schema::port_state)]
    state: &'static str,
    /// Whose it is; not there if it is foreign.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    owner: Option<OwnerView>,
    /// The domain was found to use it; it was not asked for.
    adopted: bool,
    /// Since when it is in this state.
    #[schema(schema_with = schema::time)]
    since: String,
    /// When this state ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    expires: Option<String>,
    /// Domains whose XML has it as well, although it is not theirs: give one of them another.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    claimed_by: Vec<OwnerView>,
}

/// A device of a domain.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct OwnerView {
    /// The domain's UUID.
    #[schema(schema_with = schema::uuid)]
    domain: ConsoleUuid,
    /// What it is called, if libvirt has said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    name: Option<ConsoleName>,
    #[schema(schema_with = schema::device)]
    device: String,
}

impl OwnerView {
    fn new(owner: Owner, name: Option<ConsoleName>) -> Self {
        Self { domain: owner.domain, name, device: owner.device.to_string() }
    }
}

impl PortView {
    fn new(ports: &Ports, ListedPort { row, name, claimed_by }: ListedPort) -> Self {
        Self {
            port: row.port,
            range: ports.config().purpose(row.port).map(Purpose::as_str),
            state: PortState::as_str(row.state),
            owner: row.owner.map(|owner| OwnerView::new(owner, name)),
            adopted: row.adopted,
            since: row.since.to_rfc3339(),
            expires: row.expires.map(UnixTime::to_rfc3339),
            claimed_by: claimed_by.into_iter().map(|(owner, name)| OwnerView::new(owner, name)).collect(),
        }
    }
}

/// List the ports that are not free
#[utoipa::path(
    get, path = "/v1/ports", operation_id = "list_ports", tag = "ports", params(Piece),
    responses((status = 200, description = "The ports that are not free, in their order.", body = PortList))
)]
pub(in crate::api) async fn list(
    State(api): State<Api>,
    Asked(piece): Asked<Piece>,
) -> Result<Json<PortList>, Problem> {
    let all = api.ports.list().await.map_err(|error| Problem::of_ports(&error, &error))?;
    let (ports, next) = piece.cut(all, |listed| listed.row.port)?;
    Ok(Json(PortList { ports: ports.into_iter().map(|listed| PortView::new(&api.ports, listed)).collect(), next }))
}

/// Ports that are wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct PortsWanted {
    /// For which domain. libvirt may not have it yet.
    #[schema(schema_with = schema::uuid)]
    domain: ConsoleUuid,
    /// For which of its devices, each counted from 0 among those of its sort.
    #[schema(schema_with = schema::devices)]
    devices: Vec<Device>,
}

/// Ports that a domain has.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct PortsGiven {
    /// In the order in which they were asked for.
    ports: Vec<PortGiven>,
}

/// A device and its port.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct PortGiven {
    #[schema(schema_with = schema::device)]
    device: String,
    #[schema(minimum = 1, maximum = 65535)]
    port: u16,
}

impl PortGiven {
    pub(super) fn new(device: Device, port: u16) -> Self {
        Self { device: device.to_string(), port }
    }
}

/// Get ports for a domain's devices
///
/// All or none. A device that has a port gets the same one again. As long as libvirt does not have the domain, they are
/// kept for `[ports] pending`.
#[utoipa::path(
    post, path = "/v1/ports", operation_id = "allocate_ports", tag = "ports", request_body = PortsWanted,
    responses((status = 200, description = "These are the domain's.", body = PortsGiven),
              (status = 409, description = "There are not so many free ports in one of the ranges.", body = Problem,
               content_type = "application/problem+json"),
              (status = 507, description = "There is no room on the disk: nothing has changed.", body = Problem,
               content_type = "application/problem+json"))
)]
pub(in crate::api) async fn allocate(
    State(api): State<Api>,
    Body { value: PortsWanted { domain, devices }, .. }: Body<PortsWanted>,
) -> Result<Json<PortsGiven>, Problem> {
    to_its_end(async move {
        let ports = api.ports.allocate(domain, &devices).await?;
        let given = devices.iter().zip(ports).map(|(device, port)| PortGiven::new(*device, port));
        Ok(Json(PortsGiven { ports: given.collect() }))
    })
    .await
}

/// Ports that were released.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct PortsReleased {
    /// How many the domain has.
    ports: u64,
}

/// Release a domain's ports
///
/// They are free after `[ports] grace`. If libvirt has the domain, it keeps them: they belong to its definition.
#[utoipa::path(
    delete, path = "/v1/ports/{domain}", operation_id = "release_ports", tag = "ports",
    params(("domain" = String, Path, description = "The domain's UUID", format = "uuid")),
    responses((status = 200, description = "They are marked as to be freed.", body = PortsReleased),
              (status = 404, description = "No port is this domain's.", body = Problem,
               content_type = "application/problem+json"))
)]
pub(in crate::api) async fn release(
    State(api): State<Api>,
    Id(domain): Id<ConsoleUuid>,
) -> Result<Json<PortsReleased>, Problem> {
    to_its_end(async move {
        match api.ports.release(domain).await {
            Ok(0) => Err(Problem::no_such_ports()),
            Ok(ports) => Ok(Json(PortsReleased { ports })),
            Err(error) => Err(Problem::of_ports(&error, &error)),
        }
    })
    .await
}
