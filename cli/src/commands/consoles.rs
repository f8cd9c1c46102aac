//! `porthole consoles`.

use crate::client::Agent;
use crate::client::api::{CONSOLES, Console, Consoles};
use crate::failure::Failure;
use crate::output::{Cell, Output, Table, Tone};

/// Lists them.
pub(super) fn run(agent: &Agent, output: Output) -> Result<(), Failure> {
    let answer = agent.list::<Consoles>(CONSOLES, "consoles")?;
    let mut table = Table::new(["NAME", "STATE", "CONSOLES", "SOURCE", "UUID", "CLOSED"]);
    for console in &answer.parsed.consoles {
        let state = Cell::toned(&console.state, if console.state == "running" { Tone::Good } else { Tone::Plain });
        table.row([
            (&console.name).into(),
            state,
            kinds(console).into(),
            (&console.source).into(),
            (&console.uuid).into(),
            closed(console).into(),
        ]);
    }
    output.table(&answer.json, &table, "This node has no guests and no external consoles.")
}

/// `vnc serial serial:1`: the index where it is not 0.
fn kinds(console: &Console) -> String {
    let shown = console.kinds.iter().map(|kind| match kind.index {
        0 => kind.kind.clone(),
        index => format!("{}:{index}", kind.kind),
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// `vnc 0, spice 0: the domain is shut_off; serial 0 (file): …`: each reason once.
fn closed(console: &Console) -> String {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for closed in &console.closed {
        match reasons.iter_mut().find(|(why, _)| *why == closed.why) {
            Some((_, devices)) => devices.push(&closed.device),
            None => reasons.push((&closed.why, vec![&closed.device])),
        }
    }
    let shown: Vec<_> = reasons.iter().map(|(why, devices)| format!("{}: {why}", devices.join(", "))).collect();
    if shown.is_empty() { "-".to_owned() } else { shown.join("; ") }
}
