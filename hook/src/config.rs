//! The hook's own settings: `/etc/porthole/hook.toml`. Without that file it does as if it were empty.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Where they are, if libvirt's script says nothing else.
pub const PATH: &str = "/etc/porthole/hook.toml";

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The agent's socket for hooks.
    pub socket: PathBuf,
    /// The folder for what the agent must hear later. The agent's own `[hook] spool`.
    pub spool: PathBuf,
    /// What becomes of a managed domain that comes here while the agent does not answer.
    pub incoming_without_agent: WithoutAgent,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/run/porthole/hook.sock"),
            spool: PathBuf::from("/var/lib/porthole-hook"),
            incoming_without_agent: WithoutAgent::default(),
        }
    }
}

/// What becomes of an incoming managed domain while the agent does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithoutAgent {
    /// It comes as it is. Should something else have its ports, QEMU says so, and the migration fails.
    #[default]
    Unchanged,
    /// It does not come.
    Refuse,
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadConfig {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Its text is wrong.
    #[error("{path}: {message}")]
    Parse {
        /// Which.
        path: String,
        /// Where and what.
        message: String,
    },
}

impl Config {
    /// Of a file; the defaults if there is none.
    pub fn load(path: &Path) -> Result<Self, BadConfig> {
        let shown = || path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text)
                .map_err(|error| BadConfig::Parse { path: shown(), message: error.to_string().trim_end().to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(BadConfig::Read { path: shown(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_is_shipped_says_what_is_so_without_it() {
        let shipped = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/hook.toml"));
        assert!(shipped.exists());
        assert_eq!(Config::load(shipped).unwrap(), Config::default());
        assert_eq!(Config::load(Path::new("/nonexistent/hook.toml")).unwrap(), Config::default());
    }

    #[test]
    fn a_bad_file_is_explained() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hook.toml");
        std::fs::write(&path, "socket = '/a'\nincoming_without_agent = 'drop'\n").unwrap();
        let error = Config::load(&path).unwrap_err().to_string();
        assert!(error.contains("hook.toml") && error.contains("line 2") && error.contains("unchanged"), "{error}");
        assert!(matches!(Config::load(dir.path()), Err(BadConfig::Read { .. })));
    }
}
