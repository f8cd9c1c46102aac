//! Whatever happens to a guest, tokens, sessions and ports come to the same, whether the agent hears of it by libvirt's
//! hook, by its events, by both, or by neither because it was away.

use nix::sys::signal::Signal;
use porthole_tests::agent::Mint;
use porthole_tests::agent::Minted;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use uuid::Uuid;

use crate::support::{SERIAL, define, ports_of, some_ports, void_reason, with_consoles};

/// One host, and how its agent hears of what happens.
struct World {
    host: PrivateLibvirt,
    stack: Stack,
    /// The agent does not run while things happen.
    away: bool,
    uuid: Uuid,
    ports: Vec<u16>,
}

impl World {
    async fn new(hooked: bool, away: bool) -> Self {
        let host = if hooked { PrivateLibvirt::builder().hooked() } else { PrivateLibvirt::builder() };
        let host = host.start().await.expect("a private libvirtd");
        let (of, low) = (host.clone(), some_ports());
        let stack = Stack::builder().libvirt(&host).agent(move |agent| with_consoles(agent, &of, low)).start().await;
        let uuid = Uuid::new_v4();
        define(&stack.agent, &host, uuid, "tcp").await;
        let ports = ports_of(&stack.agent, uuid).await;
        assert_eq!(ports.len(), 1 + SERIAL);
        Self { host, stack, away, uuid, ports }
    }

    async fn virsh(&self, command: &str, more: &[&str]) {
        let uuid = self.uuid.to_string();
        let arguments = [&[command, &uuid], more].concat();
        self.host.virsh(&arguments).await.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// A link for the guest, once the agent knows that it runs; and a session, if the agent is there to keep it.
    async fn link(&self) -> Minted {
        let mut made = None;
        eventually(PATIENCE, "a link to be made", async || {
            made = self.stack.agent.try_mint(Mint::of(self.uuid)).await.ok();
            made.is_some()
        })
        .await;
        made.expect("a link")
    }

    /// Something happens, while the agent is there or is not. Then the link from before is good or void, sessions are
    /// there or not, and the ports are the guest's or free.
    async fn happens(&mut self, what: &str, step: impl AsyncFnOnce(&Self), expected: Expected) {
        let link = self.link().await;
        let viewer = self.stack.view(Mint::of(self.uuid)).await;
        if self.away {
            self.stack.agent.crash();
        }
        step(self).await;
        if self.away {
            self.stack.agent.start_again().await;
        }
        let (agent, live) = (&self.stack.agent, usize::from(!expected.void && !self.away));
        eventually(PATIENCE, format!("{what}: the link"), async || {
            void_reason(agent, &link.id).await.is_empty() != expected.void
        })
        .await;
        eventually(PATIENCE, format!("{what}: sessions"), async || agent.sessions().await.len() == live).await;
        let ports: &[u16] = if expected.ports { &self.ports } else { &[] };
        eventually(PATIENCE, format!("{what}: ports"), async || ports_of(agent, self.uuid).await == ports).await;
        drop(viewer);
        eventually(PATIENCE, format!("{what}: no session is left"), async || agent.sessions().await.is_empty()).await;
    }

    async fn all(mut self) {
        let gone_but_defined = Expected { void: true, ports: true };
        let there = Expected { void: false, ports: true };
        let file = self.host.directory().join("saved").to_string_lossy().into_owned();

        self.virsh("start", &[]).await;
        self.happens("reset", async |world| world.virsh("reset", &[]).await, there).await;
        // By SIGKILL: libvirtd may take long to end when a guest has just been started.
        let restart = async |world: &Self| {
            world.host.kill_daemon().await;
            world.host.start_daemon().await;
        };
        self.happens("libvirtd restarts", restart, there).await;
        self.happens("destroy", async |world| world.virsh("destroy", &[]).await, gone_but_defined).await;
        self.virsh("domrename", &["renamed"]).await;
        self.virsh("start", &[]).await;
        self.happens(
            "the emulator is killed",
            async |world| {
                world.host.emulator(world.uuid).await.signal(Signal::SIGKILL);
                let off =
                    async || world.host.virsh(&["domstate", "renamed"]).await.is_ok_and(|state| state == "shut off");
                eventually(PATIENCE, "libvirt to notice", off).await;
            },
            gone_but_defined,
        )
        .await;
        self.virsh("start", &[]).await;
        self.happens("save", async |world| world.virsh("save", &[&file]).await, gone_but_defined).await;
        self.host.virsh(&["restore", &file]).await.expect("it is restored");
        self.happens(
            "stop and start",
            async |world| {
                world.virsh("destroy", &[]).await;
                world.virsh("start", &[]).await;
            },
            gone_but_defined,
        )
        .await;
        self.happens(
            "undefine and destroy",
            async |world| {
                world.virsh("undefine", &[]).await;
                world.virsh("destroy", &[]).await;
            },
            Expected { void: true, ports: false },
        )
        .await;
    }
}

#[derive(Debug, Clone, Copy)]
struct Expected {
    void: bool,
    ports: bool,
}

#[tokio::test]
async fn by_hook_and_events() {
    World::new(true, false).await.all().await;
}

#[tokio::test]
async fn by_events_alone() {
    World::new(false, false).await.all().await;
}

#[tokio::test]
async fn by_what_the_hook_left_behind() {
    World::new(true, true).await.all().await;
}

#[tokio::test]
async fn by_looking_afterwards() {
    World::new(false, true).await.all().await;
}
