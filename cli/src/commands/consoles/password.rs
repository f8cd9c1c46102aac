//! The password that a screen is given: out of a file or a pipe, because what stands on a command line everybody sees.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use porthole_domain::VncPassword;
use porthole_shared::secret::Secret;

use crate::failure::{Exit, Failure};

/// No password is so long; one that is cut here is refused for its length all the same.
const BOUND: u64 = 4096;

/// Where the screen's password stands.
#[derive(Debug, Args)]
pub(super) struct PasswordFile {
    /// Give the screen the password in this file (its one line; `-`: standard input): 1 to 8 characters, VNC takes no more.
    /// Without this a password that was given earlier stays
    #[arg(long, value_name = "PATH|-", requires = "vnc")]
    vnc_password_file: Option<PathBuf>,
}

impl PasswordFile {
    /// Whether there is one.
    pub(super) const fn is_said(&self) -> bool {
        self.vnc_password_file.is_some()
    }

    /// Whether it is standard input.
    pub(super) fn is_standard_input(&self) -> bool {
        self.vnc_password_file.as_ref().is_some_and(|path| path.as_os_str() == "-")
    }

    /// What is in it.
    pub(super) fn read(&self) -> Result<Option<VncPassword>, Failure> {
        let Some(path) = &self.vnc_password_file else { return Ok(None) };
        let (name, text) = if self.is_standard_input() {
            ("standard input".to_owned(), text(std::io::stdin().lock()))
        } else {
            (path.display().to_string(), File::open(path).and_then(text))
        };
        let text =
            text.map_err(|error| Failure::new(Exit::Refused, format!("cannot read the password: {name}: {error}")))?;
        let line = text.expose().strip_suffix('\n').unwrap_or(text.expose());
        let line = line.strip_suffix('\r').unwrap_or(line);
        VncPassword::given(line).map(Some).map_err(|error| Failure::new(Exit::Refused, format!("{name}: {error}")))
    }
}

/// What is not UTF-8 is no good either; that is for the check to say.
fn text(source: impl Read) -> std::io::Result<Secret<String>> {
    let mut bytes = Vec::new();
    source.take(BOUND).read_to_end(&mut bytes)?;
    Ok(Secret::new(String::from_utf8_lossy(&bytes).into_owned()))
}
