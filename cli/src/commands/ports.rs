//! `porthole ports`: which of this host's ports are whose.

use clap::Args;

use crate::client::Agent;
use crate::client::api::{PORTS, Port, PortOwner, Ports};
use crate::failure::Failure;
use crate::output::{Cell, Output, Table, Tone};

/// Which.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  porthole ports
  porthole ports --domain web-01
  porthole ports --json | jq -r '.ports[] | select(.state == \"foreign\") | .port'

States: leased, a domain's for as long as libvirt has it; pending, for a domain that libvirt does not have yet; releasing,
of a domain that libvirt does not have any more; foreign, where something else listens.")]
pub(crate) struct Arguments {
    /// Only those of this domain, by name or UUID
    #[arg(long, value_name = "NAME|UUID")]
    domain: Option<String>,
}

/// Lists them.
pub(super) fn run(arguments: &Arguments, agent: &Agent, output: Output) -> Result<(), Failure> {
    let mut answer = agent.list::<Ports>(PORTS, "ports")?;
    if let Some(wanted) = &arguments.domain {
        let mut kept = answer.parsed.ports.iter().map(|port| port.concerns(wanted));
        if let Some(ports) = answer.json.get_mut("ports").and_then(|ports| ports.as_array_mut()) {
            // One for one the same ports.
            ports.retain(|_| kept.next().unwrap_or(true));
        }
        drop(kept);
        answer.parsed.ports.retain(|port| port.concerns(wanted));
    }
    let mut table = Table::new(["PORT", "DEVICE", "DOMAIN", "STATE", "SINCE", "UNTIL", "NOTE"]);
    for port in &answer.parsed.ports {
        table.row(row(port));
    }
    output.table(&answer.json, &table, "No port is taken.")
}

impl Port {
    fn concerns(&self, domain: &str) -> bool {
        let is = |owner: &PortOwner| owner.domain == domain || owner.name.as_deref() == Some(domain);
        self.owner.as_ref().is_some_and(is) || self.claimed_by.iter().any(is)
    }
}

impl PortOwner {
    fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.domain)
    }
}

fn row(port: &Port) -> [Cell; 7] {
    let tone = match port.state.as_str() {
        "leased" => Tone::Good,
        "pending" => Tone::Plain,
        _ => Tone::Warning,
    };
    let (device, domain) = port.owner.as_ref().map_or(("-", "-"), |owner| (owner.device.as_str(), owner.title()));
    let claims: Vec<_> = port.claimed_by.iter().map(|other| format!("{} of {}", other.device, other.title())).collect();
    let note = if claims.is_empty() {
        Cell::from(if port.adopted { "found in use" } else { "-" })
    } else {
        Cell::toned(format!("claimed by {}", claims.join(", ")), Tone::Bad)
    };
    [
        port.number.to_string().into(),
        device.into(),
        domain.into(),
        Cell::toned(&port.state, tone),
        (&port.since).into(),
        port.expires.as_deref().unwrap_or("-").into(),
        note,
    ]
}
