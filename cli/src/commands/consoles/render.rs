//! `porthole consoles render`: the elements alone.

use clap::Args;
use porthole_domain::render;
use serde_json::json;
use uuid::Uuid;

use super::wanted::{Wanted, unfit};
use crate::failure::Failure;
use crate::output::Output;

/// The consoles of a domain.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  porthole consoles render --uuid 7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e --vnc --keymap de --serial 2
  porthole consoles render --uuid 7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e --json --vnc | jq -r '.devices[]'
  porthole consoles render --uuid 7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e --vnc --transport tcp \\
      --address 10.0.0.5 --port-vnc 20000

The first element goes into <metadata>, the others into <devices>, instead of the VNC devices and serial
ports that are there. `porthole consoles merge` does that by itself.")]
pub(super) struct Request {
    #[command(flatten)]
    wanted: Wanted,
    /// The domain's UUID
    #[arg(long)]
    uuid: Uuid,
}

/// Does it.
pub(super) fn run(request: Request, output: Output) -> Result<(), Failure> {
    let Request { wanted, uuid } = request;
    let spec = wanted.spec()?;
    let fragments = render(&spec, uuid, &wanted.host(), wanted.allocation().as_ref(), &wanted.passwords()?)
        .map_err(|error| unfit(&error))?;
    let answer = json!({ "metadata": fragments.metadata, "devices": fragments.devices, "spec": spec });
    output.result(&answer, || {
        let all = std::iter::once(&fragments.metadata).chain(&fragments.devices);
        all.flat_map(|element| [element.as_str(), "\n"]).collect()
    })
}
