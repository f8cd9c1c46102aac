//! `/v1/consoles/{console}/definition`, `/v1/consoles/render`, `/v1/consoles/merge`: what domains' consoles are defined to
//! be.

mod password;

use axum::Json;
use axum::extract::State;
use porthole_domain::spec::{Serial, Transport, Vnc};
use porthole_domain::{ConsoleSpec, Difference};
use porthole_shared::names::{ConsoleName, ConsoleUuid};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use self::password::Password;
use super::ports::PortGiven;
use super::to_its_end;
use crate::api::extract::{Body, Id};
use crate::api::problem::Problem;
use crate::api::{Api, schema};
use crate::definitions::{Changed, DevicePort, Shown};
use crate::hypervisor::NameOrUuid;

/// The longest body with a domain's XML in it: twice the longest XML, as JSON writes quotes and line ends in two bytes.
const MOST: usize = 2 * crate::hypervisor::MAX_XML_BYTES;

/// What consoles a domain is to have. A sort that is left out is not Porthole's there: its devices are left alone.
#[derive(Debug, ToSchema)]
#[schema(as = ConsoleSpec)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "this is for the description only; what is read and sent is a ConsoleSpec")]
pub(in crate::api) struct SpecView {
    /// `sealed` (the default): nothing listens on a port. `tcp`: on ports of the table.
    #[serde(default)]
    #[schema(schema_with = schema::transport)]
    transport: String,
    /// The screen.
    vnc: Option<VncView>,
    /// The serial ports.
    serial: Option<SerialView>,
}

/// A VNC server.
#[derive(Debug, ToSchema)]
#[schema(as = VncSpec)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "as above")]
struct VncView {
    /// The guest's keyboard, in QEMU's words, for viewers that send characters instead of keys.
    #[serde(default)]
    #[schema(schema_with = schema::keymap)]
    keymap: Option<String>,
    /// What happens when a second viewer comes; `ignore` (the default): all stay.
    #[serde(default)]
    #[schema(schema_with = schema::share)]
    share: String,
    /// Whose its password is. `random` (the default of `tcp`): nobody is told; the agent needs none. `none` (the default of
    /// `sealed`). `given`: what `vnc_password` says, or said when the domain was given its consoles earlier.
    #[serde(default)]
    #[schema(schema_with = schema::password_rule)]
    password: Option<String>,
}

/// Serial ports.
#[derive(Debug, ToSchema)]
#[schema(as = SerialSpec)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "as above")]
struct SerialView {
    /// How many; or what an OpenStack flavor (`hw:serial_port_count`) and image (`hw_serial_port_count`) say, of which the
    /// number is made as Nova makes it. It is shown as a number.
    #[schema(schema_with = schema::serial_ports)]
    ports: u8,
    /// On TCP; `raw` is the default.
    #[serde(default)]
    #[schema(schema_with = schema::serial_protocol)]
    protocol: String,
    /// Where what the guest says is kept: `host` (the default), `off`, or the first port's file, which is in the folder
    /// `[consoles] logs`.
    #[serde(default)]
    #[schema(schema_with = schema::console_log)]
    log: String,
}

/// What consoles a domain is to have, and a password for its screen.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Application {
    /// `sealed` (the default): nothing listens on a port. `tcp`: on ports of the table.
    #[serde(default)]
    #[schema(schema_with = schema::transport)]
    transport: Transport,
    /// The screen.
    #[schema(value_type = Option<VncView>)]
    vnc: Option<Vnc>,
    /// The serial ports.
    #[schema(value_type = Option<SerialView>)]
    serial: Option<Serial>,
    /// The screen's password from now on. It is never told, but in the domain's XML to whoever may ask libvirt for its
    /// secrets.
    #[schema(schema_with = schema::vnc_password)]
    vnc_password: Option<Password>,
}

/// What a domain's consoles are defined to be.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct DefinitionView {
    #[schema(schema_with = schema::uuid)]
    uuid: ConsoleUuid,
    #[schema(value_type = String)]
    name: ConsoleName,
    /// libvirt's word for what the domain does.
    #[schema(example = "running")]
    state: &'static str,
    /// What it is to have; null if its consoles are not Porthole's.
    #[schema(value_type = Option<SpecView>)]
    spec: Option<ConsoleSpec>,
    /// The ports of that.
    ports: Vec<PortGiven>,
    /// Which consoles the running domain has otherwise: they change at its next start.
    #[schema(schema_with = schema::differences)]
    until_restart: Vec<&'static str>,
    /// The domain was saved: its next start goes on as it was then, with the consoles that it had.
    saved: bool,
}

/// What came of a change.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct ChangedView {
    /// Whether the definition has changed; if it was so already, nothing was written.
    changed: bool,
    /// How it is now.
    definition: DefinitionView,
}

impl From<Shown> for DefinitionView {
    fn from(shown: Shown) -> Self {
        let Shown { uuid, name, state, spec, ports, until_restart, is_saved } = shown;
        let until_restart = until_restart.into_iter().map(Difference::as_str).collect();
        Self { uuid, name, state: state.as_str(), spec, ports: given(&ports), until_restart, saved: is_saved }
    }
}

impl From<Changed> for ChangedView {
    fn from(Changed { changed, now }: Changed) -> Self {
        Self { changed, definition: now.into() }
    }
}

fn given(ports: &[DevicePort]) -> Vec<PortGiven> {
    ports.iter().map(|given| PortGiven::new(given.device, given.port)).collect()
}

/// Show what a domain's consoles are defined to be
#[utoipa::path(
    get, path = "/v1/consoles/{console}/definition", operation_id = "show_definition", tag = "consoles",
    params(("console" = String, Path, description = "The domain, by name or UUID")),
    responses((status = 200, description = "From its next start on.", body = DefinitionView),
              (status = 404, description = "There is no such domain.", body = Problem, content_type = "application/problem+json"),
              (status = 409, description = "The domain is transient, or its XML cannot be used.", body = Problem,
               content_type = "application/problem+json"),
              (status = 502, description = "libvirt does not answer for this domain.", body = Problem,
               content_type = "application/problem+json"))
)]
pub(in crate::api) async fn show(
    State(api): State<Api>,
    Id(console): Id<NameOrUuid>,
) -> Result<Json<DefinitionView>, Problem> {
    Ok(Json(api.definitions.show(&console).await?.into()))
}

/// Give a domain consoles
///
/// Its definition is changed, and nothing of it but the consoles: `until_restart` says what a running domain has otherwise
/// until its next start. A definition that has these consoles already is not written.
#[utoipa::path(
    put, path = "/v1/consoles/{console}/definition", operation_id = "apply_definition", tag = "consoles",
    params(("console" = String, Path, description = "The domain, by name or UUID")),
    request_body = Application,
    responses((status = 200, description = "It is so now.", body = ChangedView),
              (status = 404, description = "There is no such domain.", body = Problem, content_type = "application/problem+json"),
              (status = 409, description = "The domain is transient, its XML cannot be used, somebody else changes it, or \
               there are no ports. Nothing has changed.", body = Problem, content_type = "application/problem+json"),
              (status = 502, description = "libvirt refuses the definition, or does not answer for this domain.",
               body = Problem, content_type = "application/problem+json"))
)]
pub(in crate::api) async fn apply(
    State(api): State<Api>,
    Id(console): Id<NameOrUuid>,
    Body { value, .. }: Body<Application>,
) -> Result<Json<ChangedView>, Problem> {
    let Application { transport, vnc, serial, vnc_password } = value;
    let (spec, password) = password::with(ConsoleSpec { transport, vnc, serial }, vnc_password);
    to_its_end(async move { Ok(Json(api.definitions.apply(&console, &spec, password.as_ref()).await?.into())) }).await
}

/// Take the consoles away that a domain was given
///
/// Those of a running domain stay until it stops.
#[utoipa::path(
    delete, path = "/v1/consoles/{console}/definition", operation_id = "remove_definition", tag = "consoles",
    params(("console" = String, Path, description = "The domain, by name or UUID")),
    responses((status = 200, description = "It has none of Porthole's now.", body = ChangedView),
              (status = 404, description = "There is no such domain.", body = Problem, content_type = "application/problem+json"),
              (status = 409, description = "The domain is transient, its XML cannot be used, or somebody else changes it.",
               body = Problem, content_type = "application/problem+json"),
              (status = 502, description = "libvirt refuses the definition, or does not answer for this domain.",
               body = Problem, content_type = "application/problem+json"))
)]
pub(in crate::api) async fn remove(
    State(api): State<Api>,
    Id(console): Id<NameOrUuid>,
) -> Result<Json<ChangedView>, Problem> {
    to_its_end(async move { Ok(Json(api.definitions.remove(&console).await?.into())) }).await
}

/// Consoles that are wanted as XML.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct RenderWanted {
    /// Of which domain. libvirt may not have it yet.
    #[schema(schema_with = schema::uuid)]
    domain: ConsoleUuid,
    #[schema(value_type = SpecView)]
    spec: ConsoleSpec,
    /// The screen's password.
    #[schema(schema_with = schema::vnc_password)]
    vnc_password: Option<Password>,
}

/// The XML of consoles.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Rendered {
    /// For `<metadata>`.
    metadata: String,
    /// For `<devices>`, in the place of the VNC devices and serial ports that are there. The screen's password is in it, if
    /// it has one.
    devices: Vec<String>,
    /// The ports in it. They are kept for the domain, for `[ports] pending` until libvirt has it.
    ports: Vec<PortGiven>,
}

/// Render consoles as elements of a domain's XML
///
/// For whoever defines the domain. With transport `tcp` it gets its ports; the same ones the next time.
#[utoipa::path(
    post, path = "/v1/consoles/render", operation_id = "render_consoles", tag = "consoles", request_body = RenderWanted,
    responses((status = 200, description = "The elements.", body = Rendered),
              (status = 409, description = "There are no ports.", body = Problem, content_type = "application/problem+json"))
)]
pub(in crate::api) async fn render(
    State(api): State<Api>,
    Body { value: RenderWanted { domain, spec, vnc_password }, .. }: Body<RenderWanted>,
) -> Result<Json<Rendered>, Problem> {
    let (spec, password) = password::with(spec, vnc_password);
    to_its_end(async move {
        let (fragments, ports) = api.definitions.render(domain, &spec, password.as_ref()).await?;
        Ok(Json(Rendered { metadata: fragments.metadata, devices: fragments.devices, ports: given(&ports) }))
    })
    .await
}

/// XML that is to have consoles.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct MergeWanted {
    /// A domain's. Without UUID it gets one.
    #[schema(example = "<domain><name>web-01</name></domain>")]
    xml: String,
    #[schema(value_type = SpecView)]
    spec: ConsoleSpec,
    /// The screen's password from now on; without it, one that was given earlier stays.
    #[schema(schema_with = schema::vnc_password)]
    vnc_password: Option<Password>,
}

/// XML with consoles.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct MergedView {
    /// The domain's.
    #[schema(schema_with = schema::uuid)]
    uuid: Uuid,
    /// As it was, byte for byte, but for the consoles.
    xml: String,
    /// The ports in it. They are kept for the domain, for `[ports] pending` until libvirt has it.
    ports: Vec<PortGiven>,
}

/// Merge consoles into a domain's XML
///
/// For whoever defines the domain. Merging the same again changes nothing. Malformed XML is refused with line and column.
#[utoipa::path(
    post, path = "/v1/consoles/merge", operation_id = "merge_consoles", tag = "consoles", request_body = MergeWanted,
    responses((status = 200, description = "The XML.", body = MergedView),
              (status = 409, description = "There are no ports.", body = Problem, content_type = "application/problem+json"))
)]
pub(in crate::api) async fn merge(
    State(api): State<Api>,
    Body { value: MergeWanted { xml, spec, vnc_password }, .. }: Body<MergeWanted, MOST>,
) -> Result<Json<MergedView>, Problem> {
    let (spec, password) = password::with(spec, vnc_password);
    to_its_end(async move {
        let merged = api.definitions.merge(&xml, &spec, password.as_ref()).await?;
        Ok(Json(MergedView { uuid: merged.uuid, xml: merged.xml.expose().clone(), ports: given(&merged.ports) }))
    })
    .await
}
