//! One HTTP request and its answer, over whatever stream.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::wait::PATIENCE;

/// Sends the request and reads the whole answer.
pub async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<Bytes>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let exchanging = async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        connection.abort();
        Ok(Response::from_parts(head, body))
    };
    tokio::time::timeout(PATIENCE, exchanging).await.context("no answer in time")?
}

/// A plain GET.
pub async fn fetch(from: SocketAddr, path: &str) -> Result<Response<Bytes>> {
    let stream = TcpStream::connect(from).await.with_context(|| format!("connecting to {from}"))?;
    let request = Request::builder().uri(path).header("host", from.to_string());
    exchange(stream, request.body(Full::default())?).await
}

/// A request to an API on a unix socket, with and answered by JSON (`Null` where the answer has no body).
pub async fn unix_json(socket: &Path, method: Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, Value)> {
    let stream = UnixStream::connect(socket).await.with_context(|| format!("connecting to {}", socket.display()))?;
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = body.map(Value::to_string).unwrap_or_default();
    let answer = exchange(stream, request.body(Full::new(Bytes::from(body)))?).await?;
    let value = match answer.body().as_ref() {
        [] => Value::Null,
        bytes => serde_json::from_slice(bytes)
            .with_context(|| format!("{path} answered {}, not JSON", String::from_utf8_lossy(bytes)))?,
    };
    Ok((answer.status(), value))
}
