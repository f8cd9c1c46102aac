//! `/v1/serial/{console}/{index}`: a serial port's output, who is on it, and a place on it for an operator ([`attach`]).

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use porthole_shared::lifecycle::chain;
use porthole_shared::names::{ConsoleId, ConsoleKind, ConsoleSource};
use porthole_shared::reason::Reason;
use porthole_shared::tunnel::Writer;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::admission::Rights;
use crate::api::extract::Asked;
use crate::api::problem::Problem;
use crate::serial::{MOST_OUTPUT, Output, OutputError, Part, Status};

pub(in crate::api) mod attach;

/// How many lines are given if nobody says.
const LINES: usize = 100;

/// The most lines.
const MOST_LINES: usize = 100_000;

const START: HeaderName = HeaderName::from_static("porthole-start");
const OFFSET: HeaderName = HeaderName::from_static("porthole-offset");

/// A port, as a path names it: by its owner's name or UUID, and its number from 0.
#[derive(Debug)]
pub(in crate::api) struct Named {
    owner: String,
    index: u8,
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let nowhere = || Problem::reason(Reason::NoSuchConsole, "there is no such serial port");
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Ok(Path((owner, index))) = path else { return Err(nowhere()) };
        Ok(Self { owner, index: index.parse().map_err(|_| nowhere())? })
    }
}

async fn find(api: &Api, named: &Named) -> Result<ConsoleId, Problem> {
    let owner = api.consoles.find(&named.owner).await?;
    let is_port = |kind: &crate::consoles::Kind| kind.kind == ConsoleKind::Serial && kind.index == named.index;
    if owner.source != ConsoleSource::Libvirt || !owner.kinds.iter().any(is_port) {
        let detail = format!("{} has no serial port {}", owner.name, named.index);
        return Err(Problem::new(StatusCode::NOT_FOUND, Reason::NoSuchKind.code(), detail));
    }
    Ok(ConsoleId { source: owner.source, uuid: owner.uuid, kind: ConsoleKind::Serial, index: named.index })
}

/// How a serial port is.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct PortView {
    /// Whether it is open and answers.
    attached: bool,
    /// What offsets count from; not there if nothing was kept yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    start: Option<String>,
    /// The offset of the next byte that the guest will say.
    end: u64,
    writer: Option<WriterView>,
    /// How many watch it.
    watchers: usize,
}

/// Who writes to it.
#[derive(Debug, Serialize, ToSchema)]
struct WriterView {
    /// For whom its link was made, or which caller of the API it is.
    who: Option<String>,
    /// The address of its client; none on the host itself.
    client: Option<String>,
    #[schema(schema_with = crate::api::schema::time)]
    since: String,
}

impl From<Writer> for WriterView {
    fn from(writer: Writer) -> Self {
        let Writer { who, client, since } = writer;
        Self {
            who: who.map(|who| who.to_string()),
            client: client.map(|client| client.to_string()),
            since: since.to_rfc3339(),
        }
    }
}

/// Show who is on a serial port
#[utoipa::path(
    get, path = "/v1/serial/{console}/{index}", operation_id = "show_serial_port", tag = "consoles",
    params(("console" = String, Path, description = "The domain, by name or UUID."),
           ("index" = u8, Path, description = "Which of its serial ports, from 0.")),
    responses((status = 200, description = "Who writes, and how many watch.", body = PortView),
              (status = 404, description = "There is no such port.", body = Problem,
               content_type = "application/problem+json"),
              (status = 409, description = "The name is ambiguous.", body = Problem,
               content_type = "application/problem+json"),
              (status = 501, description = "The domain's XML makes no sense.", body = Problem,
               content_type = "application/problem+json"),
              (status = 502, description = "libvirt does not tell.", body = Problem,
               content_type = "application/problem+json"))
)]
pub(in crate::api) async fn show(
    State(api): State<Api>,
    _rights: Rights,
    named: Named,
) -> Result<Json<PortView>, Problem> {
    let console = find(&api, &named).await?;
    let view = match api.serial.status(console.uuid, console.index) {
        None => PortView { attached: false, start: None, end: 0, writer: None, watchers: 0 },
        Some(Status { attached, start, end, writer, watchers }) => {
            PortView { attached, start: Some(start), end, writer: writer.map(WriterView::from), watchers }
        }
    };
    Ok(Json(view))
}

/// Which part of the output is wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct PartAsked {
    /// The last so many lines; 100, if nothing is given.
    #[param(minimum = 1, maximum = 100_000)]
    lines: Option<usize>,
    /// The last so many bytes, instead of lines.
    #[param(minimum = 1, maximum = 8_388_608)]
    bytes: Option<u64>,
}

impl PartAsked {
    fn part(&self) -> Result<Part, Problem> {
        match (self.lines, self.bytes) {
            (Some(_), Some(_)) => Err(Problem::bad_request("lines and bytes: give one of them")),
            (Some(lines), None) if (1..=MOST_LINES).contains(&lines) => Ok(Part::Lines(lines)),
            (Some(_), None) => Err(Problem::bad_request(format!("lines: use 1 to {MOST_LINES}"))),
            (None, Some(bytes)) if (1..=MOST_OUTPUT).contains(&bytes) => Ok(Part::Bytes(bytes)),
            (None, Some(_)) => Err(Problem::bad_request(format!("bytes: use 1 to {MOST_OUTPUT}"))),
            (None, None) => Ok(Part::Lines(LINES)),
        }
    }
}

/// Read what a serial port said last
///
/// Bytes as they are. They come from what is kept of the port, also after its guest has stopped, and otherwise from the
/// domain's `<log>` file, rotated ones included. Where offsets are known, `Porthole-Start` and `Porthole-Offset` say the
/// place of the first byte.
#[utoipa::path(
    get, path = "/v1/serial/{console}/{index}/output", operation_id = "read_serial_output", tag = "consoles",
    params(("console" = String, Path, description = "The domain, by name or UUID."),
           ("index" = u8, Path, description = "Which of its serial ports, from 0."), PartAsked),
    responses((status = 200, description = "What it said.", body = String, content_type = "application/octet-stream"),
              (status = 404, description = "There is no such port.", body = Problem,
               content_type = "application/problem+json"),
              (status = 409, description = "The name is ambiguous.", body = Problem,
               content_type = "application/problem+json"),
              (status = 501, description = "Nothing of its output is kept.", body = Problem,
               content_type = "application/problem+json"),
              (status = 502, description = "libvirt does not tell.", body = Problem,
               content_type = "application/problem+json"))
)]
pub(in crate::api) async fn output(
    State(api): State<Api>,
    _rights: Rights,
    named: Named,
    Asked(asked): Asked<PartAsked>,
) -> Result<Response, Problem> {
    let part = asked.part()?;
    let console = find(&api, &named).await?;
    let Output { bytes, place } = api.serial.output(&console, part).await.map_err(|error| problem(&error))?;
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Some((start, offset)) = place {
        headers.extend(HeaderValue::try_from(start).ok().map(|start| (START, start)));
        headers.insert(OFFSET, offset.into());
    }
    Ok(response)
}

fn problem(error: &OutputError) -> Problem {
    match error {
        OutputError::NotKept => Problem::new(StatusCode::NOT_IMPLEMENTED, "not_kept", error.to_string()),
        OutputError::Resolve(_) => Problem::reason(error.reason(), chain(error)),
    }
}

/// Who is in the way, and since when.
pub(super) fn in_use(writer: &Writer) -> String {
    let who = writer.who.as_ref().map_or_else(|| "somebody".to_owned(), ToString::to_string);
    let from = writer.client.map(|client| format!(" from {client}")).unwrap_or_default();
    format!(
        "{who} writes to this port{from}, since {}: watch (read-only), or take over (force)",
        writer.since.to_rfc3339()
    )
}
