//! `chromedriver`, and the requests of W3C `WebDriver` that it takes: one JSON object each way, over HTTP.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::http::exchange;
use crate::process::{Identity, Lifetime, Process, children_of};
use crate::wait::{PATIENCE, try_eventually};

/// A running chromedriver. Dropped, it ends with every browser that it has started.
///
/// Chromium outlives a chromedriver that is killed, and is many processes. So they all live in a PID namespace, whose
/// first process chromedriver is: the kernel ends them with it.
#[derive(Debug)]
pub(super) struct Driver {
    /// `unshare`, which ends when the namespace is empty.
    outer: Process,
    first: Identity,
    address: SocketAddr,
    directory: TempDir,
}

impl Driver {
    pub(super) async fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("ph-").tempdir_in("/tmp").context("a temporary directory")?;
        let mut command = Command::new("unshare");
        command.args(["-m", "-p", "--fork", "--kill-child=KILL", "--mount-proc", "--propagation", "private"]);
        // Whatever Chromium keeps outside its profile goes into a home of its own.
        command.args(["chromedriver", "--port=0"]).env("HOME", directory.path()).current_dir("/");
        let log = directory.path().join("chromedriver.log");
        let outer = Process::spawn("chromedriver", &command, &log, Lifetime::Attached, Stdio::null())?;
        let port = try_eventually(PATIENCE, async || {
            let said = outer.log();
            let port = said.split_once("started successfully on port ").and_then(|(_, rest)| rest.split_once('.'));
            port.map(|(port, _)| port.parse::<u16>().ok()).or((!outer.is_running()).then_some(None))
        });
        let Some(Some(port)) = port.await else {
            bail!("chromedriver does not start (is the package chromium-driver installed?); it said:\n{}", outer.log());
        };
        let first = children_of(outer.pid()).first().copied().and_then(Identity::of).context("no chromedriver")?;
        Ok(Self { outer, first, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), directory })
    }

    /// Where a browser may keep its files.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Sends a command, and gives the `value` of its answer.
    pub(super) async fn command(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let stream = TcpStream::connect(self.address).await.context("connecting to chromedriver")?;
        let mut request = Request::builder().method(method).uri(path).header("host", self.address.to_string());
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let text = body.map(Value::to_string).unwrap_or_default();
        let answer = exchange(stream, request.body(Full::new(Bytes::from(text)))?);
        let answer = answer.await.with_context(|| format!("chromedriver, asked for {path}"))?;
        let mut json: Value = serde_json::from_slice(answer.body()).context("chromedriver's answer")?;
        let value = json.get_mut("value").map(Value::take).unwrap_or_default();
        if !answer.status().is_success() {
            let word = |name: &str| value[name].as_str().unwrap_or_default().lines().next().unwrap_or_default();
            bail!("{path}: {}: {}", word("error"), word("message"));
        }
        Ok(value)
    }

    /// A new browser; gives its session's id.
    pub(super) async fn new_session(&self, capabilities: &Value) -> Result<String> {
        let wanted = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let session = self.command(Method::POST, "/session", Some(&wanted)).await?;
        Ok(session["sessionId"].as_str().context("no session id")?.to_owned())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.first.signal(Signal::SIGKILL);
        // Before its directory goes: what still runs would write to it.
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.outer.is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
