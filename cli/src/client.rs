//! The agent's API, as its client over the unix socket or by TLS: one request, one answer, one deadline.
//!
//! HTTP/1.1 and JSON; a refusal is a problem document (RFC 9457). What an answer *means* to the operator is the
//! commands' business; why there is none is told here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

pub(crate) mod api;
mod place;
mod socket;
mod wording;

use api::Problem;
pub(crate) use place::{Place, PlaceError};

/// The largest answer that is read, in bytes: some ten thousand sessions are 5 MiB.
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;

/// How many pieces of a list are asked for. An agent that has more goes round in circles.
const MOST_PIECES: usize = 1000;

/// There is no answer to go by.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The client itself cannot start.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
    /// Nobody took the connection.
    #[error("cannot reach the agent at {place}")]
    Connect {
        /// Where.
        place: Arc<Place>,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not answered in time.
    #[error("the agent at {place} did not answer within {after:?}")]
    TimedOut {
        /// Where.
        place: Arc<Place>,
        /// The deadline.
        after: Duration,
    },
    /// The connection broke.
    #[error("the agent at {place} did not answer")]
    Broken {
        /// Where.
        place: Arc<Place>,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// The answer is longer than anything the agent says.
    #[error("the agent's answer is longer than {LONGEST_ANSWER} bytes")]
    TooLong,
    /// The answer is not what the API says.
    #[error("the agent's answer to {request} makes no sense: {why}")]
    Nonsense {
        /// The request.
        request: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// The agent refused.
    #[error("the agent refused")]
    Refused(Problem),
}

/// An answer, as it was and as it was understood.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    /// As the agent said it, for `--json`: fields of later releases are in it.
    pub(crate) json: Value,
    /// What this release understands.
    pub(crate) parsed: T,
}

fn hex(digit: u8) -> Option<char> {
    char::from_digit(digit.into(), 16).map(|digit| digit.to_ascii_uppercase())
}

/// A path and its query, of the pairs that have a value.
pub(crate) fn query(path: &str, pairs: &[(&str, Option<&str>)]) -> String {
    let said = pairs.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    said.enumerate().fold(path.to_owned(), |mut path, (index, (name, value))| {
        path.push(if index == 0 { '?' } else { '&' });
        path.push_str(name);
        path.push('=');
        path.push_str(&segment(value));
        path
    })
}

/// A text as a part of a path or query.
pub(crate) fn segment(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        // RFC 3986 section 2.3.
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.extend([Some('%'), hex(byte >> 4), hex(byte & 15)].into_iter().flatten());
        }
    }
    escaped
}

/// An agent.
#[derive(Debug)]
pub(crate) struct Agent {
    place: Arc<Place>,
    deadline: Duration,
    runtime: Runtime,
}

impl Agent {
    /// The agent at that place. Connects with each request.
    pub(crate) fn at(place: Place, deadline: Duration) -> Result<Self, ClientError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(ClientError::Runtime)?;
        Ok(Self { place: Arc::new(place), deadline, runtime })
    }

    /// Asks for something.
    pub(crate) fn read<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, ClientError> {
        self.expect(&Method::GET, path, Bytes::new())
    }

    /// Asks for a list, of which the answer's field of that name holds a piece, until it has all pieces.
    pub(crate) fn list<T: DeserializeOwned>(&self, path: &str, field: &str) -> Result<Answer<T>, ClientError> {
        let mut whole = self.read::<Map<String, Value>>(path)?.parsed;
        for _piece in 0..MOST_PIECES {
            let Some(Value::String(next)) = whole.remove("next") else { break };
            let after = if path.contains('?') { '&' } else { '?' };
            let mut piece = self.read::<Map<String, Value>>(&format!("{path}{after}after={next}"))?.parsed;
            if let (Some(Value::Array(all)), Some(Value::Array(more))) = (whole.get_mut(field), piece.remove(field)) {
                all.extend(more);
            }
            whole.extend(piece.remove_entry("next"));
        }
        let whole = Value::Object(whole);
        let parsed = T::deserialize(&whole)
            .map_err(|error| ClientError::Nonsense { request: format!("GET {path}"), why: error.to_string() })?;
        Ok(Answer { json: whole, parsed })
    }

    /// Asks for something that is no JSON.
    pub(crate) fn bytes(&self, path: &str) -> Result<Bytes, ClientError> {
        self.call(&Method::GET, path, Bytes::new())
    }

    /// Has something made.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Answer<T>, ClientError> {
        let body = serde_json::to_vec(body)
            .map_err(|error| ClientError::Nonsense { request: format!("POST {path}"), why: error.to_string() })?;
        self.expect(&Method::POST, path, body.into())
    }

    /// Has something be so.
    pub(crate) fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<Answer<T>, ClientError> {
        let body = serde_json::to_vec(body)
            .map_err(|error| ClientError::Nonsense { request: format!("PUT {path}"), why: error.to_string() })?;
        self.expect(&Method::PUT, path, body.into())
    }

    /// Has something removed.
    pub(crate) fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.call(&Method::DELETE, path, Bytes::new()).map(drop)
    }

    /// Has several things removed, and takes what is said of that.
    pub(crate) fn remove<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, ClientError> {
        self.expect(&Method::DELETE, path, Bytes::new())
    }

    fn expect<T: DeserializeOwned>(&self, method: &Method, path: &str, body: Bytes) -> Result<Answer<T>, ClientError> {
        let body = self.call(method, path, body)?;
        let understood = || {
            let json: Value = serde_json::from_slice(&body)?;
            Ok(Answer { parsed: T::deserialize(&json)?, json })
        };
        understood().map_err(|error: serde_json::Error| ClientError::Nonsense {
            request: format!("{method} {path}"),
            why: error.to_string(),
        })
    }

    fn place(&self) -> Arc<Place> {
        Arc::clone(&self.place)
    }

    /// The body of a success.
    fn call(&self, method: &Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let timed = async { timeout(self.deadline, self.exchange(method, path, body)).await };
        let (status, body) = self
            .runtime
            .block_on(timed)
            .map_err(|_elapsed| ClientError::TimedOut { place: self.place(), after: self.deadline })??;
        if status.is_success() {
            return Ok(body);
        }
        Err(serde_json::from_slice(&body).map_or_else(
            |_| ClientError::Nonsense { request: format!("{method} {path}"), why: format!("{status}, without a word") },
            ClientError::Refused,
        ))
    }

    async fn exchange(&self, method: &Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), ClientError> {
        let broken = |source| ClientError::Broken { place: self.place(), source };
        let stream =
            self.place.connect().await.map_err(|source| ClientError::Connect { place: self.place(), source })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Ends with the sender; what is wrong with it, the sender's answer tells.
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.place.host());
        if let Some(value) = self.place.authorization() {
            request = request.header(AUTHORIZATION, value);
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| ClientError::Nonsense { request: format!("{method} {path}"), why: error.to_string() })?;
        let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER).collect().await.map_err(|error| {
            match error.downcast::<hyper::Error>() {
                Ok(source) => broken(*source),
                Err(other) if other.is::<LengthLimitError>() => ClientError::TooLong,
                Err(other) => ClientError::Nonsense { request: format!("{method} {path}"), why: other.to_string() },
            }
        })?;
        connection.abort();
        Ok((head.status, body.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_what_was_said_and_nothing_raw() {
        assert_eq!(query("/v1/x", &[("a", None), ("b", None)]), "/v1/x");
        let pairs = [("a", None), ("b", Some("ü&=? +")), ("c", Some("web-01"))];
        assert_eq!(query("/v1/x", &pairs), "/v1/x?b=%C3%BC%26%3D%3F%20%2B&c=web-01");
    }
}
