//! `porthole consoles merge`: a filter from a domain's XML to the same with consoles.

use std::io::{IsTerminal as _, Read as _};

use clap::Args;
use porthole_domain::{Fresh, MAX_BYTES, MergeError, merge, read};
use serde_json::json;
use uuid::Uuid;

use super::wanted::{Wanted, misfit, password_misfit};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// The consoles that a domain is to have.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  porthole consoles merge --vnc --serial 1 < web-01.xml > new.xml && virsh define new.xml
  virsh dumpxml --inactive --security-info web-01 | porthole consoles merge --vnc --keymap de > new.xml
  porthole consoles merge --serial-from-flavor \"$FLAVOR\" --serial-from-image \"$IMAGE\" < instance.xml
  porthole consoles merge --vnc --serial 2 --transport tcp --address 10.0.0.5 \\
      --port-vnc 20000 --port-serial 10000,10001 < web-01.xml

With --vnc every VNC device of the domain is replaced; with --serial every <serial>, and every
<console> that is a serial port by another name. What is not asked for now but was in an earlier
merge goes. Everything else stays as it is, byte for byte. Porthole notes in <metadata> what it
did; with the same consoles again nothing changes. Of a domain that libvirt has already, read it with
--security-info: a password that was given earlier stays only if it is in the XML.

The XML must be UTF-8. What cannot be used is refused (exit code 1) with line and column, and
nothing is printed.")]
pub(super) struct Request {
    #[command(flatten)]
    wanted: Wanted,
    /// The UUID that the domain gets if its XML has none [default: a random one]
    #[arg(long)]
    uuid: Option<Uuid>,
}

/// Does it.
pub(super) fn run(request: Request, output: Output) -> Result<(), Failure> {
    let Request { wanted, uuid } = request;
    let spec = wanted.spec()?;
    if wanted.password_is_standard_input() {
        let problem = "standard input is the domain's XML here, so the password cannot come from there, too";
        return Err(Failure::new(Exit::Refused, problem).next("Say --vnc-password-file PATH."));
    }
    let passwords = wanted.passwords()?;
    let xml = standard_input(output)?;
    let fresh = Fresh { uuid: uuid.unwrap_or_else(Uuid::new_v4), passwords };
    let merged =
        merge(&xml, &spec, &wanted.host(), wanted.allocation().as_ref(), &fresh).map_err(|error| failure(&error))?;
    let uuid = read(merged.as_bytes()).ok().and_then(|known| known.uuid);
    output.result(&json!({ "uuid": uuid, "spec": spec, "xml": merged }), || merged.clone())
}

fn standard_input(output: Output) -> Result<Vec<u8>, Failure> {
    let input = std::io::stdin();
    if input.is_terminal() {
        output.remark("Reading a domain's XML from the terminal, to its end (Ctrl-D).")?;
    }
    // One byte more than is read: what is longer is refused by whoever knows the bound.
    let bound = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut xml = Vec::new();
    match input.lock().take(bound).read_to_end(&mut xml) {
        Ok(_) => Ok(xml),
        Err(error) => Err(Failure::new(Exit::Internal, format!("cannot read standard input: {error}"))),
    }
}

fn failure(error: &MergeError) -> Failure {
    match error {
        MergeError::Read(error) => Failure::new(Exit::Refused, format!("standard input, {error}")),
        MergeError::Allocation(error) => misfit(error),
        MergeError::Password(error) => password_misfit(*error),
        MergeError::Edit(_) => Failure::new(Exit::Internal, error.to_string()),
    }
}
