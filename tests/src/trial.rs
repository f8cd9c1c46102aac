//! `make up`: a whole Porthole to try things on, that outlives the command. `run/stack.json` says where everything is.
//!
//! ```text
//! run/libvirt   the private libvirtd          run/agent   agent.toml agent.log state/
//! run/pki       certificates                  run/edge    edge.toml nodes.toml edge.log
//! ```
//!
//! What runs already and is as it should be stays; what has ended, changed its settings or was built anew is started
//! again. Every process is known by pid *and* start time, so that none is ever mistaken for a later one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::agent::Agent;
use crate::edge::Edge;
use crate::guest::Serial;
use crate::libvirt::PrivateLibvirt;
use crate::pki::Pki;
use crate::places;
use crate::ports::{free_port, is_free};
use crate::stack::with_links;

/// The guests: name, UUID. The second has serial ports as well.
const GUESTS: [(&str, Uuid, usize); 2] = [
    ("demo", Uuid::from_u128(0x5ca1_ab1e_0000_4000_8000_0000_0000_0001), 1),
    ("demo-serial", Uuid::from_u128(0x5ca1_ab1e_0000_4000_8000_0000_0000_0002), 2),
];

const NODE: &str = "compute-1";
const EDGE: &str = "edge-1";

/// Where everything of the trial stack is.
#[derive(Debug)]
pub struct Trial {
    directory: PathBuf,
    _lock: Flock<File>,
}

impl Trial {
    /// The one of this workspace, `run/`. Waits while another command works on it.
    pub fn of_workspace() -> Result<Self> {
        Self::at(&places::workspace().join("run"))
    }

    /// One in another directory.
    pub fn at(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
        let directory = directory.canonicalize().with_context(|| format!("finding {}", directory.display()))?;
        let lock = File::create(directory.join("lock")).context("creating run/lock")?;
        let lock =
            Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error).context("locking run/lock")?;
        Ok(Self { directory, _lock: lock })
    }

    /// Starts what does not run; gives what is in `stack.json`.
    pub async fn up(&self) -> Result<Value> {
        let libvirt = self.libvirt().await?;
        self.guests(&libvirt).await?;
        let pki = Pki::open(&self.directory.join("pki")).await?;
        let ports = self.ports()?;
        let edge = Edge::builder(&self.directory.join("edge"), EDGE, &pki).await?;
        let edge = edge.port(ports.public).admin_port(ports.admin).set("log.level", "info").detached();
        let agent = with_links(Agent::builder(&self.directory.join("agent"), NODE, &pki).await?, &edge.url());
        let agent = agent.tunnel(([127, 0, 0, 1], ports.tunnel).into()).libvirt(&libvirt).set("log.level", "info");
        let agent = agent.detached().start_or_adopt().await?;
        let edge = edge.node(&agent).start_or_adopt().await?;

        let domains = GUESTS.map(|(name, uuid, _)| json!({ "name": name, "uuid": uuid }));
        let stack = json!({
            "libvirt_uri": libvirt.uri(),
            "domains": domains,
            "agent": {
                "pid": agent.process().pid(),
                "socket": agent.socket(),
                "config": agent.config_path(),
                "db": agent.database(),
                "tunnel": agent.tunnel().to_string(),
            },
            "edge": {
                "pid": edge.process().pid(),
                "url": edge.url(),
                "ca": edge.ca(),
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
            let removed = match (path.ends_with("lock"), path.is_dir()) {
                (true, _) => Ok(()),
                (false, true) => fs::remove_dir_all(&path),
                (false, false) => fs::remove_file(&path),
            };
            removed.with_context(|| format!("removing {}", path.display()))?;
        }
        Ok(ended)
    }

    /// What `stack.json` says, if there is one.
    pub fn stack(&self) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.description()).ok()?).ok()
    }

    /// The file that describes the stack.
    pub fn description(&self) -> PathBuf {
        self.directory.join("stack.json")
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
        PrivateLibvirt::builder().directory(&directory).hostname(NODE).detached().start().await
    }

    async fn guests(&self, libvirt: &PrivateLibvirt) -> Result<()> {
        for (name, uuid, serials) in GUESTS {
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
            guest.kept().try_start().await.with_context(|| format!("the guest {name}"))?;
        }
        Ok(())
    }

    /// The ports as they were, or the usual ones, or where those are taken any free ones.
    fn ports(&self) -> Result<Ports> {
        let file = self.directory.join("ports.json");
        if let Ok(bytes) = fs::read(&file) {
            return serde_json::from_slice(&bytes).context("reading run/ports.json");
        }
        let or_free = |port| if is_free(port) { port } else { free_port() };
        let ports = Ports { public: or_free(6080), admin: or_free(6081), tunnel: or_free(6090) };
        fs::write(&file, serde_json::to_vec(&ports)?).context("writing run/ports.json")?;
        Ok(ports)
    }
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Ports {
    public: u16,
    admin: u16,
    tunnel: u16,
}

/// What a person does with a stack.
pub fn first_steps(stack: &Value, description: &Path) -> String {
    let word = |pointer: &str| stack.pointer(pointer).and_then(Value::as_str).unwrap_or("?");
    format!(
        "The stack runs; {} says where everything is.\n\
         \x20 a console's URL   {} --socket {} url {}\n\
         \x20 its libvirt       virsh -c '{}' list\n\
         \x20 end it            make down",
        description.display(),
        word("/bin/porthole"),
        word("/agent/socket"),
        word("/domains/0/name"),
        word("/libvirt_uri"),
    )
}
