//! `porthole consoles`: what there is, and what a guest's XML must say so that there is something.

use clap::{Args, Subcommand};

use crate::client::Agent;
use crate::client::api::{CONSOLES, Console, Consoles};
use crate::failure::Failure;
use crate::output::{Cell, Output, Table, Tone};

mod definition;
mod merge;
mod password;
mod render;
mod wanted;

/// List, or work on XML.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  porthole consoles
  porthole consoles --json | jq -r '.consoles[] | select(.state == \"running\") | .name'
  porthole consoles apply web-01 --vnc --serial 1
  porthole consoles merge --vnc --serial 1 < web-01.xml > web-01-with-consoles.xml")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a guest's consoles are defined to be
    #[command(after_help = definition::SHOW_HELP)]
    Show(definition::Guest),
    /// Give a guest consoles, from its next start on
    Apply(definition::Request),
    /// Take the consoles away that a guest was given, from its next start on
    #[command(after_help = definition::REMOVE_HELP)]
    Remove(definition::Guest),
    /// Print the XML elements of consoles, to be put into a domain's XML by hand
    Render(render::Request),
    /// Put consoles into a domain's XML: read from standard input, printed to standard output
    Merge(merge::Request),
}

/// Does it. Rendering and merging ask no agent.
pub(super) fn run(
    arguments: Arguments,
    agent: impl FnOnce() -> Result<Agent, Failure>,
    output: Output,
) -> Result<(), Failure> {
    match arguments.command {
        None => list(&agent()?, output),
        Some(Command::Show(guest)) => definition::show(&guest, &agent()?, output),
        Some(Command::Apply(request)) => definition::apply(&request, &agent()?, output),
        Some(Command::Remove(guest)) => definition::remove(&guest, &agent()?, output),
        Some(Command::Render(request)) => render::run(request, output),
        Some(Command::Merge(request)) => merge::run(request, output),
    }
}

fn list(agent: &Agent, output: Output) -> Result<(), Failure> {
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
