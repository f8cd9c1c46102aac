//! What the tests of admission share.

mod console;
mod forge;
mod porthole;
mod refusal;

pub(crate) use console::{BusyConsole, Console, Echo, GREETING, NAME};
pub(crate) use forge::{Forge, now, parts};
pub(crate) use porthole::Porthole;
pub(crate) use refusal::{answer_to, refusal, refusal_to};

use porthole_shared::binding::BindingSecret;
use porthole_tests::stack::Stack;
use rustls::SupportedProtocolVersion;

/// What a client that is behind the times speaks.
pub(crate) const TLS_1_2: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];

/// A new binding secret, as a page makes it.
pub(crate) fn secret() -> String {
    BindingSecret::random().unwrap().to_text().expose().clone()
}

/// What a table of the tests writes for a refusal.
pub(crate) fn refused(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

/// An agent without libvirt, whose one console ([`NAME`], of kind `tcp`) greets and echoes.
pub(crate) async fn echo_stack() -> (Stack, Echo) {
    let console = Console::listen().await;
    let stack = Stack::builder().agent(console.configured()).start().await;
    (stack, console.echo())
}
