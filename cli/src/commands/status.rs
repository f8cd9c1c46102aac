//! `porthole status`.

use crate::client::Agent;
use crate::client::api::{STATUS, Status};
use crate::failure::Failure;
use crate::output::{Output, visible};

/// Shows it.
pub(super) fn run(agent: &Agent, output: Output) -> Result<(), Failure> {
    let answer = agent.read::<Status>(STATUS)?;
    output.result(&answer.json, || text(&answer.parsed))
}

fn text(status: &Status) -> String {
    let sessions = status.sessions.to_string();
    let expires = status.certificate_expires.as_deref().unwrap_or("-");
    let libvirt = match &status.libvirt_error {
        Some(why) => format!("{}: {why}", status.libvirt),
        None => status.libvirt.clone(),
    };
    let lines = [
        ("Node", status.node.as_str()),
        ("Node id", &status.id),
        ("Agent", &status.version),
        ("libvirt", &libvirt),
        ("Sessions", &sessions),
        ("Certificate until", expires),
    ];
    // Said where there is something to say: entries are missing.
    let lost = status.audit_lost.filter(|lost| *lost > 0).map(|lost| lost.to_string());
    let lines = lines.into_iter().chain(lost.as_deref().map(|lost| ("Audit lost", lost)));
    lines.fold(String::new(), |text, (what, value)| format!("{text}{what:18} {}\n", visible(value)))
}
