//! A leg as a stream, for HTTP: what a reader has no room for and what the socket does not take waits in the leg.
//!
//! A peer's FIN without `close_notify` is an end here as it is for sessions, which have ends of their own: what HTTP reads
//! over it has a length, or is JSON. Writes are not vectored: they would be copied into records anyway.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Inward, Leg, Outward, READ_AHEAD, Scratch, WIRE_BYTES};

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Leg<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let leg = &mut *self;
        loop {
            if !leg.early.is_empty() {
                let count = leg.early.len().min(into.remaining());
                into.put_slice(&leg.early.split_to(count));
                if leg.early.is_empty() {
                    leg.early = BytesMut::new();
                }
                return Poll::Ready(Ok(()));
            }
            match leg.inward {
                Inward::Open => {}
                Inward::Closed => return Poll::Ready(Ok(())),
                Inward::Lost => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            }
            let most = into.remaining().max(READ_AHEAD);
            let received = Scratch::lend(|scratch| {
                leg.read_socket(cx, scratch, most).map_ok(|_count| {
                    let mut plaintext = scratch.plaintext();
                    let count = plaintext.len().min(into.remaining());
                    into.put_slice(plaintext.get(..count).unwrap_or_default());
                    plaintext.advance(count);
                    leg.early.extend_from_slice(plaintext);
                    count
                })
            });
            if received.is_pending() {
                leg.rest();
            }
            if ready!(received)? > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Leg<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Self::poll_flush(&mut self, cx));
        if !self.is_open() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = bytes.len().min(WIRE_BYTES);
        self.send(cx, bytes.get(..count).unwrap_or_default());
        Poll::Ready(self.unbroken().map(|()| count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Self::poll_flush(&mut self, cx));
        Poll::Ready(self.unbroken())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        ready!(Self::poll_flush(&mut self, cx));
        Poll::Ready(self.unbroken())
    }
}

impl<S> Leg<S> {
    fn unbroken(&self) -> io::Result<()> {
        if self.outward == Outward::Broken { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}
