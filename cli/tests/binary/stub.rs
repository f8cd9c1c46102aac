//! A stub of the agent's API: whatever a test wants answered, on a unix socket.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::run::{Ran, run};

/// A request that came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    /// `GET /v1/consoles`
    pub(crate) line: String,
    /// The body, if there was one.
    pub(crate) body: Value,
}

/// What to answer.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A status and JSON.
    Json(u16, Value),
    /// A problem document.
    Problem(u16, &'static str, &'static str),
    /// Bytes as they are, then the end.
    Raw(Vec<u8>),
    /// Nothing, ever.
    Silence,
}

impl Reply {
    fn bytes(self) -> Option<Vec<u8>> {
        let (status, kind, body) = match self {
            Self::Json(204, _) => return Some(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
            Self::Json(status, body) => (status, "application/json", body),
            Self::Problem(status, code, detail) => (
                status,
                "application/problem+json",
                json!({"type": "about:blank", "title": "Problem", "status": status, "detail": detail, "code": code}),
            ),
            Self::Raw(bytes) => return Some(bytes),
            Self::Silence => return None,
        };
        let body = body.to_string();
        let head = format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
        Some([head.into_bytes(), body.into_bytes()].concat())
    }
}

/// The stub, listening until the test ends.
pub(crate) struct Stub {
    dir: TempDir,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stub {
    /// Answers every request as the function says.
    pub(crate) fn start(answer: impl Fn(&Seen) -> Reply + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("agent.sock")).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read_request(&stream);
                log.lock().unwrap().push(request.clone());
                match answer(&request).bytes() {
                    // The client may leave in the middle of what it finds too long.
                    Some(bytes) => drop(stream.write_all(&bytes)),
                    None => silent.push(stream),
                }
            }
        });
        Self { dir, seen }
    }

    /// Answers one thing to everything.
    pub(crate) fn always(reply: Reply) -> Self {
        Self::start(move |_| reply.clone())
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("agent.sock")
    }

    /// What it was asked.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Runs the binary against it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let socket = self.socket();
        run(&[&["--socket", socket.to_str().unwrap()], arguments].concat())
    }
}

fn read_request(stream: &UnixStream) -> Seen {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim_end().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let header = |name: &str| {
        let found = lines.iter().find_map(|line| line.to_lowercase().strip_prefix(name).map(|v| v.trim().to_owned()));
        found.unwrap_or_default()
    };
    let mut body = vec![0; header("content-length:").parse().unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    assert!(body.is_empty() || header("content-type:") == "application/json", "{lines:?}");
    let line = lines[0].strip_suffix(" HTTP/1.1").unwrap().to_owned();
    Seen { line, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
}
