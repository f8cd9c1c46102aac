//! What the hook and the agent say to each other: one question and one answer to a connection.
//!
//! Each is a line of JSON, then, where there is one, the domain's XML, up to the end of the stream. Fields that are not
//! known are passed over, so that a hook and an agent of neighbouring releases understand each other.

use serde::{Deserialize, Serialize};

use crate::step::Step;

/// The most bytes of a domain's XML; libvirt's own messages have at most 4 MiB for it.
pub const MOST_XML: usize = 4 * 1024 * 1024;

/// The most bytes of the line before it.
pub const MOST_HEAD: usize = 16 * 1024;

/// The agent's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// As libvirt meant it.
    Go,
    /// With the XML that follows.
    Rewritten,
    /// Not at all.
    Refuse {
        /// Why, in one line.
        why: String,
    },
}

/// A line, and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<T> {
    /// The line.
    pub head: T,
    /// The XML; empty where there is none.
    pub xml: Vec<u8>,
}

/// From the hook.
pub type Question = Message<Step>;
/// From the agent.
pub type Answer = Message<Verdict>;

/// The text is no message.
#[derive(Debug, thiserror::Error)]
pub enum Nonsense {
    /// Nothing ends the line, or it is too long.
    #[error("it begins with no line of at most {MOST_HEAD} bytes")]
    Head,
    /// The line says something else.
    #[error("its first line cannot be read")]
    Json(#[from] serde_json::Error),
    /// There is too much.
    #[error("its XML has more than {MOST_XML} bytes")]
    Xml,
}

impl<T: Serialize> Message<T> {
    /// As it is sent.
    pub fn encode(&self) -> Result<Vec<u8>, Nonsense> {
        let mut text = serde_json::to_vec(&self.head)?;
        text.reserve_exact(1 + self.xml.len());
        text.push(b'\n');
        text.extend_from_slice(&self.xml);
        Ok(text)
    }
}

impl<T: for<'a> Deserialize<'a>> Message<T> {
    /// Of all that was received. Whoever receives bounds it, by [`MOST`].
    pub fn decode(text: &[u8]) -> Result<Self, Nonsense> {
        let end = text.iter().take(MOST_HEAD).position(|byte| *byte == b'\n').ok_or(Nonsense::Head)?;
        let (head, xml) = text.split_at(end);
        let xml = xml.get(1..).unwrap_or_default();
        if xml.len() > MOST_XML {
            return Err(Nonsense::Xml);
        }
        Ok(Self { head: serde_json::from_slice(head)?, xml: xml.to_vec() })
    }
}

/// The most bytes of a message, and one more: whoever has received so many has received too many.
pub const MOST: usize = MOST_HEAD + MOST_XML + 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Operation;

    fn question() -> Question {
        let head = Step {
            name: "a\n\"b\"".to_owned(),
            operation: Operation::Restore,
            sub_operation: "begin".to_owned(),
            extra: "-".to_owned(),
        };
        Message { head, xml: b"<domain>\n</domain>\n".to_vec() }
    }

    #[test]
    fn messages_come_back_as_they_were_sent() {
        assert_eq!(Question::decode(&question().encode().unwrap()).unwrap(), question());
        for head in [Verdict::Go, Verdict::Rewritten, Verdict::Refuse { why: "no\nport".to_owned() }] {
            let answer = Message { head, xml: Vec::new() };
            assert_eq!(Answer::decode(&answer.encode().unwrap()).unwrap(), answer);
        }
    }

    #[test]
    fn what_a_later_release_adds_is_passed_over() {
        let answer = Answer::decode(b"{\"verdict\": \"go\", \"mood\": \"good\"}\n").unwrap();
        assert_eq!(answer, Message { head: Verdict::Go, xml: Vec::new() });
    }

    #[test]
    fn nonsense_is_said_to_be_some() {
        assert!(matches!(Answer::decode(b""), Err(Nonsense::Head)));
        assert!(matches!(Answer::decode(b"{\"verdict\":\"go\"}"), Err(Nonsense::Head)));
        assert!(matches!(Answer::decode(&vec![b' '; MOST]), Err(Nonsense::Head)));
        assert!(matches!(Answer::decode(b"{\"verdict\":\"stay\"}\n"), Err(Nonsense::Json(_))));
        let mut long = b"{\"verdict\":\"go\"}\n".to_vec();
        long.resize(long.len() + MOST_XML + 1, b'x');
        assert!(matches!(Answer::decode(&long), Err(Nonsense::Xml)));
        long.pop();
        assert!(Answer::decode(&long).is_ok());
    }
}
