//! `porthole`, run on an agent's socket.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::agent::Agent;
use crate::places;
use crate::wait::{PATIENCE, within};

/// What a run said, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Said {
    /// What it printed, having succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// The same, which is JSON.
    #[track_caller]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.ok()).expect("JSON")
    }
}

/// Runs it to its end, without standard input.
pub async fn porthole(agent: &Agent, arguments: &[&str]) -> Said {
    let mut command = Command::new(places::binary("porthole").expect("porthole is built"));
    command.arg("--socket").arg(agent.socket()).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = within(PATIENCE, format!("porthole {arguments:?}"), command.output()).await.expect("porthole runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}
