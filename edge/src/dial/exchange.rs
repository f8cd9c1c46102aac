//! One request and its answer on one connection, with bounds on what the answer may be.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use porthole_shared::leg::Leg;
use porthole_shared::tunnel::MAX_BODY_BYTES;

use super::{DialError, InvalidAnswer};

/// The most that an answer's head may have, in bytes. Agents' heads have a few hundred.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The most header fields in it.
const MAX_FIELDS: usize = 64;

/// An answer whose body was not looked at yet.
pub(super) type Head = Response<Incoming>;

/// A connection on which one request is under way. Driven by whoever waits for its answer: no task of its own.
pub(super) struct Exchange {
    connection: http1::Connection<TokioIo<Leg>, Full<Bytes>>,
    ended: bool,
    sender: http1::SendRequest<Full<Bytes>>,
    request: Option<Request<Full<Bytes>>>,
}

impl Exchange {
    pub(super) async fn begin(leg: Leg, request: Request<Full<Bytes>>) -> Result<Self, hyper::Error> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_FIELDS)
            .handshake(TokioIo::new(leg))
            .await?;
        Ok(Self { connection, ended: false, sender, request: Some(request) })
    }

    /// Sends the request and reads the answer's head.
    pub(super) async fn head(&mut self) -> Result<Head, DialError> {
        let request = self.request.take().ok_or(DialError::Slow)?;
        let answer = self.sender.send_request(request);
        Ok(drive(&mut self.connection, &mut self.ended, answer).await?)
    }

    /// Reads the answer's body.
    pub(super) async fn body(&mut self, head: Head) -> Result<Bytes, DialError> {
        let body = Limited::new(head.into_body(), MAX_BODY_BYTES).collect();
        match drive(&mut self.connection, &mut self.ended, body).await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) => Err(match error.downcast::<hyper::Error>() {
                Ok(broken) => DialError::Broken(*broken),
                Err(_limit) => InvalidAnswer::LongBody.into(),
            }),
        }
    }

    /// After a `101`: the connection, and what was read behind the head.
    pub(super) async fn into_upgraded(self) -> Result<(Leg, Bytes), DialError> {
        let Self { mut connection, ended, sender, .. } = self;
        drop(sender);
        if !ended {
            poll_fn(|cx| connection.poll_without_shutdown(cx)).await?;
        }
        let parts = connection.into_parts();
        Ok((parts.io.into_inner(), parts.read_buf))
    }
}

/// Runs the connection until something that depends on it is there.
async fn drive<F: Future>(
    connection: &mut http1::Connection<TokioIo<Leg>, Full<Bytes>>,
    ended: &mut bool,
    awaited: F,
) -> F::Output {
    let mut awaited = pin!(awaited);
    poll_fn(|cx| {
        if let Poll::Ready(output) = awaited.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        if !*ended && connection.poll_without_shutdown(cx).is_ready() {
            // Its error, if any, has gone to whom it concerns.
            *ended = true;
        }
        awaited.as_mut().poll(cx)
    })
    .await
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("ended", &self.ended).finish_non_exhaustive()
    }
}
