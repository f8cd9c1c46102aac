//! What these tests share.

use std::process::Stdio;

use porthole_shared::binding::BindingSecret;
use porthole_tests::agent::{Agent, Minted};
use porthole_tests::places;
use porthole_tests::rfb;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, within};
use porthole_tests::ws::{Closed, WsClient};
use serde_json::Value;

/// A close frame.
pub(crate) fn closed(code: u16, reason: &str) -> Closed {
    Closed { code: Some(code), reason: reason.to_owned() }
}

/// A binding secret, as a page makes it.
pub(crate) fn secret() -> String {
    BindingSecret::random().expect("random bytes").to_text().expose().clone()
}

/// The viewer of a link, ready to ask for pixels.
pub(crate) async fn view(stack: &Stack, link: &Minted) -> rfb::Client<WsClient> {
    let client = stack.upgrade(link).open().await;
    rfb::Client::handshake(client).await.unwrap_or_else(|error| panic!("RFB: {error:#}"))
}

/// With what status and reason a link is refused.
pub(crate) async fn refusal(stack: &Stack, link: &Minted) -> (u16, String) {
    stack.upgrade(link).send().await.expect("an answer").refusal()
}

/// What a successful `porthole … --json` says.
pub(crate) async fn porthole(agent: &Agent, arguments: &[&str]) -> Value {
    let mut command = tokio::process::Command::new(places::binary("porthole").expect("porthole is built"));
    command.arg("--socket").arg(agent.socket()).arg("--json").args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = within(PATIENCE, format!("porthole {arguments:?}"), command.output()).await.expect("porthole runs");
    assert!(output.status.success(), "porthole {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}
