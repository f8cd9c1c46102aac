//! A connection as both ends of the load use it: bytes in large pieces, at little cost to the processor they share.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::task::{Poll, ready};

use anyhow::{Result, bail, ensure};
use bytes::{Buf as _, Bytes};
use porthole_shared::leg::{Leg, Scratch};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The longest head that is read, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// One end of a connection whose handshakes are over.
#[derive(Debug)]
pub struct Wire {
    leg: Leg,
    early: Bytes,
}

impl Wire {
    /// On this leg; `early` came with the last handshake.
    pub const fn new(leg: Leg, early: Bytes) -> Self {
        Self { leg, early }
    }

    /// Sends all of it: given to the socket, not merely taken.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let mut fresh = Some(bytes);
        poll_fn(|cx| {
            ready!(self.leg.poll_flush(cx));
            if let Some(bytes) = fresh.take() {
                self.leg.send(cx, bytes);
                ready!(self.leg.poll_flush(cx));
            }
            Poll::Ready(())
        })
        .await;
        ensure!(self.leg.is_open(), "the connection broke while it was written to");
        Ok(())
    }

    /// Waits for bytes and shows them. `None` when the peer has ended the connection.
    pub async fn receive<T>(&mut self, mut see: impl FnMut(&[u8]) -> T) -> Option<T> {
        if !self.early.is_empty() {
            let early = self.early.copy_to_bytes(self.early.len());
            return Some(see(&early));
        }
        poll_fn(|cx| {
            Scratch::lend(|scratch| {
                loop {
                    if self.leg.has_ended() {
                        return Poll::Ready(None);
                    }
                    let received = self.leg.poll_receive(cx, scratch);
                    if received.is_pending() {
                        self.leg.rest();
                        return Poll::Pending;
                    }
                    if !scratch.plaintext().is_empty() {
                        return Poll::Ready(Some(see(scratch.plaintext())));
                    }
                }
            })
        })
        .await
    }

    /// Receives until `enough` says so.
    pub async fn receive_until(&mut self, mut enough: impl FnMut(&[u8]) -> ControlFlow<()>) -> Result<()> {
        loop {
            match self.receive(&mut enough).await {
                Some(ControlFlow::Break(())) => return Ok(()),
                Some(ControlFlow::Continue(())) => {}
                None => bail!("the connection ended too early"),
            }
        }
    }

    /// Receives at least so many bytes. Gives how many.
    pub async fn receive_bytes(&mut self, wanted: u64) -> Result<u64> {
        let mut received = 0;
        if wanted > 0 {
            self.receive_until(|bytes| {
                received += bytes.len() as u64;
                if received >= wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .await?;
        }
        Ok(received)
    }
}

/// Reads a head of HTTP/1.1, and what came behind it.
pub async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Result<(String, Bytes)> {
    let mut read = Vec::with_capacity(1024);
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let early = Bytes::copy_from_slice(&read[end + 4..]);
            read.truncate(end);
            return Ok((String::from_utf8_lossy(&read).into_owned(), early));
        }
        ensure!(read.len() < MAX_HEAD, "a head of more than {MAX_HEAD} bytes");
        ensure!(stream.read_buf(&mut read).await? > 0, "the connection ended in its head");
    }
}

/// A header's value.
pub fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
