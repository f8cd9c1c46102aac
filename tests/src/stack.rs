//! A whole Porthole for one test: agent, edge and certificates, on a libvirtd of the test's (or on none).

use std::path::Path;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::agent::{Agent, AgentBuilder, Mint, Minted};
use crate::edge::{Edge, EdgeBuilder};
use crate::libvirt::PrivateLibvirt;
use crate::pki::Pki;
use crate::places;
use crate::rfb;
use crate::ws::{Upgrade, WsClient};

/// The kinds of console whose links a stack's agent makes.
const KINDS: [(&str, &str); 4] =
    [("vnc", "vnc_auto.html"), ("spice", "spice_auto.html"), ("serial", "serial.html"), ("tcp", "vnc_auto.html")];

type Change<B> = Box<dyn FnOnce(B) -> B + Send>;

/// What to start; see [`Stack::builder`].
pub struct Builder {
    libvirt: Option<PrivateLibvirt>,
    agent: Vec<Change<AgentBuilder>>,
    edge: Vec<Change<EdgeBuilder>>,
}

/// A running agent and edge. Dropped, everything of it ends.
#[derive(Debug)]
pub struct Stack {
    /// The edge that links lead to.
    pub edge: Edge,
    /// The agent.
    pub agent: Agent,
    /// What signs certificates.
    pub pki: Pki,
    directory: TempDir,
    _libvirt: Option<PrivateLibvirt>,
}

impl Builder {
    /// The agent's libvirt; without one it has external consoles only.
    #[must_use]
    pub fn libvirt(mut self, libvirt: &PrivateLibvirt) -> Self {
        self.libvirt = Some(libvirt.clone());
        self
    }

    /// Changes the agent's settings.
    #[must_use]
    pub fn agent(mut self, change: impl FnOnce(AgentBuilder) -> AgentBuilder + Send + 'static) -> Self {
        self.agent.push(Box::new(change));
        self
    }

    /// Changes the edge's settings.
    #[must_use]
    pub fn edge(mut self, change: impl FnOnce(EdgeBuilder) -> EdgeBuilder + Send + 'static) -> Self {
        self.edge.push(Box::new(change));
        self
    }

    /// With the console pages, as `make web` has built them.
    ///
    /// # Panics
    /// When they are not built.
    #[must_use]
    pub fn pages(self) -> Self {
        let pages = places::pages().expect("the pages are built: `make web`");
        self.edge(move |edge| edge.set("public.web_root", pages.to_string_lossy().into_owned()))
    }

    /// Starts both, and waits until they are ready.
    ///
    /// # Panics
    /// When they do not get ready.
    pub async fn start(self) -> Stack {
        self.try_start().await.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// As [`Self::start`], with the error.
    pub async fn try_start(self) -> Result<Stack> {
        let directory = tempfile::Builder::new().prefix("ph-").tempdir_in("/tmp").context("a temporary directory")?;
        let pki = Pki::open(&directory.path().join("pki")).await?;
        let mut edge = Edge::builder(&directory.path().join("edge"), "edge-1", &pki).await?;
        for change in self.edge {
            edge = change(edge);
        }
        let mut agent =
            with_links(Agent::builder(&directory.path().join("agent"), "compute-1", &pki).await?, &edge.url());
        if let Some(libvirt) = &self.libvirt {
            agent = agent.libvirt(libvirt);
        }
        for change in self.agent {
            agent = change(agent);
        }
        let agent = agent.start().await?;
        let edge = edge.node(&agent).start().await?;
        Ok(Stack { edge, agent, pki, directory, _libvirt: self.libvirt })
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("libvirt", &self.libvirt).finish_non_exhaustive()
    }
}

impl Stack {
    /// With settings.
    pub fn builder() -> Builder {
        Builder { libvirt: None, agent: Vec::new(), edge: Vec::new() }
    }

    /// One on this libvirt, otherwise as it comes.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn on(libvirt: &PrivateLibvirt) -> Self {
        Self::builder().libvirt(libvirt).start().await
    }

    /// A directory for more files of the test.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// One more edge, knowing the same agent.
    pub async fn another_edge(&self, name: &str) -> Result<Edge> {
        let directory = self.directory.path().join(name);
        Edge::builder(&directory, name, &self.pki).await?.node(&self.agent).start().await
    }

    /// One more agent, whose links lead to the same edge. The edge does not know it yet: [`Edge::write_nodes`].
    pub async fn another_agent(&self, name: &str) -> Result<AgentBuilder> {
        let directory = self.directory.path().join(name);
        Ok(with_links(Agent::builder(&directory, name, &self.pki).await?, &self.edge.url()))
    }

    /// A link. See [`Agent::mint`].
    pub async fn mint(&self, what: impl Into<Mint>) -> Minted {
        self.agent.mint(what).await
    }

    /// A request to open what a link is for, as noVNC makes it: with the subprotocol `binary`.
    pub fn upgrade(&self, link: &Minted) -> Upgrade {
        self.edge.upgrade(&link.url).protocols(&["binary"])
    }

    /// Opens a console with a new link.
    pub async fn open(&self, what: impl Into<Mint>) -> WsClient {
        let link = self.mint(what).await;
        self.upgrade(&link).open().await
    }

    /// Opens a VNC console with a new link, up to the point where it shows pixels.
    ///
    /// # Panics
    /// When the handshake fails.
    pub async fn view(&self, what: impl Into<Mint>) -> rfb::Client<WsClient> {
        rfb::Client::handshake(self.open(what).await).await.unwrap_or_else(|error| panic!("RFB: {error:#}"))
    }
}

/// Lets the agent's links lead to this edge.
pub(crate) fn with_links(agent: AgentBuilder, edge: &str) -> AgentBuilder {
    KINDS.into_iter().fold(agent, |agent, (kind, page)| agent.url(kind, &format!("{edge}/{page}")))
}
