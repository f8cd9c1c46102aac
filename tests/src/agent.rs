//! A built `porthole-agent`, started on a directory of the test's own, and its API over the unix socket.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::Result;
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::http::{fetch, unix_json};
use crate::process::Process;

const BINARY: &str = "porthole-agent";

/// A running agent. Dropped, it is killed.
#[derive(Debug)]
pub struct Agent {
    daemon: Daemon,
    name: String,
    directory: PathBuf,
    socket: PathBuf,
    tunnel: SocketAddr,
    admin: SocketAddr,
}

mod builder;
mod mint;

pub use builder::{AgentBuilder, consoles_of};
pub use mint::{Mint, Minted};

/// What the API refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// The problem's code.
    pub code: String,
    /// The whole problem.
    pub problem: Value,
}

impl Agent {
    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens for edges.
    pub fn tunnel(&self) -> SocketAddr {
        self.tunnel
    }

    /// Where it tells of health and metrics.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// A GET from its admin listener.
    pub async fn admin_fetch(&self, path: &str) -> Result<Response<Bytes>> {
        fetch(self.admin, path).await
    }

    /// Its unix socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its database.
    pub fn database(&self) -> PathBuf {
        self.directory.join("state/porthole.db")
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        self.daemon.process()
    }

    /// Its files: configuration and log. Settings changed here hold from the next start on.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// Its configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.daemon.config_path()
    }

    /// All that it ever logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.daemon.log_path()).unwrap_or_default()
    }

    /// Asks the API.
    pub async fn api(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, Value)> {
        unix_json(&self.socket, method, path, body).await
    }

    /// A link.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn mint(&self, what: impl Into<Mint>) -> Minted {
        let what = what.into();
        match self.try_mint(what.clone()).await {
            Ok(minted) => minted,
            Err(refused) => panic!("no link for {:?}: {refused:?}", what.0),
        }
    }

    /// A link, or why there is none.
    ///
    /// # Panics
    /// When the API does not answer.
    pub async fn try_mint(&self, what: impl Into<Mint>) -> Result<Minted, ApiError> {
        let json = self.call(Method::POST, "/v1/tokens", Some(&what.into().0), StatusCode::CREATED).await?;
        let minted: Minted = serde_json::from_value(json.clone()).expect("url, token and id");
        Ok(Minted { json, ..minted })
    }

    /// Withdraws a link.
    ///
    /// # Panics
    /// When the API does not answer.
    pub async fn revoke(&self, token_id: &str) -> Result<(), ApiError> {
        self.call(Method::DELETE, &format!("/v1/tokens/{token_id}"), None, StatusCode::NO_CONTENT).await.map(drop)
    }

    /// The live sessions.
    ///
    /// # Panics
    /// When the API does not answer.
    pub async fn sessions(&self) -> Vec<Value> {
        let list = self.call(Method::GET, "/v1/sessions", None, StatusCode::OK).await.expect("the sessions");
        list["sessions"].as_array().expect("a list").clone()
    }

    /// Ends a session.
    ///
    /// # Panics
    /// When the API does not answer.
    pub async fn kill_session(&self, id: &str) -> Result<(), ApiError> {
        self.call(Method::DELETE, &format!("/v1/sessions/{id}"), None, StatusCode::NO_CONTENT).await.map(drop)
    }

    /// What it has.
    ///
    /// # Panics
    /// When the API does not answer.
    pub async fn consoles(&self) -> Vec<Value> {
        let list = self.call(Method::GET, "/v1/consoles", None, StatusCode::OK).await.expect("the consoles");
        list["consoles"].as_array().expect("a list").clone()
    }

    /// Signs with a new key from now on; gives its id.
    ///
    /// # Panics
    /// When it does not.
    pub async fn rotate_signing_key(&self) -> String {
        let answer = self.call(Method::POST, "/v1/signing-keys/rotate", None, StatusCode::OK).await.expect("a new key");
        answer["kid"].as_str().expect("its id").to_owned()
    }

    /// How it is.
    ///
    /// # Panics
    /// When the API does not answer.
    pub async fn status(&self) -> Value {
        self.call(Method::GET, "/v1/status", None, StatusCode::OK).await.expect("the status")
    }

    /// Stops it (SIGTERM).
    pub async fn stop(&mut self) -> ExitStatus {
        self.daemon.stop().await
    }

    /// Kills it (SIGKILL).
    pub fn crash(&mut self) {
        self.daemon.crash();
    }

    /// Starts it again after a stop or crash, on the same files and ports.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_again(&mut self) {
        self.try_start_again().await.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// As [`Self::start_again`], with the error: where it ended at once, what it said.
    pub async fn try_start_again(&mut self) -> Result<()> {
        self.try_start().await
    }

    /// Ends the one that an earlier process started in this directory; false when none runs.
    pub(crate) async fn end_recorded(directory: &Path) -> Result<bool> {
        Daemon::end_recorded(BINARY, directory).await
    }

    async fn try_start(&mut self) -> Result<()> {
        let socket = self.socket.clone();
        self.daemon.start(async || is_ready(&socket).await).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        wanted: StatusCode,
    ) -> Result<Value, ApiError> {
        let (status, value) = self.api(method, path, body).await.expect("the agent's API answers");
        if status == wanted {
            return Ok(value);
        }
        let code = value["code"].as_str().unwrap_or_default().to_owned();
        Err(ApiError { status: status.as_u16(), code, problem: value })
    }
}

/// Whether its API answers, and libvirt is connected where there is one.
async fn is_ready(socket: &Path) -> bool {
    let status = unix_json(socket, Method::GET, "/v1/status", None).await;
    status.is_ok_and(|(status, body)| status == StatusCode::OK && body["libvirt"] != "connecting")
}
