//! What happened: the audit's entries, read.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use porthole_shared::clock::UnixTime;
use porthole_shared::names::Requestor;
use serde::{Deserialize, Serialize};

use super::selection;
use crate::api::Api;
use crate::api::problem::Problem;
use crate::audit::{Kind, Page, Record};

/// The most entries in one answer.
const LONGEST_PAGE: u32 = 1000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Wanted {
    since: Option<String>,
    until: Option<String>,
    console: Option<String>,
    requestor: Option<Requestor>,
    event: Option<String>,
    limit: Option<u32>,
    after: Option<i64>,
}

impl Wanted {
    fn page(self) -> Result<Page, Problem> {
        let Self { since, until, console, requestor, event, limit, after } = self;
        let limit = limit.unwrap_or(100);
        if !(1..=LONGEST_PAGE).contains(&limit) {
            return Err(Problem::bad_request(format!("limit is {limit}; use 1 to {LONGEST_PAGE}")));
        }
        let time = |name: &str, text: Option<String>| {
            let parsed = text.map(|text| text.parse::<UnixTime>()).transpose();
            parsed.map_err(|error| Problem::bad_request(format!("{name}: {error}")))
        };
        let event = event.map(|word| word.parse::<Kind>()).transpose();
        Ok(Page {
            since: time("since", since)?,
            until: time("until", until)?,
            event: event.map_err(|error| Problem::bad_request(format!("event: {error}")))?,
            // By the same rule as everywhere, what has the form of a UUID is one.
            console: selection::selector(console.as_deref(), None, None)?.console,
            requestor,
            after,
            limit,
        })
    }
}

#[derive(Debug, Serialize)]
pub(in crate::api) struct EntryList {
    /// In the order of their ids.
    entries: Vec<EntryView>,
    /// The `after` of the next page; none if there is no more.
    next: Option<i64>,
}

/// An entry. What it does not say is left out.
#[derive(Debug, Serialize)]
struct EntryView {
    id: i64,
    at: String,
    event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requestor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    console: Option<ConsoleView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edge: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_in: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_out: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
}

#[derive(Debug, Serialize)]
struct ConsoleView {
    source: String,
    uuid: String,
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

/// `GET /v1/audit?since=&until=&console=&requestor=&event=&limit=&after=`: without `after`, the latest.
pub(in crate::api) async fn audit(
    State(api): State<Api>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<EntryList>, Problem> {
    let mut page = selection::read(wanted)?.page()?;
    let most = page.limit as usize;
    // The latest have none behind them. Otherwise one more tells whether there is a next page.
    page.limit += u32::from(page.after.is_some());
    let mut records = api.audit.page(&page).await?;
    let is_last = records.len() <= most;
    records.truncate(most);
    let next = records.last().filter(|_| !is_last).map(|record| record.id);
    Ok(Json(EntryList { entries: records.into_iter().map(EntryView::from).collect(), next }))
}
