//! `make up`: a whole Porthole to try things on, that outlives the command. `run/stack.json` says where everything is.
//!
//! ```text
//! run/libvirt   the private libvirtd          run/agent   agent.toml agent.log state/
//! run/pki       certificates                  run/edge    edge.toml nodes.toml edge.log
//! run/certificate.pem   what browsers and curl are to trust
//! ```
//!
//! What runs already and is as it should be stays; what has ended, changed its settings or was built anew is started
//! again. Every process is known by pid *and* start time, so that none is ever mistaken for a later one.
//!
//! `make demo` ([`demo`]) is the same in the foreground, with words for a person (`words`).

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Gid, Group};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::agent::Agent;
use crate::edge::Edge;
use crate::guest::Serial;
use crate::libvirt::PrivateLibvirt;
use crate::pki::{Files, Pki};
use crate::places;
use crate::stack::with_links;

pub mod demo;
mod reach;
mod words;

pub use reach::Reach;
pub use words::first_steps;

/// The guests: name, UUID, serial ports. The first is Linux, with a shell on its screen, where that could be built.
const GUESTS: [(&str, Uuid, usize); 2] = [
    ("demo", Uuid::from_u128(0x5ca1_ab1e_0000_4000_8000_0000_0000_0001), 1),
    ("demo-serial", Uuid::from_u128(0x5ca1_ab1e_0000_4000_8000_0000_0000_0002), 2),
];

const NODE: &str = "compute-1";
const EDGE: &str = "edge-1";

/// Files that outlive the stack: locks of those that work on it.
const LOCK: &str = "lock";
const DEMO_LOCK: &str = "demo.lock";

/// Where everything of the trial stack is.
#[derive(Debug, Clone)]
pub struct Trial {
    directory: PathBuf,
}

impl Trial {
    /// The one of this workspace, `run/`.
    pub fn of_workspace() -> Result<Self> {
        Self::at(&places::workspace().join("run"))
    }

    /// One in another directory.
    pub fn at(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
        let directory = directory.canonicalize().with_context(|| format!("finding {}", directory.display()))?;
        // Whoever may delete the workspace may delete what is left here (a lock) when nothing runs.
        places::give_to_owner(&directory);
        Ok(Self { directory })
    }

    /// Starts what does not run; gives what is in `stack.json`. Waits while another command works on it.
    pub async fn up(&self, reach: &Reach) -> Result<Value> {
        let _lock = self.lock(LOCK, FlockArg::LockExclusive)?;
        let ports = reach.ports(&self.directory)?;
        let libvirt = self.libvirt().await?;
        self.guests(&libvirt).await?;
        let pki = Pki::open(&self.directory.join("pki")).await?;
        let public = self.certificate(&pki, reach).await?;
        let url = reach.url(ports.public);
        let edge = Edge::builder(&self.directory.join("edge"), EDGE, &pki).await?;
        let mut edge = edge.port(ports.public).admin_port(ports.admin).set("log.level", "info").detached();
        // Whoever presses Ctrl-C does not wait long for a viewer that does not answer.
        edge = edge.set("drain.deadline", "2s");
        if let Some(addresses) = reach.addresses(ports.public) {
            edge = edge.set("public.listen", addresses);
        }
        if let Some(pages) = places::pages() {
            edge = edge.set("public.web_root", pages.to_string_lossy().into_owned());
        }
        let agent = with_links(Agent::builder(&self.directory.join("agent"), NODE, &pki).await?, &url);
        let mut agent = agent.tunnel(([127, 0, 0, 1], ports.tunnel).into()).admin_port(ports.agent_admin);
        agent = agent.libvirt(&libvirt).set("log.level", "info");
        if let Some(group) = owners_group() {
            agent = agent.set("api.group", group);
        }
        let agent = agent.detached().start_or_adopt().await?;
        let edge = edge.node(&agent).start_or_adopt().await?;

        let domains = GUESTS.map(|(name, uuid, _)| json!({ "name": name, "uuid": uuid }));
        let stack = json!({
            "libvirt_uri": libvirt.uri(),
            "domains": domains,
            "linux": places::linux_guest().is_ok(),
            "agent": {
                "pid": agent.process().pid(),
                "socket": agent.socket(),
                "config": agent.config_path(),
                "db": agent.database(),
                "tunnel": agent.tunnel().to_string(),
                "admin": agent.admin().to_string(),
            },
            "edge": {
                "pid": edge.process().pid(),
                "url": url,
                "port": ports.public,
                "ca": self.readable(&public.ca)?,
                "pages": places::pages(),
                "config": edge.config_path(),
            },
            "bin": {
                "porthole": places::binary("porthole")?,
                "porthole-agent": places::binary("porthole-agent")?,
                "porthole-edge": places::binary("porthole-edge")?,
            },
        });
        let new = self.directory.join("stack.json.new");
        fs::write(&new, serde_json::to_vec_pretty(&stack)?).context("writing stack.json")?;
        fs::rename(&new, self.description()).context("writing stack.json")?;
        Ok(stack)
    }

    /// Ends everything and removes its files; false when nothing was there.
    pub async fn down(&self) -> Result<bool> {
        let _lock = self.lock(LOCK, FlockArg::LockExclusive)?;
        // First, for a demo that looks on: this is no accident.
        let _none = fs::remove_file(self.description());
        let mut ended = Edge::end_recorded(&self.directory.join("edge")).await?;
        ended |= Agent::end_recorded(&self.directory.join("agent")).await?;
        if let Some(libvirt) = PrivateLibvirt::find(&self.libvirt_directory()) {
            libvirt.stop().await?;
            ended = true;
        }
        for below in [self.libvirt_directory(), self.directory.join("agent")] {
            let sockets = places::sockets_directory(&below);
            if sockets.is_dir() {
                fs::remove_dir_all(&sockets).with_context(|| format!("removing {}", sockets.display()))?;
            }
        }
        for entry in fs::read_dir(&self.directory).context("reading run")?.flatten() {
            let path = entry.path();
            let removed = match (path.ends_with(LOCK) || path.ends_with(DEMO_LOCK), path.is_dir()) {
                (true, _) => Ok(()),
                (false, true) => fs::remove_dir_all(&path),
                (false, false) => fs::remove_file(&path),
            };
            removed.with_context(|| format!("removing {}", path.display()))?;
        }
        Ok(ended)
    }

    /// Starts a guest that was shut off; false when it runs.
    pub async fn revive(&self, guest: &str) -> Result<bool> {
        let libvirt = PrivateLibvirt::find(&self.libvirt_directory()).context("the private libvirtd has ended")?;
        if libvirt.virsh(&["domstate", guest]).await?.trim() != "shut off" {
            return Ok(false);
        }
        libvirt.virsh(&["start", guest]).await?;
        Ok(true)
    }

    /// What `stack.json` says, if there is one.
    pub fn stack(&self) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.description()).ok()?).ok()
    }

    /// The file that describes the stack.
    pub fn description(&self) -> PathBuf {
        self.directory.join("stack.json")
    }

    fn lock(&self, name: &str, how: FlockArg) -> Result<Flock<File>> {
        let path = self.directory.join(name);
        let file = File::options().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        places::give_to_owner(&path);
        Flock::lock(file, how).map_err(|(_, error)| error).with_context(|| format!("locking {}", path.display()))
    }

    fn libvirt_directory(&self) -> PathBuf {
        self.directory.join("libvirt")
    }

    async fn libvirt(&self) -> Result<PrivateLibvirt> {
        let directory = self.libvirt_directory();
        if let Some(libvirt) = PrivateLibvirt::find(&directory) {
            if libvirt.virsh(&["uri"]).await.is_ok() {
                return Ok(libvirt);
            }
            libvirt.stop().await?;
        }
        PrivateLibvirt::builder().directory(&directory).hostname(NODE).hooked().detached().start().await
    }

    async fn guests(&self, libvirt: &PrivateLibvirt) -> Result<()> {
        for (number, (name, uuid, serials)) in GUESTS.into_iter().enumerate() {
            let state = libvirt.virsh(&["domstate", name]).await.unwrap_or_default();
            match state.trim() {
                "running" => continue,
                "" => {}
                "shut off" => {
                    libvirt.virsh(&["start", name]).await?;
                    continue;
                }
                other => bail!("the guest {name} is {other}; `make down`, then `make up`, starts anew"),
            }
            let guest = libvirt.guest(name).exactly_named(name).uuid(uuid).serials(vec![Serial::Unix; serials]);
            let guest = if number == 0 && places::linux_guest().is_ok() { guest.linux() } else { guest };
            guest.kept().try_start().await.with_context(|| format!("the guest {name}"))?;
        }
        Ok(())
    }

    /// A copy of the public certificate for those who are to trust it: the folder that it lies in is root's alone.
    fn readable(&self, certificate: &Path) -> Result<PathBuf> {
        let copy = self.directory.join("certificate.pem");
        fs::copy(certificate, &copy).with_context(|| format!("writing {}", copy.display()))?;
        Ok(copy)
    }

    /// The public certificate, for the names that this stack is reached by.
    async fn certificate(&self, pki: &Pki, reach: &Reach) -> Result<Files> {
        let files = pki.public().await?;
        let (file, names) = (self.directory.join("names.json"), reach.names());
        let made_for: Option<Vec<String>> = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if made_for.unwrap_or_else(|| Reach::default().names()) != names {
            let mut command = vec!["renew", "public"];
            for name in &names {
                command.extend(["--san", name]);
            }
            pki.run(&command).await?;
        }
        fs::write(&file, serde_json::to_vec(&names)?).context("writing run/names.json")?;
        Ok(files)
    }
}

/// The group of whoever owns the workspace: it may use the agent's socket, so that a person who ran `make demo` with
/// sudo needs none for `porthole`. None where root owns it.
fn owners_group() -> Option<String> {
    let (user, group) = places::owner()?;
    if user.is_root() || group == Gid::from_raw(0) {
        return None;
    }
    Some(Group::from_gid(group).ok()??.name)
}
