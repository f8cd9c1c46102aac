//! `porthole audit`: who asked for consoles, who saw them, who was refused, and how it ended.

use clap::Args;
use porthole_shared::clock::{Clock as _, SystemClock, UnixTime};
use porthole_shared::config::Duration;
use serde::Deserialize;
use serde_json::Value;

use super::sessions::amount;
use super::tokens::Which;
use crate::client::api::{AUDIT, Entry};
use crate::client::{Agent, Answer, query};
use crate::failure::Failure;
use crate::output::{Cell, Output, Table, Tone, plain};

/// The most that the agent says at once.
const LONGEST_PAGE: u32 = 1000;

/// What there is.
const EVENTS: [&str; 8] = ["minted", "redeemed", "refused", "started", "ended", "revoked", "killed", "lost"];

/// Which entries.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  porthole audit                                 the latest 100
  porthole audit --since 1h --console web-01     all of the last hour about one guest
  porthole audit --event refused --requestor alice
  porthole audit --since 2026-11-20T00:00:00Z --json > audit.jsonl

With --json each entry is one line. Of an event that happened many times within a minute (refusals) there
is one entry with its count. Entries are kept as [audit] of the agent's configuration says.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    which: Which,
    /// From then on: a length of time until now (1h, 7d), or a moment in RFC 3339
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    since: Option<UnixTime>,
    /// Before then
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    until: Option<UnixTime>,
    /// Those of this sort
    #[arg(long, value_name = "WORD", value_parser = EVENTS)]
    event: Option<String>,
    /// The latest of them, so many, at most 1000 [default: 100; with --since, all]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=i64::from(LONGEST_PAGE)))]
    limit: Option<u32>,
}

/// The answer.
#[derive(Debug, Deserialize)]
struct Page {
    entries: Vec<Entry>,
    #[serde(default)]
    next: Option<i64>,
}

/// Does it.
pub(super) fn run(arguments: &Arguments, agent: &Agent, output: Output) -> Result<(), Failure> {
    if arguments.since.is_none() || arguments.limit.is_some() {
        return show(&read(arguments, None, arguments.limit.unwrap_or(100), agent)?, output);
    }
    // All of them, which may be many: from the first on, in pieces.
    let mut after = 0;
    loop {
        let answer = read(arguments, Some(after), LONGEST_PAGE, agent)?;
        if after == 0 || !answer.parsed.entries.is_empty() {
            show(&answer, output)?;
        }
        // Whatever an agent says, this goes forward.
        match answer.parsed.next.filter(|next| *next > after) {
            Some(next) => after = next,
            None => return Ok(()),
        }
    }
}

fn read(arguments: &Arguments, after: Option<i64>, limit: u32, agent: &Agent) -> Result<Answer<Page>, Failure> {
    let Arguments { which, since, until, event, .. } = arguments;
    let [console, requestor] = which.pairs();
    let (since, until) = (since.map(UnixTime::to_rfc3339), until.map(UnixTime::to_rfc3339));
    let (limit, after) = (limit.to_string(), after.map(|id| id.to_string()));
    let path = query(
        AUDIT,
        &[
            ("since", since.as_deref()),
            ("until", until.as_deref()),
            console,
            requestor,
            ("event", event.as_deref()),
            ("limit", Some(&limit)),
            ("after", after.as_deref()),
        ],
    );
    Ok(agent.read(&path)?)
}

fn show(answer: &Answer<Page>, output: Output) -> Result<(), Failure> {
    if output.is_json() {
        let entries = answer.json.get("entries").and_then(Value::as_array).into_iter().flatten();
        return plain(&entries.fold(String::new(), |lines, entry| format!("{lines}{entry}\n")));
    }
    let mut table = Table::new([
        "AT",
        "EVENT",
        "CONSOLE",
        "KIND",
        "REQUESTOR",
        "CALLER",
        "CLIENT",
        "EDGE",
        "REASON",
        "IN",
        "OUT",
        "COUNT",
        "SESSION",
    ]);
    for entry in &answer.parsed.entries {
        table.row(row(entry));
    }
    output.table(&Value::Null, &table, "The audit has nothing of that.")
}

fn row(entry: &Entry) -> [Cell; 13] {
    let or_none = |text: &Option<String>| Cell::from(text.as_deref().unwrap_or("-"));
    let number = |number: Option<u64>| Cell::from(number.map_or_else(|| "-".to_owned(), |number| number.to_string()));
    let bytes = |bytes: Option<u64>| Cell::from(bytes.map_or_else(|| "-".to_owned(), amount));
    let tone = match entry.event.as_str() {
        "refused" | "killed" | "revoked" => Tone::Warning,
        "lost" => Tone::Bad,
        _ => Tone::Plain,
    };
    [
        (&entry.at).into(),
        Cell::toned(&entry.event, tone),
        or_none(&entry.name),
        entry.console.as_ref().map_or("-", |console| &console.kind).into(),
        or_none(&entry.requestor),
        or_none(&entry.caller),
        or_none(&entry.client),
        or_none(&entry.edge),
        or_none(&entry.reason),
        bytes(entry.bytes_in),
        bytes(entry.bytes_out),
        number(entry.count),
        or_none(&entry.session),
    ]
}

/// A moment, or a length of time before now.
fn moment(text: &str) -> Result<UnixTime, String> {
    moment_before(SystemClock.now(), text)
}

fn moment_before(now: UnixTime, text: &str) -> Result<UnixTime, String> {
    let back = text.parse::<Duration>().map(|length| now.plus(-length.as_seconds()));
    back.or_else(|_| text.parse()).map_err(|_| {
        "give a length of time until now, such as 90m or 7d, or a moment in RFC 3339, such as 2026-11-20T10:00:00Z"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_said_in_two_ways() {
        let now: UnixTime = "2026-11-20T10:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("1h", "2026-11-20T09:00:00Z"),
            ("7d", "2026-11-13T10:00:00Z"),
            ("2026-11-20T11:00:00+02:00", "2026-11-20T09:00:00Z"),
        ] {
            assert_eq!(moment_before(now, text).unwrap().to_rfc3339(), expected);
        }
        for text in ["", "yesterday", "2026-11-20", "-1h"] {
            assert!(moment_before(now, text).unwrap_err().contains("RFC 3339"), "{text}");
        }
    }
}
