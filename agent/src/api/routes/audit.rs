//! `/v1/audit`: what happened, read.

use axum::Json;
use axum::extract::State;
use porthole_shared::clock::UnixTime;
use porthole_shared::names::Requestor;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::admission::Rights;
use crate::api::extract::Asked;
use crate::api::problem::Problem;
use crate::api::{Api, schema};
use crate::audit::{Kind, Page, Record};

/// The most entries in one answer.
const LONGEST_PAGE: u32 = 1000;

/// Which entries are wanted.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct AuditWanted {
    /// Those from then on.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Those before.
    #[param(format = DateTime)]
    until: Option<String>,
    /// Those of this guest or external console, by name or UUID.
    console: Option<String>,
    /// Those of links that this requestor asked for.
    #[param(value_type = Option<String>, min_length = 1, max_length = 255)]
    requestor: Option<Requestor>,
    /// Those of this sort.
    #[param(schema_with = schema::audit_event)]
    event: Option<String>,
    /// At most so many; 100 if not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Those with a greater id, the oldest first: `next` of the piece before, and 0 to begin with. Without it, the latest.
    #[param(minimum = 0)]
    after: Option<i64>,
}

impl AuditWanted {
    fn page(self) -> Result<Page, Problem> {
        let Self { since, until, console, requestor, event, limit, after } = self;
        let limit = limit.unwrap_or(100);
        if !(1..=LONGEST_PAGE).contains(&limit) {
            return Err(Problem::bad_request(format!("limit is {limit}; use 1 to {LONGEST_PAGE}")));
        }
        if after.is_some_and(|after| after < 0) {
            return Err(Problem::bad_request("after: use `next` of an earlier answer, or 0 for the first entries"));
        }
        let time = |name: &str, text: Option<String>| {
            let parsed = text.map(|text| text.parse::<UnixTime>()).transpose();
            parsed.map_err(|error| Problem::bad_request(format!("{name}: {error}")))
        };
        let event = event.map(|word| word.parse::<Kind>()).transpose();
        let console = console.map(|console| console.parse()).transpose();
        Ok(Page {
            since: time("since", since)?,
            until: time("until", until)?,
            event: event.map_err(|error| Problem::bad_request(format!("event: {error}")))?,
            // By the same rule as everywhere, what has the form of a UUID is one.
            console: console.map_err(|error| Problem::bad_request(format!("console: {error}")))?,
            requestor,
            after,
            limit,
        })
    }
}

/// What happened.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct EntryList {
    /// In the order of their ids.
    entries: Vec<EntryView>,
    /// `after` of the next piece, if there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<i64>,
}

/// An entry. What it does not say is left out.
#[derive(Debug, Serialize, ToSchema)]
struct EntryView {
    id: i64,
    #[schema(schema_with = schema::time)]
    at: String,
    #[schema(schema_with = schema::audit_event)]
    event: String,
    /// Which caller of the API did it, or had the link made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    caller: Option<String>,
    /// Who asked for the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    requestor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    console: Option<ConsoleView>,
    /// What the console was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    token_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    session: Option<String>,
    /// The client, as the edge sees it; of refusals, its network.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    edge: Option<String>,
    /// The code of a reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// From the client, of this connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    bytes_in: Option<i64>,
    /// To the client, of this connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    bytes_out: Option<i64>,
    /// How many the session has left, or how many were told to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    connections: Option<i64>,
    /// How many there were of this sort, or tokens withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    count: Option<i64>,
    /// When the first of them was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    first: Option<String>,
}

/// A console, as it was when it happened.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditedConsole)]
struct ConsoleView {
    #[schema(schema_with = schema::source)]
    source: String,
    #[schema(schema_with = schema::uuid)]
    uuid: String,
    #[schema(schema_with = schema::kind)]
    kind: String,
    index: i64,
}

impl From<Record> for EntryView {
    fn from(record: Record) -> Self {
        let console = match (record.source, record.uuid, record.kind, record.idx) {
            (Some(source), Some(uuid), Some(kind), Some(index)) => Some(ConsoleView { source, uuid, kind, index }),
            _ => None,
        };
        Self {
            id: record.id,
            at: UnixTime(record.at).to_rfc3339(),
            event: record.event,
            caller: record.caller,
            requestor: record.requestor,
            console,
            name: record.name,
            token_id: record.token,
            session: record.session,
            client: record.client,
            edge: record.edge,
            reason: record.reason,
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
            connections: record.connections,
            count: record.count,
            first: record.first.map(|first| UnixTime(first).to_rfc3339()),
        }
    }
}

/// Read what happened
///
/// Without `after` the latest entries. Refusals of the last minute are not yet among them.
#[utoipa::path(
    get, path = "/v1/audit", operation_id = "read_audit", tag = "agent", params(AuditWanted),
    responses((status = 200, description = "What happened.", body = EntryList),
              (status = 409, description = "This agent keeps no audit.", body = Problem,
               content_type = "application/problem+json"))
)]
pub(in crate::api) async fn show(
    State(api): State<Api>,
    _rights: Rights,
    Asked(wanted): Asked<AuditWanted>,
) -> Result<Json<EntryList>, Problem> {
    let mut page = wanted.page()?;
    let most = page.limit as usize;
    // The latest have none behind them. Otherwise one more tells whether there is a next page.
    page.limit += u32::from(page.after.is_some());
    let mut records = api.audit.page(&page).await?;
    let is_last = records.len() <= most;
    records.truncate(most);
    let next = records.last().filter(|_| !is_last).map(|record| record.id);
    Ok(Json(EntryList { entries: records.into_iter().map(EntryView::from).collect(), next }))
}
