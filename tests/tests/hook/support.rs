//! What the tests of the hook share.

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use porthole_tests::agent::Agent;
use porthole_tests::guest::{Graphics, Guest, Listen};
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::places;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, within};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// No hook takes longer, whatever happens. libvirt waits for it.
pub(crate) const LONGEST: Duration = Duration::from_secs(2);

/// Porthole's namespace.
pub(crate) const NAMESPACE: &str = "https://porthole.dev/xmlns/consoles/1.0";

/// A libvirt that runs the hook, and an agent that answers it.
pub(crate) async fn hooked() -> (PrivateLibvirt, Stack) {
    let libvirt = PrivateLibvirt::builder().hooked().start().await.expect("a private libvirtd");
    let stack = Stack::on(&libvirt).await;
    (libvirt, stack)
}

/// How often each operation was told, as the agent says.
pub(crate) async fn told(agent: &Agent, operation: &str) -> u64 {
    agent.status().await["hook"][operation]["count"].as_u64().unwrap_or_default()
}

/// A guest, not started, with VNC on this port, that says of itself that its consoles are Porthole's.
pub(crate) async fn managed(libvirt: &PrivateLibvirt, name: &str, port: u16) -> Guest {
    let guest = libvirt.guest(name).graphics([Graphics::vnc(Listen::Tcp(port))]).define().await.expect("a guest");
    let element = "<consoles transport='tcp'><vnc share='ignore'/></consoles>";
    let set = ["--uri", NAMESPACE, "--key", "porthole", "--set", element, "--config"];
    guest.virsh("metadata", &set).await.expect("metadata");
    guest
}

/// Runs the hook by hand; how it ended, and how long it took.
pub(crate) async fn hook(config: &str, arguments: &[&str], input: &[u8]) -> (Output, Duration) {
    let began = Instant::now();
    let mut command = Command::new(places::binary("porthole-hook").expect("the hook is built"));
    command.args(["--config", config]).args(arguments).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the hook starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // It may end without having read all of it.
    let writing = tokio::spawn(async move { drop(stdin.write_all(&input).await) });
    let output = within(PATIENCE, "the hook to end", child.wait_with_output()).await.expect("its output");
    writing.abort();
    (output, began.elapsed())
}

/// `porthole …` on the agent's socket: its exit status, what it printed, what it said of a failure.
pub(crate) async fn porthole(agent: &Agent, arguments: &[&str]) -> (i32, Value, String) {
    let mut command = Command::new(places::binary("porthole").expect("the command is built"));
    command.arg("--socket").arg(agent.socket()).arg("--json").args(arguments).stdin(Stdio::null());
    let output = within(PATIENCE, "porthole to end", command.output()).await.expect("it starts");
    let printed = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().expect("a code"), printed, String::from_utf8_lossy(&output.stderr).into_owned())
}
