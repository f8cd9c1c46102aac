//! What the tests of serial consoles share: a viewer that speaks either protocol.

use porthole_tests::agent::{Mint, Minted};
use porthole_tests::guest::Guest;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, within};
use porthole_tests::ws::{Answer, Closed, Event, WsClient};
use serde_json::{Value, json};

pub(crate) const V1: &str = "porthole.serial.v1";

/// A serial link to a guest.
pub(crate) fn serial(guest: &Guest) -> Mint {
    Mint::of(guest.name()).kind("serial")
}

/// A viewer.
#[derive(Debug)]
pub(crate) struct Viewer {
    pub(crate) client: WsClient,
    unread: Vec<u8>,
    /// Control messages that were passed over.
    pub(crate) said: Vec<Value>,
}

impl Viewer {
    pub(crate) fn new(client: WsClient) -> Self {
        Self { client, unread: Vec::new(), said: Vec::new() }
    }

    /// Opens with plain bytes.
    pub(crate) async fn plain(stack: &Stack, what: impl Into<Mint>) -> Self {
        Self::new(stack.open(what).await)
    }

    /// Opens with control messages, and checks that these are spoken.
    pub(crate) async fn v1(stack: &Stack, link: &Minted) -> Self {
        Self::v1_of(stack.edge.upgrade(&link.url).protocols(&[V1, "binary"]).open().await)
    }

    /// As a page does, which comes back with the same secret.
    pub(crate) async fn bound(stack: &Stack, link: &Minted, secret: &str) -> Self {
        Self::v1_of(stack.edge.upgrade(&link.url).protocols(&[V1, "binary"]).bound(secret).open().await)
    }

    fn v1_of(client: WsClient) -> Self {
        assert_eq!(client.head().header("sec-websocket-protocol"), Some(V1));
        Self::new(client)
    }

    pub(crate) async fn types(&mut self, text: &str) {
        self.client.send_binary(text.as_bytes()).await.expect("typing");
    }

    pub(crate) async fn asks(&mut self, message: &Value) {
        self.client.send_text(&message.to_string()).await.expect("asking");
    }

    /// Reads bytes up to and with the text, past control messages; gives all that was read.
    pub(crate) async fn reads(&mut self, text: &str) -> String {
        let wanted = text.as_bytes();
        let end = |read: &[u8]| Some(read.windows(wanted.len()).position(|window| window == wanted)? + wanted.len());
        String::from_utf8_lossy(&self.reads_to(format!("{text:?}"), end).await).into_owned()
    }

    /// Reads so many bytes, past control messages.
    pub(crate) async fn reads_bytes(&mut self, count: usize) -> Vec<u8> {
        self.reads_to(format!("{count} bytes"), |read| (read.len() >= count).then_some(count)).await
    }

    async fn reads_to(&mut self, what: String, end: impl Fn(&[u8]) -> Option<usize>) -> Vec<u8> {
        let reading = async {
            loop {
                if let Some(end) = end(&self.unread) {
                    let rest = self.unread.split_off(end);
                    return std::mem::replace(&mut self.unread, rest);
                }
                match self.client.next().await.expect("a message") {
                    Event::Binary(bytes) => self.unread.extend(bytes),
                    Event::Text(text) => self.said.push(serde_json::from_str(&text).expect("JSON")),
                    Event::Ping(_) | Event::Pong(_) => {}
                    other @ (Event::Close(_) | Event::End) => {
                        panic!("{other:?} before {what}; after {:?}", String::from_utf8_lossy(&self.unread))
                    }
                }
            }
        };
        within(3 * PATIENCE, format!("{what} on the console"), reading).await
    }

    /// The next control message of this type; bytes before it are kept.
    pub(crate) async fn hears(&mut self, kind: &str) -> Value {
        loop {
            if let Some(place) = self.said.iter().position(|said| said["type"] == kind) {
                return self.said.drain(..=place).next_back().expect("a message");
            }
            match self.client.next().await.expect("a message") {
                Event::Binary(bytes) => self.unread.extend(bytes),
                Event::Text(text) => self.said.push(serde_json::from_str(&text).expect("JSON")),
                Event::Ping(_) | Event::Pong(_) => {}
                other @ (Event::Close(_) | Event::End) => panic!("{other:?} before {kind}"),
            }
        }
    }

    /// Asks for all that is kept, and goes on with what comes; gives where it begins.
    pub(crate) async fn begins(&mut self) -> Value {
        self.asks(&json!({ "type": "history" })).await;
        self.hears("at").await
    }

    /// Bytes that were read and not yet asked for.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.unread
    }

    pub(crate) async fn closed(&mut self) -> Closed {
        self.client.closed().await
    }
}

/// What a try to open comes to, if it is refused.
pub(crate) async fn refusal(stack: &Stack, link: &Minted) -> (u16, String) {
    let answer: Answer = stack.upgrade(link).send().await.expect("an answer");
    answer.refusal()
}

/// A close frame.
pub(crate) fn closed(code: u16, reason: &str) -> Closed {
    Closed { code: Some(code), reason: reason.to_owned() }
}

/// Checks that a text holds the tiny guest's `count` from one number to another, each once and in order.
pub(crate) fn counted(text: &str, from: u32, to: u32) {
    let mut numbers = text.lines().filter_map(|line| line.trim().parse::<u32>().ok());
    for expected in from..=to {
        let number = numbers.next();
        assert_eq!(number, Some(expected), "in {} bytes", text.len());
    }
    assert_eq!(numbers.next(), None);
}
