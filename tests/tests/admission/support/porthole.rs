//! The command line, as an operator runs it.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use porthole_tests::agent::Agent;
use porthole_tests::places;
use porthole_tests::wait::{PATIENCE, within};
use tokio::process::Command;

/// `porthole`, for one agent.
#[derive(Debug)]
pub(crate) struct Porthole {
    binary: PathBuf,
    socket: PathBuf,
    before: Vec<String>,
}

impl Porthole {
    pub(crate) fn of(agent: &Agent) -> Self {
        let (binary, socket) = (places::binary("porthole").unwrap(), agent.socket().to_owned());
        Self { binary, socket, before: Vec::new() }
    }

    /// Another copy of the binary.
    pub(crate) fn binary(self, binary: PathBuf) -> Self {
        Self { binary, ..self }
    }

    /// As other credentials: `setpriv` with these arguments.
    pub(crate) fn with_credentials(&self, setpriv: &[&str]) -> Self {
        let before = ["setpriv"].iter().chain(setpriv).chain(&["--"]).map(|word| (*word).to_owned()).collect();
        Self { binary: self.binary.clone(), socket: self.socket.clone(), before }
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = match self.before.split_first() {
            None => Command::new(&self.binary),
            Some((program, rest)) => {
                let mut command = Command::new(program);
                command.args(rest).arg(&self.binary);
                command
            }
        };
        command.arg("--socket").arg(&self.socket).args(arguments).current_dir("/");
        command.stdin(Stdio::null()).kill_on_drop(true);
        within(PATIENCE, format!("porthole {arguments:?}"), command.output()).await.unwrap()
    }

    /// Runs it, and gives what it printed on standard output.
    ///
    /// # Panics
    /// When it fails, or says anything on standard error.
    pub(crate) async fn print(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success() && stderr.is_empty(), "{arguments:?}: {}: {stderr}", output.status);
        stdout
    }

    /// Runs it with `--json`, and gives the code and the message with which it is refused.
    ///
    /// # Panics
    /// When it is not, or ends with another exit code.
    pub(crate) async fn refused(&self, arguments: &[&str], exit: i32) -> (Option<String>, String) {
        let output = self.run(&[&["--json"], arguments].concat()).await;
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(exit), &b""[..]), "{arguments:?}: {text}");
        let failure: serde_json::Value = serde_json::from_str(&text).unwrap();
        let text = |name: &str| failure["error"][name].as_str().map(str::to_owned);
        (text("code"), text("message").unwrap())
    }
}
