//! One connection of a client of the API, whatever it came by: HTTP/1.1 with bounds and deadlines.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use porthole_shared::lifecycle::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tower::ServiceExt as _;

use super::admission::Peer;

/// How long a request's head may take, and a connection be silent between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take to read a part of an answer before its connection is cut.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// The largest request head, and what is buffered of a connection.
const MAX_BUFFER: usize = 16 * 1024;

/// The most header fields.
const MAX_FIELDS: usize = 64;

/// Serves it to its end, or until the agent stops: a request that has begun is finished. Without a peer nobody is
/// admitted.
pub(super) async fn serve<S>(stream: S, peer: Option<Peer>, router: Router, shutdown: &Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answering = service_fn(|mut request: Request<Incoming>| {
        if let Some(peer) = peer.clone() {
            request.extensions_mut().insert(peer);
        }
        router.clone().oneshot(request)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_BUFFER)
            .max_headers(MAX_FIELDS)
            .serve_connection(TokioIo::new(Impatient::new(stream, WRITE_PATIENCE)), answering)
            .with_upgrades()
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.soft.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match shutdown.hard.run_until_cancelled(connection).await {
                Some(ended) => ended,
                None => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the API ended badly");
    }
}

/// A stream whose writes fail once its peer has not read for too long.
#[derive(Debug)]
struct Impatient<S> {
    stream: S,
    patience: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Impatient<S> {
    const fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, waiting: None }
    }

    /// Passes a result on; one that is still to come, for as long as patience lasts.
    fn bounded<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.waiting = None;
            return result;
        }
        let deadline = Instant::now() + self.patience;
        let waiting = self.waiting.get_or_insert_with(|| {
            let mut waiting = Box::pin(sleep(Duration::ZERO));
            waiting.as_mut().reset(deadline);
            waiting
        });
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.bounded(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.bounded(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.bounded(cx, shut)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.bounded(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    #[tokio::test]
    async fn who_does_not_read_is_cut_and_who_reads_is_not() {
        let (ours, mut theirs) = duplex(16);
        let mut ours = Impatient::new(ours, Duration::from_secs(5));
        let mut all = [0; 64];
        let (written, read) = tokio::join!(ours.write_all(&[7; 64]), theirs.read_exact(&mut all));
        assert!(written.is_ok() && read.is_ok());
        ours.patience = Duration::from_millis(20);
        let error = ours.write_all(&[7; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
