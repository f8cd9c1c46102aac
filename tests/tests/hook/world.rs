//! One host whose agent hears of what happens by libvirt's hook, by its events, by both, or only afterwards.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use porthole_tests::agent::{Mint, Minted};
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::network::Network;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually, eventually_some};
use uuid::Uuid;

use crate::support::{SERIAL, define, port_rows, ports_of, void_reason, with_consoles};

/// Where the agent is while something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Agent {
    /// There, and connected to libvirt.
    Listens,
    /// There, but libvirt cannot be reached: it gets no events, and cannot ask.
    IsCutOff,
    /// It does not run.
    IsAway,
}

/// One host, a guest of it with consoles on ports, and another host beside it, of which no agent knows anything.
pub(crate) struct World {
    pub(crate) host: PrivateLibvirt,
    pub(crate) elsewhere: PrivateLibvirt,
    pub(crate) stack: Stack,
    pub(crate) agent: Agent,
    pub(crate) uuid: Uuid,
    ports: Vec<u16>,
    /// By this path the agent, and nobody else, reaches libvirt.
    link: PathBuf,
}

/// What is so after something has happened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    /// The link from before is void.
    pub(crate) void: bool,
    /// The guest has its ports.
    pub(crate) ports: bool,
}

impl World {
    pub(crate) async fn new(hooked: bool, agent: Agent) -> Self {
        let network = Network::enter().await;
        let host = PrivateLibvirt::builder().network(&network);
        let host = if hooked { host.hooked() } else { host };
        let elsewhere = PrivateLibvirt::builder().network(&network);
        let (host, elsewhere) = tokio::join!(host.start(), elsewhere.start());
        let (host, elsewhere) = (host.expect("a private libvirtd"), elsewhere.expect("a private libvirtd"));
        let link = host.sockets().join("agents-libvirt");
        let uri = format!("qemu+unix:///system?socket={}", link.display());
        let of = host.clone();
        let settings = Stack::builder().libvirt(&host).agent(move |agent| with_consoles(agent, &of, 10_000));
        reach(&link, &host);
        let stack = settings.agent(move |agent| agent.set("libvirt.uri", uri)).start().await;
        let uuid = Uuid::new_v4();
        define(&stack.agent, &host, uuid, "tcp").await;
        let mut world = Self { host, elsewhere, stack, agent, uuid, ports: Vec::new(), link };
        world.ports = world.leased("defined").await;
        world
    }

    pub(crate) async fn virsh(&self, command: &str, more: &[&str]) {
        let uuid = self.uuid.to_string();
        let arguments = [&[command, &uuid], more].concat();
        self.host.virsh(&arguments).await.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Something happens to a guest that runs. Then the link from before is good or void, sessions are there or not, and
    /// the ports are the guest's or free.
    pub(crate) async fn happens(&mut self, what: &str, step: impl AsyncFnOnce(&mut Self), expected: Expected) {
        let link = self.link(what).await;
        let viewer = self.stack.view(Mint::of(self.uuid)).await;
        let agent = self.stack.agent.process().identity();
        self.unheard(step).await;
        let stayed = self.stack.agent.process().identity() == agent;
        let live = usize::from(!expected.void && stayed);
        let agent = &self.stack.agent;
        eventually(PATIENCE, format!("{what}: the link"), async || {
            void_reason(agent, &link.id).await.is_empty() != expected.void
        })
        .await;
        eventually(PATIENCE, format!("{what}: sessions"), async || agent.sessions().await.len() == live).await;
        self.has_ports(what, expected.ports).await;
        drop(viewer);
        eventually(PATIENCE, format!("{what}: no session is left"), async || agent.sessions().await.is_empty()).await;
    }

    /// Something happens to a guest that does not run, and it has its ports as before.
    pub(crate) async fn happens_off(&mut self, what: &str, step: impl AsyncFnOnce(&mut Self)) {
        self.unheard(step).await;
        self.has_ports(what, true).await;
    }

    /// A guest that did not run does then, on ports of its own, and its console can be opened.
    pub(crate) async fn comes(&mut self, what: &str, step: impl AsyncFnOnce(&mut Self)) {
        self.unheard(step).await;
        let link = self.link(what).await;
        drop(self.stack.upgrade(&link).open().await);
        let agent = &self.stack.agent;
        eventually(PATIENCE, format!("{what}: the session ends"), async || agent.sessions().await.is_empty()).await;
        self.ports = self.leased(what).await;
    }

    /// The guest's ports, once libvirt was seen to have the guest: until then they are kept for it, come what may.
    async fn leased(&self, what: &str) -> Vec<u16> {
        eventually_some(PATIENCE, format!("{what}: ports"), async || {
            let rows = port_rows(&self.stack.agent, self.uuid).await;
            let leased = rows.len() == 1 + SERIAL && rows.iter().all(|(_, state)| state == "leased");
            leased.then(|| rows.into_iter().map(|(port, _)| port).collect())
        })
        .await
    }

    /// A link for the guest, once the agent knows that it runs.
    async fn link(&self, what: &str) -> Minted {
        let made = async || self.stack.agent.try_mint(Mint::of(self.uuid)).await.ok();
        eventually_some(PATIENCE, format!("{what}: a link to be made"), made).await
    }

    async fn has_ports(&self, what: &str, has: bool) {
        let ports: &[u16] = if has { &self.ports } else { &[] };
        let agent = &self.stack.agent;
        eventually(PATIENCE, format!("{what}: ports"), async || ports_of(agent, self.uuid).await == ports).await;
    }

    /// The agent misses of this what it is to miss.
    async fn unheard(&mut self, step: impl AsyncFnOnce(&mut Self)) {
        match self.agent {
            Agent::Listens => step(self).await,
            Agent::IsCutOff => {
                std::fs::remove_file(&self.link).expect("the agent's way to libvirt");
                self.host.disconnect_clients().await;
                self.is("connecting").await;
                step(self).await;
                reach(&self.link, &self.host);
                self.is("connected").await;
            }
            Agent::IsAway => {
                self.stack.agent.crash();
                step(self).await;
                self.stack.agent.start_again().await;
            }
        }
    }

    async fn is(&self, link: &str) {
        let agent = &self.stack.agent;
        eventually(PATIENCE, format!("libvirt to be {link}"), async || agent.status().await["libvirt"] == link).await;
    }
}

fn reach(link: &PathBuf, host: &PrivateLibvirt) {
    symlink(host.sockets().join("libvirt-sock"), link).expect("a link");
}
