//! What the agent's configuration says of libvirt's hook.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// `[hook]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the hook is answered; by default `hook.sock` beside the API's socket.
    pub socket: Option<PathBuf>,
    /// Where the hook leaves what it could not tell: `spool` of `hook.toml`.
    pub spool: PathBuf,
    /// What becomes of a managed domain that is to start while something else has one of its ports.
    pub taken_port: TakenPort,
}

/// What becomes of a managed domain that is to start while something else has one of its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TakenPort {
    /// It does not start, and libvirt says which port it is and who has it.
    #[default]
    Refuse,
    /// libvirt tries. QEMU then says that an address is in use.
    Start,
}

impl Default for Config {
    fn default() -> Self {
        Self { socket: None, spool: PathBuf::from("/var/lib/porthole-hook"), taken_port: TakenPort::default() }
    }
}

impl Config {
    /// Where the hook is answered, if the API's socket is there.
    pub fn socket(&self, api: &Path) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| api.with_file_name("hook.sock"))
    }

    /// What is wrong with it, for a person.
    pub fn problem(&self) -> Option<String> {
        let relative = self.socket.iter().chain([&self.spool]).find(|path| path.is_relative())?;
        Some(format!("[hook] {} is a relative path; write it from `/` on", relative.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_beside_the_apis() {
        let config = Config::default();
        assert_eq!(config.socket(Path::new("/run/porthole/agent.sock")), Path::new("/run/porthole/hook.sock"));
        let own = Config { socket: Some("/run/h".into()), ..config };
        assert_eq!((own.socket(Path::new("/a/b")), own.problem()), ("/run/h".into(), None));
        let relative = Config { spool: "spool".into(), ..own };
        assert!(relative.problem().unwrap().contains("spool is a relative path"));
    }
}
