//! Whether the tiny guest answers on a serial port, opened as a viewer opens it. (Nobody else could: the agent holds the
//! ports of guests whose consoles are Porthole's.)

use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;

use crate::agent::{Agent, Mint};
use crate::stack::Stack;
use crate::wait::{PATIENCE, eventually_some, within};
use crate::ws::{Answer, Event};

/// The guest answers on this serial port.
///
/// # Panics
/// When it does not.
pub async fn assert_says_hello(stack: &Stack, agent: &Agent, guest: Uuid, port: usize) {
    let mint = Mint::of(guest).kind("serial").field("index", port);
    let opened = eventually_some(PATIENCE, format!("serial port {port} of {guest}"), async || {
        let link = agent.try_mint(mint.clone()).await.ok()?;
        match stack.upgrade(&link).send().await.ok()? {
            Answer::Opened(client) => Some(client),
            Answer::Refused { .. } => None,
        }
    });
    let mut client = opened.await;
    // A word of its own: what the guest said before is in the history.
    let word = Uuid::new_v4().simple().to_string();
    let (said, answer) = (format!("{word}\r"), format!("you said: {word}"));
    let mut heard = Vec::new();
    let answered = async {
        while !String::from_utf8_lossy(&heard).contains(&answer) {
            // What comes before the guest reads its serial port is lost, so it is said again.
            client.send_binary(said.as_bytes()).await.expect("it takes it");
            while let Ok(event) = timeout(Duration::from_millis(300), client.next()).await {
                match event.expect("it says something") {
                    Event::Binary(bytes) => heard.extend(bytes),
                    Event::Text(_) | Event::Ping(_) | Event::Pong(_) => {}
                    Event::Close(_) | Event::End => panic!("it ended: {:?}", String::from_utf8_lossy(&heard)),
                }
            }
        }
    };
    within(PATIENCE, "an answer on the serial port", answered).await;
    client.close().await;
}
