//! A built `porthole-edge`, started on a directory of the test's own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use tokio::net::TcpStream;

use crate::agent::Agent;
use crate::daemon::Daemon;
use crate::http::{exchange, fetch};
use crate::process::Process;
use crate::settings::Settings;
use crate::tls;
use crate::ws::Upgrade;

const BINARY: &str = "porthole-edge";

mod builder;

pub use builder::EdgeBuilder;

/// A running edge. Dropped, it is killed.
#[derive(Debug)]
pub struct Edge {
    daemon: Daemon,
    directory: PathBuf,
    port: u16,
    admin: SocketAddr,
    ca: PathBuf,
    plain: bool,
}

/// An entry of the edge's directory.
#[derive(Debug, Clone)]
pub struct Node {
    /// The node's name.
    pub name: String,
    /// Where its agent is said to listen: `host:port`.
    pub address: String,
}

impl Node {
    /// An entry.
    pub fn new(name: &str, address: impl std::fmt::Display) -> Self {
        Self { name: name.to_owned(), address: address.to_string() }
    }
}

impl From<&Agent> for Node {
    fn from(agent: &Agent) -> Self {
        Self::new(agent.name(), agent.tunnel())
    }
}

impl Edge {
    /// Where it is reached: `https://localhost:PORT`.
    pub fn url(&self) -> String {
        url(self.plain, self.port)
    }

    /// Its public address over IPv4.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Its admin listener.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// What clients trust it by.
    pub fn ca(&self) -> &Path {
        &self.ca
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

    /// A request to open this URL's console *through this edge*, whatever edge the URL names. The `Host` stays the URL's.
    pub fn upgrade(&self, url: &str) -> Upgrade {
        Upgrade::to(url).ca(&self.ca).connect_to(self.address())
    }

    /// A plain GET of a path.
    pub async fn fetch(&self, path: &str) -> Result<Response<Bytes>> {
        self.request(Request::builder().method(Method::GET).uri(path).body(Full::default())?).await
    }

    /// `POST /api/console`: what is this token for?
    pub async fn inspect(&self, body: &serde_json::Value) -> Result<Response<Bytes>> {
        let request = Request::post("/api/console").header("content-type", "application/json");
        self.request(request.body(Full::new(Bytes::from(body.to_string())))?).await
    }

    /// Any request to the public listener. A `Host` is added where there is none.
    pub async fn request(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Bytes>> {
        let host = format!("localhost:{}", self.port).parse()?;
        request.headers_mut().entry("host").or_insert(host);
        let stream = TcpStream::connect(self.address()).await.context("connecting to the edge")?;
        if self.plain {
            return exchange(stream, request).await;
        }
        exchange(tls::Client::trusting(&self.ca).connect("localhost", stream).await?, request).await
    }

    /// A GET of the admin listener.
    pub async fn admin_fetch(&self, path: &str) -> Result<Response<Bytes>> {
        fetch(self.admin, path).await
    }

    /// Replaces its directory of nodes; it notices by itself.
    pub fn write_nodes(&self, nodes: &[Node]) -> Result<()> {
        let mut settings = Settings::default();
        for node in nodes {
            let entry = [("name", node.name.as_str()), ("address", node.address.as_str())];
            settings.push("node", entry.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect());
        }
        // As a tool does it that wants no half-written file to be read.
        let path = nodes_path(&self.directory);
        let new = path.with_extension("new");
        settings.write(&new)?;
        std::fs::rename(&new, &path).context("replacing nodes.toml")
    }

    /// Stops it (SIGTERM): drains first.
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
        self.try_start().await.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Ends the one that an earlier process started in this directory; false when none runs.
    pub(crate) async fn end_recorded(directory: &Path) -> Result<bool> {
        Daemon::end_recorded(BINARY, directory).await
    }

    async fn try_start(&mut self) -> Result<()> {
        let admin = self.admin;
        self.daemon.start(async || is_ready(admin).await).await
    }
}

async fn is_ready(admin: SocketAddr) -> bool {
    fetch(admin, "/readyz").await.is_ok_and(|answer| answer.status().is_success())
}

fn nodes_path(directory: &Path) -> PathBuf {
    directory.join("nodes.toml")
}

fn url(plain: bool, port: u16) -> String {
    format!("{}://localhost:{port}", if plain { "http" } else { "https" })
}
