//! What an edge is started with.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{BINARY, Edge, Node, is_ready, nodes_path, url};
use crate::daemon::Daemon;
use crate::pki::Pki;
use crate::ports::free_port;
use crate::process::Lifetime;
use crate::settings::Settings;

/// What to start; see [`Edge::builder`].
#[derive(Debug)]
pub struct EdgeBuilder {
    directory: PathBuf,
    settings: Settings,
    nodes: Vec<Node>,
    lifetime: Lifetime,
    port: u16,
    admin: SocketAddr,
    ca: PathBuf,
    plain: bool,
    under: Vec<String>,
}

impl Edge {
    /// An edge of this name, with its files in the directory; it knows no node yet.
    pub async fn builder(directory: &Path, name: &str, pki: &Pki) -> Result<EdgeBuilder> {
        let (internal, public) = (pki.edge(name).await?, pki.public().await?);
        let mut settings = Settings::default();
        let path = |path: &Path| path.to_string_lossy().into_owned();
        settings.set("edge.name", name);
        settings.set("public.tls.certificate", path(&public.certificate));
        settings.set("public.tls.key", path(&public.key));
        settings.set("agents.certificate", path(&internal.certificate));
        settings.set("agents.key", path(&internal.key));
        settings.set("agents.ca", path(&internal.ca));
        settings.set("agents.nodes", path(&nodes_path(directory)));
        settings.set("drain.deadline", "10s");
        settings.set("log.level", "trace");
        let builder = EdgeBuilder {
            directory: directory.to_owned(),
            settings,
            nodes: Vec::new(),
            lifetime: Lifetime::Attached,
            port: 0,
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            ca: public.ca,
            plain: false,
            under: Vec::new(),
        };
        Ok(builder.port(free_port()).admin_port(free_port()))
    }
}

impl EdgeBuilder {
    /// Knows this node.
    #[must_use]
    pub fn node(mut self, node: impl Into<Node>) -> Self {
        self.nodes.push(node.into());
        self
    }

    /// A setting by its dotted name (`public.allowed_origins`).
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<toml::Value>) -> Self {
        self.settings.set(name, value);
        self
    }

    /// Listen on this port of the loopback addresses, instead of on a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        let mut addresses = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string()];
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            addresses.push(SocketAddr::from((Ipv6Addr::LOCALHOST, port)).to_string());
        }
        self.settings.set("public.listen", addresses);
        self
    }

    /// Listen on this port for health checks.
    #[must_use]
    pub fn admin_port(mut self, port: u16) -> Self {
        self.admin = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        self.settings.set("admin.listen", self.admin.to_string());
        self
    }

    /// Plain HTTP, as behind a load balancer that ends TLS; links are `http` then.
    #[must_use]
    pub fn plain_http(mut self) -> Self {
        self.plain = true;
        self.settings.remove("public.tls");
        self.settings.set("public.behind_load_balancer", true);
        self.settings.set("public.scheme", "http");
        self
    }

    /// Start it by a command that becomes the one behind it, such as `taskset`.
    #[must_use]
    pub fn under(mut self, command: impl IntoIterator<Item: Into<String>>) -> Self {
        self.under = command.into_iter().map(Into::into).collect();
        self
    }

    /// Let it outlive this process.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.lifetime = Lifetime::Detached;
        self
    }

    /// Where it will be reached.
    pub fn url(&self) -> String {
        url(self.plain, self.port)
    }

    /// Starts it, and waits until it says that it is ready.
    pub async fn start(self) -> Result<Edge> {
        let mut edge = self.prepared()?;
        edge.try_start().await?;
        Ok(edge)
    }

    /// Takes the one that an earlier process started with the same settings, or starts it anew.
    pub async fn start_or_adopt(self) -> Result<Edge> {
        let mut edge = self.prepared()?;
        let admin = edge.admin;
        edge.daemon.start_or_adopt(async || is_ready(admin).await).await?;
        Ok(edge)
    }

    fn prepared(self) -> Result<Edge> {
        let Self { directory, settings, nodes, lifetime, port, admin, ca, plain, under } = self;
        std::fs::create_dir_all(&directory).context("creating the edge's directory")?;
        let mut daemon = Daemon::new(BINARY, &directory, settings, lifetime);
        daemon.start_under(under);
        let edge = Edge { daemon, directory, port, admin, ca, plain };
        edge.write_nodes(&nodes)?;
        Ok(edge)
    }
}
