//! The far ends: behind an edge (and those who are compared with it) an agent's stand-in over TLS, behind an agent a
//! console over TCP.
//!
//! All of them do what the [`Manner`] of the moment is when a connection comes in. The stand-in is a real agent as far as
//! an edge can see: its certificate, its keys, its `101`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use porthole_shared::leg::Leg;
use porthole_shared::moments::at_or_after;
use porthole_shared::token::{KeySet, SigningKey};
use porthole_shared::tunnel::{JWKS_PATH, WebSocketKey};
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::frames::{self, Block, From};
use crate::wire::{Wire, header, read_head};

/// What answers, without the frame around it where there is one.
pub const ANSWER: u8 = b'.';

/// What a far end does with a connection.
#[derive(Debug, Clone)]
pub enum Manner {
    /// Answers whatever comes with one byte.
    Echo,
    /// Sends a block over and over, so many bytes of it in all, then waits for the end.
    Flood {
        /// The block.
        block: Arc<Block>,
        /// How many bytes, at least.
        total: u64,
    },
    /// Reads so many bytes, then sends one.
    Sink {
        /// How many.
        total: u64,
    },
    /// Takes a whole number of blocks of the first length and answers with the second block to each, to be done again
    /// and again on the same connection.
    Talk {
        /// How many bytes are a question.
        question: u64,
        /// What answers it.
        answer: Arc<Block>,
    },
    /// Sends nothing but pings, at this interval, the first at a moment of its own.
    Idle {
        /// Between two pings.
        interval: Option<Duration>,
    },
}

/// How bytes are wrapped on this far end's side.
#[derive(Clone)]
enum Side {
    /// The agent's stand-in: TLS, heads, frames.
    Tunnel { config: Arc<ServerConfig>, keys: Arc<Vec<u8>> },
    /// A console.
    Console,
}

/// A listening far end. Dropped, it accepts nothing more.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    accepting: JoinHandle<()>,
}

impl Backend {
    /// An agent's stand-in with this certificate, publishing this key.
    pub async fn tunnel(config: Arc<ServerConfig>, key: &SigningKey) -> Result<Self> {
        let keys = Arc::new(KeySet::publish([key])?);
        Self::start(Side::Tunnel { config, keys }).await
    }

    /// A console.
    pub async fn console() -> Result<Self> {
        Self::start(Side::Console).await
    }

    async fn start(side: Side) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening as a far end")?;
        let address = listener.local_addr()?;
        let manner = Arc::new(Mutex::new(Manner::Idle { interval: None }));
        let (of_the_moment, ordinal) = (Arc::clone(&manner), AtomicU64::new(0));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let manner = of_the_moment.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let (side, ordinal) = (side.clone(), ordinal.fetch_add(1, Ordering::Relaxed));
                // What goes wrong shows at the near end, which misses its bytes.
                drop(tokio::spawn(async move { serve(side, manner, ordinal, stream).await }));
            }
        });
        Ok(Self { address, manner, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it does with connections from now on.
    pub fn be(&self, manner: Manner) {
        *self.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(side: Side, manner: Manner, ordinal: u64, stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let (wire, one) = match side {
        Side::Console => (Wire::new(Leg::plain(stream), Bytes::new()), vec![ANSWER]),
        Side::Tunnel { config, keys } => {
            let mut leg = Leg::accept(stream, config).await?;
            let (head, early) = read_head(&mut leg).await?;
            if head.split_whitespace().nth(1) == Some(JWKS_PATH) {
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    keys.len()
                );
                leg.write_all(&[answer.as_bytes(), &keys].concat()).await?;
                return Ok(leg.shutdown().await?);
            }
            let key = header(&head, "Sec-WebSocket-Key").and_then(WebSocketKey::parse).context("no key")?;
            let accept = key.accept();
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: binary\r\n\r\n"
            );
            leg.write_all(answer.as_bytes()).await?;
            (Wire::new(leg, early), frames::binary(&[ANSWER], From::Server))
        }
    };
    behave(wire, manner, ordinal, &one).await
}

async fn behave(mut wire: Wire, manner: Manner, ordinal: u64, one: &[u8]) -> Result<()> {
    match manner {
        Manner::Echo => {
            while wire.receive(|_| ()).await.is_some() {
                wire.send(one).await?;
            }
        }
        Manner::Flood { block, total } => {
            let mut sent = 0;
            while sent < total {
                wire.send(&block.bytes).await?;
                sent += block.bytes.len() as u64;
            }
            while wire.receive(|_| ()).await.is_some() {}
        }
        Manner::Sink { total } => {
            wire.receive_bytes(total).await?;
            wire.send(one).await?;
            while wire.receive(|_| ()).await.is_some() {}
        }
        Manner::Talk { question, answer } => {
            let mut asked = 0;
            while let Some(came) = wire.receive(|bytes| bytes.len() as u64).await {
                asked += came;
                while asked >= question {
                    asked -= question;
                    wire.send(&answer.bytes).await?;
                }
            }
        }
        Manner::Idle { interval: None } => while wire.receive(|_| ()).await.is_some() {},
        Manner::Idle { interval: Some(interval) } => idle(wire, interval, ordinal).await?,
    }
    Ok(())
}

/// Pings, and reads what comes. Where in the interval a connection has its ping follows from its ordinal, so that pings
/// are spread as they are in life: over the moments that agents share.
async fn idle(mut wire: Wire, interval: Duration, ordinal: u64) -> Result<()> {
    let mut due = Instant::now() + interval.mul_f64(spread(ordinal));
    let mut next = Box::pin(sleep_until(at_or_after(due, interval)));
    loop {
        tokio::select! {
            received = wire.receive(|_| ()) => if received.is_none() { return Ok(()) },
            () = &mut next => {
                wire.send(&frames::ping()).await?;
                due += interval;
                next.as_mut().reset(at_or_after(due, interval));
            }
        }
    }
}

/// A place between 0 and 1 for each ordinal, evenly.
pub fn spread(ordinal: u64) -> f64 {
    (f64::from(u32::try_from(ordinal % 4096).unwrap_or_default()) * 0.618_034).fract()
}
