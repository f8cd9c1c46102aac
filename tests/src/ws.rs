//! A raw WebSocket client (RFC 6455) that can do what a library hides: any upgrade request, bytes pipelined behind it,
//! the whole answer to a refused one, single frames, no reading at all.
//!
//! ```no_run
//! # async fn example(url: &str, ca: &std::path::Path) -> anyhow::Result<()> {
//! use porthole_tests::ws::Upgrade;
//!
//! let mut console = Upgrade::to(url).ca(ca).protocols(&["binary"]).send().await?.opened();
//! console.send_binary(b"RFB 003.008\n").await?;
//! let closed = console.closed().await;
//! # Ok(())
//! # }
//! ```

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::stream::ByteStream;
use crate::wait::PATIENCE;

mod answer;
mod frame;
mod upgrade;

pub use answer::{Answer, Head};
pub use frame::{Frame, Opcode};
pub use upgrade::Upgrade;

/// Anything that carries bytes.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug> Transport for T {}

/// An open WebSocket. Everything it waits for has a deadline ([`PATIENCE`]).
#[derive(Debug)]
pub struct WsClient {
    transport: Box<dyn Transport>,
    unread: Vec<u8>,
    head: Head,
    answers_pings: bool,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A whole message of bytes.
    Binary(Vec<u8>),
    /// A whole message of text.
    Text(String),
    /// A ping, which is answered already.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame, which is answered already.
    Close(Closed),
    /// The end of the stream, without a close frame.
    End,
}

/// How a WebSocket was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The close code; none in an empty close frame.
    pub code: Option<u16>,
    /// The reason's text.
    pub reason: String,
}

impl WsClient {
    /// The head of the answer that opened it.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Leave pings unanswered from now on, as a client does that vanished.
    pub fn ignore_pings(&mut self) {
        self.answers_pings = false;
    }

    /// Sends one binary frame.
    pub async fn send_binary(&mut self, payload: &[u8]) -> Result<()> {
        self.send_frame(&Frame::new(Opcode::Binary, payload)).await
    }

    /// Sends one text frame.
    pub async fn send_text(&mut self, text: &str) -> Result<()> {
        self.send_frame(&Frame::new(Opcode::Text, text.as_bytes())).await
    }

    /// Sends a close frame.
    pub async fn send_close(&mut self, code: u16, reason: &str) -> Result<()> {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend(reason.as_bytes());
        self.send_frame(&Frame::new(Opcode::Close, &payload)).await
    }

    /// Sends a frame, masked as it says.
    pub async fn send_frame(&mut self, frame: &Frame) -> Result<()> {
        self.send_raw(&frame.encode()).await
    }

    /// Sends bytes as they are, frames or not.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        let sending = async {
            self.transport.write_all(bytes).await?;
            self.transport.flush().await
        };
        Ok(tokio::time::timeout(PATIENCE, sending).await.context("the server does not read")??)
    }

    /// Ends the sending direction only.
    pub async fn half_close(&mut self) -> Result<()> {
        Ok(tokio::time::timeout(PATIENCE, self.transport.shutdown()).await.context("half-closing")??)
    }

    /// The next frame as it came; none at the end of the stream (also when that end is a reset).
    pub async fn next_frame(&mut self) -> Result<Option<Frame>> {
        let reading = async {
            loop {
                if let Some((frame, length)) = Frame::decode(&self.unread)? {
                    self.unread.drain(..length);
                    return Ok(Some(frame));
                }
                match self.transport.read_buf(&mut self.unread).await {
                    Ok(0) | Err(_) if self.unread.is_empty() => return Ok(None),
                    Ok(0) => bail!("the stream ended within a frame"),
                    Ok(_) => {}
                    Err(error) => return Err(error).context("reading a frame"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.context("no frame came in time")?
    }

    /// The next message or control frame.
    pub async fn next(&mut self) -> Result<Event> {
        let mut message: Option<(Opcode, Vec<u8>)> = None;
        loop {
            let Some(frame) = self.next_frame().await? else { return Ok(Event::End) };
            if frame.mask.is_some() {
                bail!("the server masked a frame");
            }
            match frame.opcode {
                Opcode::Binary | Opcode::Text if message.is_none() => message = Some((frame.opcode, frame.payload)),
                Opcode::Continuation => {
                    message.as_mut().context("a continuation of nothing")?.1.extend(frame.payload);
                }
                Opcode::Binary | Opcode::Text => bail!("a message within a message"),
                Opcode::Ping => {
                    if self.answers_pings {
                        self.send_frame(&Frame::new(Opcode::Pong, &frame.payload)).await?;
                    }
                    return Ok(Event::Ping(frame.payload));
                }
                Opcode::Pong => return Ok(Event::Pong(frame.payload)),
                Opcode::Close => {
                    // The server may have closed its side already.
                    let _gone = self.send_frame(&Frame::new(Opcode::Close, &frame.payload)).await;
                    return Ok(Event::Close(Closed::parse(&frame.payload)?));
                }
                Opcode::Other(opcode) => bail!("a frame of opcode {opcode}"),
            }
            if frame.fin
                && let Some((opcode, payload)) = message.take()
            {
                return Ok(match opcode {
                    Opcode::Text => Event::Text(String::from_utf8(payload).context("text that is not UTF-8")?),
                    _ => Event::Binary(payload),
                });
            }
        }
    }

    /// The bytes of the next binary message; control frames in between are passed over.
    ///
    /// # Panics
    /// When something else comes.
    pub async fn binary(&mut self) -> Vec<u8> {
        loop {
            match self.next().await.expect("a binary message") {
                Event::Binary(bytes) => return bytes,
                Event::Ping(_) | Event::Pong(_) => {}
                other => panic!("{other:?} instead of a binary message"),
            }
        }
    }

    /// Reads on, past whatever comes, until a close frame.
    ///
    /// # Panics
    /// When the stream ends without one, or nothing comes.
    pub async fn closed(&mut self) -> Closed {
        let closing = async {
            loop {
                match self.next().await.expect("a close frame") {
                    Event::Close(closed) => return closed,
                    Event::End => panic!("the stream ended without a close frame"),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, closing).await.expect("a close frame in time")
    }

    /// Closes from this side (1000), and waits for the server's answer.
    pub async fn close(mut self) -> Closed {
        // The server may have closed at the same time.
        let _gone = self.send_close(1000, "").await;
        self.closed().await
    }
}

impl Closed {
    fn parse(payload: &[u8]) -> Result<Self> {
        match payload {
            [] => Ok(Self { code: None, reason: String::new() }),
            [_] => bail!("a close frame of one byte"),
            [high, low, reason @ ..] => Ok(Self {
                code: Some(u16::from_be_bytes([*high, *low])),
                reason: String::from_utf8(reason.to_vec()).context("a close reason that is not UTF-8")?,
            }),
        }
    }
}

impl ByteStream for WsClient {
    async fn receive(&mut self) -> Result<Vec<u8>> {
        loop {
            match self.next().await? {
                Event::Binary(bytes) if bytes.is_empty() => {}
                Event::Binary(bytes) => return Ok(bytes),
                Event::Ping(_) | Event::Pong(_) => {}
                Event::End => return Ok(Vec::new()),
                Event::Close(closed) => bail!("closed: {closed:?}"),
                Event::Text(text) => bail!("a text message: {text:?}"),
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.send_binary(bytes).await
    }
}
