//! What these tests share.

use porthole_shared::binding::BindingSecret;
use porthole_tests::agent::{Agent, Minted};
use porthole_tests::command;
use porthole_tests::rfb;
use porthole_tests::stack::Stack;
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
    command::porthole(agent, &[&["--json"], arguments].concat()).await.json()
}
