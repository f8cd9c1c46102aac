//! `porthole consoles show | apply | remove`: what a guest's consoles are defined to be, by the agent.

use clap::Args;
use porthole_domain::ConsoleSpec;
use porthole_domain::spec::{ConsoleLog, PasswordRule, Transport};
use porthole_shared::names::ConsoleName;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;

use super::wanted::Which;
use crate::client::Agent;
use crate::client::api::{CONSOLES, Changed, Definition};
use crate::failure::Failure;
use crate::output::Output;

/// Whose.
#[derive(Debug, Args)]
pub(super) struct Guest {
    /// The guest, by name or UUID
    #[arg(value_name = "NAME|UUID")]
    guest: ConsoleName,
}

/// What is to be known of `show`.
pub(super) const SHOW_HELP: &str = "\
Examples:
  porthole consoles show web-01
  porthole consoles show web-01 --json | jq .spec";

/// What is to be known of `remove`.
pub(super) const REMOVE_HELP: &str = "\
Examples:
  porthole consoles remove web-01

Consoles that the guest had before Porthole's do not come back. A running guest keeps what it has until it stops.";

/// What a guest is to have.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  porthole consoles apply web-01 --vnc --serial 1
  porthole consoles apply web-01 --vnc --keymap de --transport tcp
  pass show web-01 | porthole consoles apply web-01 --vnc --transport tcp --vnc-password-file -

The guest's definition in libvirt is changed, and nothing of it but its consoles; a running guest keeps what it has
until its next start. With --vnc every VNC device of the guest is replaced; with --serial every <serial>, and
every <console> that is a serial port by another name. What is not asked for now but was applied earlier goes. With
--transport tcp the agent finds the ports ([ports] of its configuration), the same ones each time. A guest
that has these consoles already is left as it is.")]
pub(super) struct Request {
    #[command(flatten)]
    guest: Guest,
    #[command(flatten)]
    which: Which,
}

impl Guest {
    fn path(&self) -> String {
        format!("{CONSOLES}/{}/definition", crate::client::segment(self.guest.as_str()))
    }
}

/// Tells what is defined.
pub(super) fn show(guest: &Guest, agent: &Agent, output: Output) -> Result<(), Failure> {
    let answer = agent.read::<Definition>(&guest.path())?;
    output.result(&answer.json, || words(&answer.parsed))
}

/// What is asked of the agent.
#[derive(Serialize)]
struct Application {
    #[serde(flatten)]
    spec: ConsoleSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    vnc_password: Option<String>,
}

/// Has consoles defined.
pub(super) fn apply(request: &Request, agent: &Agent, output: Output) -> Result<(), Failure> {
    let wanted = Application {
        spec: request.which.spec()?,
        vnc_password: request.which.password()?.map(|password| password.expose().to_owned()),
    };
    let answer = agent.put::<Changed>(&request.guest.path(), &wanted)?;
    let Changed { changed, definition } = &answer.parsed;
    output.result(&answer.json, || format!("{}{}", outcome(*changed), words(definition)))
}

/// Has them taken away.
pub(super) fn remove(guest: &Guest, agent: &Agent, output: Output) -> Result<(), Failure> {
    let answer = agent.remove::<Changed>(&guest.path())?;
    let Changed { changed, definition } = &answer.parsed;
    output.result(&answer.json, || format!("{}{}", outcome(*changed), words(definition)))
}

const fn outcome(changed: bool) -> &'static str {
    if changed { "The definition was changed.\n" } else { "The definition is so already; nothing was changed.\n" }
}

fn words(definition: &Definition) -> String {
    let Definition { uuid, name, state, spec, ports, until_restart, saved } = definition;
    let mut lines = vec![format!("{name} ({uuid}), {state}")];
    match spec {
        Some(spec) => lines.extend(lines_of(spec).into_iter().map(|line| format!("  {line}"))),
        None => lines.push("  no consoles of Porthole's".to_owned()),
    }
    lines.extend(ports.iter().map(|given| format!("  {} on port {}", given.device, given.port)));
    if !until_restart.is_empty() {
        lines.push(format!("Takes effect at the guest's next start: {}.", until_restart.join(", ")));
    }
    if *saved {
        lines.push(
            "The guest was saved: its next start goes on from there, with the consoles that it had (or `virsh \
             managedsave-remove` first)."
                .to_owned(),
        );
    }
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

fn lines_of(spec: &Value) -> Vec<String> {
    ConsoleSpec::deserialize(spec).map_or_else(|_| vec![spec.to_string()], |spec| described(&spec))
}

fn described(spec: &ConsoleSpec) -> Vec<String> {
    let transport = match spec.transport {
        Transport::Sealed => "transport sealed: nothing listens on a port",
        Transport::Tcp => "transport tcp",
    };
    let vnc = spec.vnc.as_ref().map(|vnc| {
        let keymap = vnc.keymap.as_ref().map(|keymap| format!(", keymap {keymap}")).unwrap_or_default();
        let password = match spec.password() {
            Some(PasswordRule::Random) => ", password random",
            Some(PasswordRule::Given) => ", password given",
            Some(PasswordRule::None) | None => ", no password",
        };
        format!("vnc, share policy {}{keymap}{password}", vnc.share)
    });
    let serial = spec.serial.as_ref().map(|serial| {
        let log = match &serial.log {
            ConsoleLog::Host => "kept on the host".to_owned(),
            ConsoleLog::Off => "not kept".to_owned(),
            ConsoleLog::File(path) => format!("kept in {path}"),
        };
        let ports = serial.ports.number();
        let protocol = if spec.transport == Transport::Tcp { format!(", {}", serial.protocol) } else { String::new() };
        format!("{ports} serial port{}{protocol}, output {log}", if ports == 1 { "" } else { "s" })
    });
    std::iter::once(transport.to_owned()).chain(vnc).chain(serial).collect()
}
