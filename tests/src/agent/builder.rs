//! What an agent is started with.

use std::fs::DirBuilder;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use toml::Table;
use uuid::Uuid;

use super::{Agent, BINARY, is_ready};
use crate::daemon::Daemon;
use crate::libvirt::PrivateLibvirt;
use crate::pki::Pki;
use crate::places;
use crate::ports::free_port;
use crate::process::Lifetime;
use crate::settings::Settings;

/// What to start; see [`Agent::builder`].
#[derive(Debug)]
pub struct AgentBuilder {
    directory: PathBuf,
    name: String,
    settings: Settings,
    lifetime: Lifetime,
    tunnel: SocketAddr,
    under: Vec<String>,
    admin: SocketAddr,
}

impl Agent {
    /// An agent of a node of this name, with its files in the directory; without libvirt until it is given one.
    pub async fn builder(directory: &Path, name: &str, pki: &Pki) -> Result<AgentBuilder> {
        let files = pki.agent(name).await?;
        let mut settings = Settings::default();
        settings.set("node.name", name);
        settings.set("node.state_dir", text(&directory.join("state")));
        settings.set("libvirt.enabled", false);
        settings.set("api.socket", text(&socket_in(directory)));
        settings.set("tunnel.certificate", text(&files.certificate));
        settings.set("tunnel.key", text(&files.key));
        settings.set("tunnel.ca", text(&files.ca));
        settings.set("external.networks", vec!["127.0.0.0/8"]);
        settings.set("log.level", "trace");
        let tunnel = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let builder = AgentBuilder {
            directory: directory.to_owned(),
            name: name.to_owned(),
            settings,
            lifetime: Lifetime::Attached,
            tunnel,
            under: Vec::new(),
            admin,
        };
        Ok(builder.tunnel(tunnel).admin_port(free_port()))
    }
}

impl AgentBuilder {
    /// Its libvirt. Where that has an address of its own, so has the agent.
    #[must_use]
    pub fn libvirt(mut self, libvirt: &PrivateLibvirt) -> Self {
        self.settings.remove("libvirt.enabled");
        self.settings.set("libvirt.uri", libvirt.uri());
        self.settings.set("hook.spool", text(&libvirt.hook_spool()));
        if let Some(socket) = libvirt.hook_socket() {
            self.settings.set("hook.socket", text(&socket));
        }
        if let (Some(address), Some(namespace)) = (libvirt.address(), libvirt.network_namespace()) {
            let (tunnel, admin) = (self.tunnel.port(), self.admin.port());
            let there = self.under(["nsenter".to_owned(), format!("--net={namespace}"), "--".to_owned()]);
            return there.tunnel((address, tunnel).into()).admin((address, admin).into());
        }
        self
    }

    /// Where the links of a kind (`vnc`, `spice`, `serial`, `tcp`) lead.
    #[must_use]
    pub fn url(self, kind: &str, base: &str) -> Self {
        self.set(&format!("urls.{kind}"), base)
    }

    /// A static console beside libvirt's.
    #[must_use]
    pub fn external(mut self, uuid: Uuid, name: &str, protocol: &str, address: SocketAddr) -> Self {
        let entry = [
            ("uuid", uuid.to_string().into()),
            ("name", name.into()),
            ("protocol", protocol.into()),
            ("host", address.ip().to_string().into()),
            ("port", i64::from(address.port()).into()),
        ];
        self.settings.push(
            "external.console",
            Table::from_iter(entry.map(|(key, value): (_, toml::Value)| (key.to_owned(), value))),
        );
        self
    }

    /// A setting by its dotted name (`tokens.grace`).
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<toml::Value>) -> Self {
        self.settings.set(name, value);
        self
    }

    /// Listen there for edges, instead of on a free port.
    #[must_use]
    pub fn tunnel(mut self, address: SocketAddr) -> Self {
        self.tunnel = address;
        self.settings.set("tunnel.listen", vec![address.to_string()]);
        self
    }

    /// Start it by a command that becomes the one behind it, such as `nsenter` or `taskset`.
    #[must_use]
    pub fn under(mut self, command: impl IntoIterator<Item: Into<String>>) -> Self {
        self.under = command.into_iter().map(Into::into).collect();
        self
    }

    /// Tell of health and metrics there, instead of on a free port.
    #[must_use]
    pub fn admin_port(self, port: u16) -> Self {
        self.admin((Ipv4Addr::LOCALHOST, port).into())
    }

    fn admin(mut self, address: SocketAddr) -> Self {
        self.admin = address;
        self.settings.set("admin.listen", self.admin.to_string());
        self
    }

    /// Let it outlive this process.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.lifetime = Lifetime::Detached;
        self
    }

    /// Starts it, and waits until its API answers.
    pub async fn start(self) -> Result<Agent> {
        let mut agent = self.prepared()?;
        agent.try_start().await?;
        Ok(agent)
    }

    /// Takes the one that an earlier process started with the same settings, or starts it anew.
    pub async fn start_or_adopt(self) -> Result<Agent> {
        let mut agent = self.prepared()?;
        let socket = agent.socket.clone();
        agent.daemon.start_or_adopt(async || is_ready(&socket).await).await?;
        Ok(agent)
    }

    fn prepared(self) -> Result<Agent> {
        let Self { directory, name, settings, lifetime, tunnel, admin, under } = self;
        let socket = socket_in(&directory);
        // Whatever the umask: the agent refuses directories in which others could replace what is its own.
        let mut own = DirBuilder::new();
        own.recursive(true).mode(0o755);
        own.create(directory.join("state")).context("creating the agent's state directory")?;
        own.create(socket.parent().unwrap_or(&directory)).context("creating the socket's directory")?;
        let mut daemon = Daemon::new(BINARY, &directory, settings, lifetime);
        daemon.start_under(under);
        Ok(Agent { daemon, name, directory, socket, tunnel, admin })
    }
}

fn socket_in(directory: &Path) -> PathBuf {
    places::sockets_directory(directory).join("agent.sock")
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Settings for consoles that the agent writes into domains of that libvirt: files where either may write, and ports that
/// are soon free when nobody needs them any more.
pub fn consoles_of(libvirt: &PrivateLibvirt) -> impl FnOnce(AgentBuilder) -> AgentBuilder + Send + use<> {
    let (sockets, logs) = (text(libvirt.sockets()), text(&libvirt.directory().join("log")));
    move |agent| {
        let agent = agent.set("consoles.sockets", sockets).set("consoles.logs", logs);
        agent.set("ports.grace", "1s").set("ports.compare_every", "1s")
    }
}
