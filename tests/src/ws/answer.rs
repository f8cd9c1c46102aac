//! The answer to an upgrade request.

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncReadExt as _;

use super::{Transport, WsClient};

/// More than a server of ours sends before a body.
const LARGEST_HEAD: usize = 64 * 1024;

/// What came of a request.
#[derive(Debug)]
pub enum Answer {
    /// `101`.
    Opened(WsClient),
    /// Anything else, with its body.
    Refused {
        /// Status and headers.
        head: Head,
        /// The body.
        body: Vec<u8>,
    },
}

/// Status and headers of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// The headers, as they came.
    pub headers: Vec<(String, String)>,
}

impl Answer {
    /// Reads an answer, whose request is sent already.
    pub async fn read(mut transport: Box<dyn Transport>) -> Result<Self> {
        let mut unread = Vec::new();
        let end = loop {
            if let Some(end) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if unread.len() > LARGEST_HEAD {
                bail!("an answer whose head does not end");
            }
            if transport.read_buf(&mut unread).await.context("reading the answer's head")? == 0 {
                bail!("the server closed within its answer's head: {:?}", String::from_utf8_lossy(&unread));
            }
        };
        let rest = unread.split_off(end + 4);
        let head = Head::parse(&String::from_utf8_lossy(&unread))?;
        if head.status == 101 {
            return Ok(Self::Opened(WsClient { transport, unread: rest, head, answers_pings: true }));
        }
        let mut body = rest;
        let length: Option<usize> = head.header("content-length").and_then(|length| length.parse().ok());
        while length.is_none_or(|length| body.len() < length) && body.len() < 1 << 20 {
            // A server that does not say the length ends the body by closing, with or without TLS's goodbye.
            if transport.read_buf(&mut body).await.unwrap_or(0) == 0 {
                break;
            }
        }
        Ok(Self::Refused { head, body })
    }

    /// The WebSocket.
    ///
    /// # Panics
    /// When the request was refused.
    pub fn opened(self) -> WsClient {
        match self {
            Self::Opened(client) => client,
            Self::Refused { head, body } => panic!("refused: {head:?} {}", String::from_utf8_lossy(&body)),
        }
    }

    /// The refusal.
    ///
    /// # Panics
    /// When there is none.
    pub fn refused(self) -> (Head, Vec<u8>) {
        match self {
            Self::Opened(client) => panic!("opened, not refused: {:?}", client.head()),
            Self::Refused { head, body } => (head, body),
        }
    }

    /// The refusal's status and reason, after checking that its body is empty: what every refused upgrade must be.
    ///
    /// # Panics
    /// When it is anything else.
    pub fn refusal(self) -> (u16, String) {
        let (head, body) = self.refused();
        assert!(body.is_empty(), "a refused upgrade has a body: {}", String::from_utf8_lossy(&body));
        let reason = head.header("x-porthole-reason").unwrap_or_else(|| panic!("a refusal without a reason: {head:?}"));
        (head.status, reason.to_owned())
    }
}

impl Head {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn parse(text: &str) -> Result<Self> {
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).and_then(|line| line.get(..3));
        let status =
            status.and_then(|status| status.parse().ok()).with_context(|| format!("not an answer: {text:?}"))?;
        let headers = lines.take_while(|line| !line.is_empty()).map(|line| {
            let (name, value) = line.split_once(':').with_context(|| format!("not a header: {line:?}"))?;
            Ok((name.to_owned(), value.trim().to_owned()))
        });
        Ok(Self { status, headers: headers.collect::<Result<_>>()? })
    }
}
