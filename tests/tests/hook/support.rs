//! What the tests of the hook share.

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use http::Method;
use porthole_tests::agent::{Agent, AgentBuilder, consoles_of};
use porthole_tests::command;
pub(crate) use porthole_tests::guest::NAMESPACE;
use porthole_tests::guest::{Graphics, Guest, Listen};
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::places;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, within};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use uuid::Uuid;

/// No hook takes longer, whatever happens. libvirt waits for it.
pub(crate) const LONGEST: Duration = Duration::from_secs(2);

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
    let said = command::porthole(agent, &[&["--json"], arguments].concat()).await;
    (said.code.expect("a code"), serde_json::from_str(&said.out).unwrap_or_default(), said.err)
}

/// How many serial ports a guest of these tests has.
pub(crate) const SERIAL: usize = 2;

/// Settings for consoles of Porthole's on this host.
pub(crate) fn with_consoles(agent: AgentBuilder, host: &PrivateLibvirt, low: u16) -> AgentBuilder {
    let agent = consoles_of(host)(agent).set("ports.serial", format!("{low}:{}", low + 30));
    agent.set("ports.graphics", format!("{}:{}", low + 30, low + 50))
}

/// Defines a guest with Porthole's consoles: a screen and serial ports.
pub(crate) async fn define(agent: &Agent, host: &PrivateLibvirt, uuid: Uuid, transport: &str) {
    let guest = host.guest("consoles").uuid(uuid).graphics([]).serials([]).kept();
    guest.define().await.expect("it is defined");
    let (name, serial) = (uuid.to_string(), SERIAL.to_string());
    let consoles = ["consoles", "apply", &name, "--vnc", "--serial", &serial, "--transport", transport];
    let (code, _, words) = porthole(agent, &consoles).await;
    assert_eq!(code, 0, "{words}");
}

/// The ports that an agent's table has for a guest.
pub(crate) async fn ports_of(agent: &Agent, uuid: Uuid) -> Vec<u16> {
    port_rows(agent, uuid).await.into_iter().map(|(port, _)| port).collect()
}

/// Those ports, and in which state each is.
pub(crate) async fn port_rows(agent: &Agent, uuid: Uuid) -> Vec<(u16, String)> {
    let (_, answer) = agent.api(Method::GET, "/v1/ports?limit=500", None).await.expect("an answer");
    let own = |port: &&Value| port["owner"]["domain"] == uuid.to_string();
    let row = |row: &Value| {
        let port = row["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        (port, row["state"].as_str().expect("a state").to_owned())
    };
    answer["ports"].as_array().expect("a list").iter().filter(own).map(row).collect()
}

/// Why a link is worth nothing; empty if it is.
pub(crate) async fn void_reason(agent: &Agent, id: &str) -> String {
    let (_, answer) = agent.api(Method::GET, "/v1/tokens?all=true", None).await.expect("the tokens");
    let tokens = answer["tokens"].as_array().expect("a list");
    let token = tokens.iter().find(|token| token["id"] == id).expect("it is known");
    token["void_reason"].as_str().unwrap_or_default().to_owned()
}
