//! A stand-in for systemd's descriptor store: an agent under it leaves descriptors there, and finds them when it is
//! started again.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::process::{Lifetime, Process};

const SCRIPT: &str = include_str!("manager.py");

/// Keeps descriptors. Dropped, it ends, and they are closed.
#[derive(Debug)]
pub struct Manager {
    _process: Process,
    directory: TempDir,
}

impl Manager {
    /// One that keeps nothing yet.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("ph-").tempdir_in("/tmp").expect("a temporary directory");
        let manager = directory.path().join("manager.py");
        std::fs::write(&manager, SCRIPT).expect("the stand-in's script");
        let mut command = Command::new("python3");
        command.arg(manager).arg("keep").args(sockets(&directory));
        let log = directory.path().join("log");
        let process = Process::spawn("manager", &command, &log, Lifetime::Attached, Stdio::null()).expect("python3");
        process.wait_for_log_line("ready").await;
        Self { _process: process, directory }
    }

    /// What a daemon is started by ([`AgentBuilder::under`](crate::agent::AgentBuilder::under)).
    pub fn command(&self) -> Vec<String> {
        let script = self.directory.path().join("manager.py").to_string_lossy().into_owned();
        let [notify, show] = sockets(&self.directory).map(|path| path.to_string_lossy().into_owned());
        vec!["python3".to_owned(), script, "run".to_owned(), notify, show]
    }
}

fn sockets(directory: &TempDir) -> [PathBuf; 2] {
    ["notify", "show"].map(|name| directory.path().join(name))
}
