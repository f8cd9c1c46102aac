//! A WebSocket with the agent, over the connection of a request.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Agent, ClientError, LONGEST_ANSWER};

impl Agent {
    /// Opens a WebSocket, and does something with it on this thread.
    pub(crate) fn with_socket<T>(
        &self,
        path: &str,
        work: impl AsyncFnOnce(WebSocketStream<TokioIo<Upgraded>>) -> T,
    ) -> Result<T, ClientError> {
        self.runtime.block_on(async {
            let opened = timeout(self.deadline, self.open_socket(path)).await;
            let socket =
                opened.map_err(|_elapsed| ClientError::TimedOut { place: self.place(), after: self.deadline })??;
            Ok(work(socket).await)
        })
    }

    async fn open_socket(&self, path: &str) -> Result<WebSocketStream<TokioIo<Upgraded>>, ClientError> {
        let broken = |source| ClientError::Broken { place: self.place(), source };
        let nonsense = |why: String| ClientError::Nonsense { request: format!("GET {path}"), why };
        let stream =
            self.place.connect().await.map_err(|source| ClientError::Connect { place: self.place(), source })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        drop(tokio::spawn(connection.with_upgrades()));
        let mut request = Request::get(path)
            .header(HOST, self.place.host())
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, generate_key());
        if let Some(value) = self.place.authorization() {
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| nonsense(error.to_string()))?;
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
            let body = body.map_err(|error| nonsense(error.to_string()))?.to_bytes();
            return Err(serde_json::from_slice(&body)
                .map_or_else(|_| nonsense(format!("{status}, without a word")), ClientError::Refused));
        }
        let upgraded = hyper::upgrade::on(answer).await.map_err(broken)?;
        Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await)
    }
}
