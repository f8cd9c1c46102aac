//! What a private libvirtd is started with.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, bail};
use uuid::Uuid;

use super::{Host, PrivateLibvirt, capabilities, files};
use crate::network::Network;
use crate::process::{Identity, Lifetime, Process, children_of};
use crate::wait::{PATIENCE, try_eventually};

/// What to start; see [`PrivateLibvirt::builder`].
#[derive(Debug, Default)]
pub struct Builder {
    directory: Option<PathBuf>,
    hostname: Option<String>,
    detached: bool,
    gives_away: bool,
    hooked: bool,
    network: Option<(Network, Ipv4Addr)>,
}

impl Builder {
    /// Keep the state here instead of in a temporary directory.
    #[must_use]
    pub fn directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// What the host calls itself. Two hosts that migrate guests to each other need different names.
    #[must_use]
    pub fn hostname(mut self, name: &str) -> Self {
        self.hostname = Some(name.to_owned());
        self
    }

    /// Let it outlive this process; needs a directory.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// Let libvirt give files and sockets to QEMU's user and group, as it does unless it is told otherwise: here root
    /// and `kvm`.
    #[must_use]
    pub fn gives_sockets_away(mut self) -> Self {
        self.gives_away = true;
        self
    }

    /// Let it run `porthole-hook` at each step of a guest's life. An agent that is given this libvirt answers it.
    #[must_use]
    pub fn hooked(mut self) -> Self {
        self.hooked = true;
        self
    }

    /// Let it have an address of its own in a network of the test's, with a network namespace of its own. Its libvirtd
    /// listens there for others, and an agent that is given it runs there.
    #[must_use]
    pub fn network(mut self, network: &Network) -> Self {
        self.network = Some((network.clone(), network.address()));
        self
    }

    /// Starts it, and waits until it answers.
    pub async fn start(self) -> Result<PrivateLibvirt> {
        if !nix::unistd::geteuid().is_root() {
            bail!("a private libvirtd needs root (namespaces, mounts)");
        }
        let temporary = match &self.directory {
            Some(_) => None,
            // Short, for the sockets in it.
            None => Some(tempfile::Builder::new().prefix("ph-").tempdir_in("/tmp").context("a temporary directory")?),
        };
        let directory = match (&self.directory, &temporary) {
            (Some(directory), _) => directory.clone(),
            (None, Some(temporary)) => temporary.path().to_owned(),
            (None, None) => bail!("no directory"),
        };
        let random = Uuid::new_v4();
        let hostname = self.hostname.unwrap_or_else(|| format!("host-{}", &random.simple().to_string()[..8]));
        let address = self.network.as_ref().map(|(_, address)| *address);
        let sockets = files::write(&directory, random, self.gives_away, address)?;
        if self.hooked {
            files::write_hook(&directory, &sockets)?;
        }
        capabilities::restore(&directory);

        let (mode, input) = match (self.detached, &temporary) {
            (true, _) => ("detached", Stdio::null()),
            (false, Some(_)) => ("temporary", Stdio::piped()),
            (false, None) => ("attached", Stdio::piped()),
        };
        let mut command = Command::new("unshare");
        command.args(["-m", "-u", "-p", "--fork", "--kill-child=KILL", "--propagation", "private"]);
        command.args(address.map(|_| "-n")).arg("bash").arg(directory.join("host.sh"));
        command.arg(mode).arg(&directory).arg(hostname).args(address.map(|_| "--listen")).current_dir("/");
        let log = directory.join("host.log");
        let outer = Process::spawn("private libvirtd", &command, &log, Lifetime::Detached, input)?;
        let input = outer.take_input();

        let ready = try_eventually(PATIENCE, async || {
            let said = outer.log();
            (said.lines().any(|line| line == "ready")).then_some(true).or((!outer.is_running()).then_some(false))
        });
        if ready.await != Some(true) {
            bail!("the private libvirtd did not start: {}", outer.log());
        }
        let init = children_of(outer.pid()).first().copied().and_then(Identity::of).context("no init process")?;
        if let Some((network, address)) = &self.network {
            network.join(init.pid, *address).await?;
        }
        fs::write(directory.join("host.json"), serde_json::to_string(&init)?).context("writing host.json")?;
        let libvirt = PrivateLibvirt(Arc::new(Host {
            directory,
            sockets,
            init,
            outer: Some(outer),
            input,
            hooked: self.hooked,
            address,
            paused: Mutex::new(false),
            temporary,
        }));
        libvirt.wait_until_answering().await?;
        Ok(libvirt)
    }
}
