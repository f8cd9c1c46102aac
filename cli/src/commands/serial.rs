//! What `porthole console` and `porthole log` share: a place on a serial port, through the agent.

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use porthole_shared::names::ConsoleName;
use porthole_shared::reason::Reason;
use serde::Deserialize;
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::client::query;
use crate::failure::{Exit, Failure};
use crate::output::visible;

/// What the agent says beside the port's bytes.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Said {
    /// How things are.
    State {
        /// What offsets count from.
        start: String,
        /// The offset of the next byte that the guest will say.
        end: u64,
    },
    /// The next byte is of this offset.
    At {
        /// It.
        offset: u64,
    },
    /// Bytes that do not come.
    Skipped {
        /// The first.
        from: u64,
        /// The next that does.
        to: u64,
    },
    /// What was asked for is not done.
    Refused {
        /// The reason's code.
        why: String,
    },
    /// Something of a later release.
    #[serde(other)]
    Unknown,
}

/// What comes.
#[derive(Debug)]
pub(super) enum Heard {
    /// Bytes of the port.
    Bytes(bytes::Bytes),
    /// Something else.
    Said(Said),
}

/// A place on a port.
#[derive(Debug)]
pub(super) struct Port(pub(super) WebSocketStream<TokioIo<Upgraded>>);

impl Port {
    /// The next that comes; the end is a failure that says why.
    pub(super) async fn next(&mut self) -> Result<Heard, Failure> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Binary(bytes))) => return Ok(Heard::Bytes(bytes)),
                Some(Ok(Message::Text(text))) => {
                    let said = serde_json::from_str(text.as_str());
                    return said.map(Heard::Said).map_err(|error| Failure::new(Exit::Internal, error.to_string()));
                }
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                    return Err(ended(&code));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(_)) | None => return Err(Failure::new(Exit::Unreachable, "the agent closed the connection")),
            }
        }
    }

    /// Says something to the agent.
    pub(super) async fn ask(&mut self, message: &Value) -> Result<(), Failure> {
        self.send(Message::text(message.to_string())).await
    }

    /// Types.
    pub(super) async fn send(&mut self, message: Message) -> Result<(), Failure> {
        let sent = self.0.send(message).await;
        sent.map_err(|_| Failure::new(Exit::Unreachable, "the agent closed the connection"))
    }
}

fn ended(code: &str) -> Failure {
    let mut failure = match code.parse::<Reason>() {
        Ok(reason) => Failure::new(Exit::Refused, reason.words()),
        Err(_) => Failure::new(Exit::Unreachable, format!("the agent ended it: {}", visible(code))),
    };
    failure.code = Some(code.to_owned());
    failure
}

/// Where the API has a port.
pub(super) fn path(console: &ConsoleName, port: u8, what: &str, pairs: &[(&str, Option<&str>)]) -> String {
    // The same escapes as of a value.
    let escaped = query("", &[("", Some(console.as_str()))]);
    let escaped = escaped.trim_start_matches("?=");
    query(&format!("/v1/serial/{escaped}/{port}{what}"), pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_part_of_the_path() {
        let console: ConsoleName = "web 01".parse().unwrap();
        let found = path(&console, 1, "/output", &[("lines", Some("3"))]);
        assert_eq!(found, "/v1/serial/web%2001/1/output?lines=3");
    }

    #[test]
    fn what_a_later_release_says_is_passed_over() {
        assert!(matches!(serde_json::from_str(r#"{"type":"later"}"#).unwrap(), Said::Unknown));
        let state = r#"{"type":"state","role":"writer","start":"s","end":7,"writer":null}"#;
        assert!(matches!(serde_json::from_str(state).unwrap(), Said::State { end: 7, .. }));
    }

    #[test]
    fn an_end_is_told_in_the_words_of_its_reason() {
        assert_eq!(ended("taken_over").message, Reason::TakenOver.words());
        assert_eq!(ended("\x1b[2J").exit, Exit::Unreachable);
    }
}
