//! Serial consoles: who types on a port, who watches, and what it said before.
//!
//! A serial port serves one client. So this module is that client, and everybody else is a client of this module:
//!
//! ```text
//!  guest ◄──► QEMU ◄── unix, tcp, pty ──► hub ──► history ──► attachment ──► session ──► WebSocket
//!                                          ▲                       │
//!                                          └──── the writer's ◄────┘
//! ```
//!
//! | module | what |
//! |---|---|
//! | `source`, `telnet` | the port's bytes, wherever the emulator has them |
//! | `hub`, `reading`, `port` | the task that holds a port, and what it shares with viewers |
//! | `history` | what was said, by offset: the first and the last of it, what was lost marked |
//! | `log`, `doubling`, `joining` | what was said while nobody was attached |
//! | `spool`, `record` | what the next run of the agent must know: how far a port was read, and its socket |
//! | `output` | what was said last, for whoever asks once |
//! | `roles` | one writer, many watchers, taking over |
//! | `wire`, `session` | what a viewer is told, and its WebSocket |
//! | `follow` | which ports are held from their guest's start |
//!
//! Ports of domains that carry Porthole's metadata are held as long as their guest runs. Those of other domains are opened
//! when somebody comes and left when nobody is there, because somebody else may want them; their history begins there.
//!
//! Whether a link is good, and when a session ends, is decided by [`tokens`](crate::tokens) and
//! [`sessions`](crate::sessions).
//!
//! **Invariants**: nothing waits for a viewer; memory is bounded by `[serial]`, whatever guests say and viewers do not
//! read; a place on a port is taken from nobody by a link that is not used up.

mod config;
mod doubling;
mod follow;
mod history;
mod hub;
mod joining;
mod log;
mod output;
mod port;
mod reading;
mod record;
mod roles;
mod session;
mod source;
mod spool;
mod telnet;
pub mod wire;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use porthole_shared::clock::Clock;
use porthole_shared::descriptors::Descriptors;
use porthole_shared::lifecycle::Shutdown;
use porthole_shared::names::{ConsoleId, ConsoleKind, ConsoleUuid, hex};
use porthole_shared::reason::Reason;
use porthole_shared::tunnel::Writer;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

pub use self::config::Config;
pub use self::follow::follow;
use self::history::{Budget, History, Sizes};
use self::hub::Hub;
pub use self::output::{MOST_OUTPUT, Output, OutputError, Part};
use self::port::{About, Interest, Key, Link, Port};
pub use self::port::{Attachment, Status};
pub use self::roles::{Applicant, Role};
pub use self::session::{Protocol, view};
use crate::consoles::{Backend, Consoles, Owner, ResolveError, SerialPort, SerialPorts};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The serial ports of this node's domains. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Serial(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    consoles: Consoles,
    clock: Arc<dyn Clock>,
    sizes: Sizes,
    budget: Budget,
    most_watchers: usize,
    /// Where it is written down how far logs were read.
    state: PathBuf,
    /// Which boot of the host this is.
    boot: String,
    /// What is open, and what is kept of what was.
    ports: Mutex<HashMap<Key, Arc<Port>>>,
    /// Where sockets wait while the agent is away.
    descriptors: Arc<Descriptors>,
    shutdown: Shutdown,
}

/// Nobody can be let onto a port.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// It is not known where it is.
    #[error("cannot tell where the serial port is")]
    Resolve(#[from] ResolveError),
    /// It does not answer, or is somebody else's.
    #[error("the serial port is not to be had: {0}")]
    Refused(Reason),
    /// It took too long.
    #[error("the serial port was not open in time")]
    Deadline,
}

impl AttachError {
    /// What the client is told.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Resolve(error) => error.reason(),
            Self::Refused(reason) => *reason,
            Self::Deadline => Reason::Unreachable,
        }
    }
}

impl Serial {
    /// None is open yet. Ports are left when `shutdown` says so.
    pub fn new(
        config: &Config,
        state_dir: &Path,
        consoles: Consoles,
        clock: Arc<dyn Clock>,
        descriptors: Arc<Descriptors>,
        shutdown: Shutdown,
    ) -> Self {
        // Without it, an earlier boot's records may be taken for this one's only if everything else of them is the same.
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
        Self(Arc::new(Shared {
            consoles,
            clock,
            sizes: config.sizes(),
            budget: config.budget(),
            most_watchers: config.max_watchers,
            state: state_dir.join("serial"),
            boot,
            ports: Mutex::default(),
            descriptors,
            shutdown,
        }))
    }

    /// Lets somebody onto a port, which is opened if nobody holds it yet. Until `Attachment::confirm` that takes
    /// nothing from anybody.
    pub async fn attach(
        &self,
        console: &ConsoleId,
        applicant: Applicant,
        deadline: Instant,
    ) -> Result<Attachment, AttachError> {
        let attaching = async {
            let (key, device, ports) = self.find(console).await?;
            let force = applicant.force && !applicant.read_only;
            let interest = self.port(key, &ports, device, force, false);
            interest.open().await.map_err(AttachError::Refused)?;
            interest.attach(applicant).map_err(AttachError::Refused)
        };
        timeout_at(deadline, attaching).await.unwrap_or(Err(AttachError::Deadline))
    }

    /// Whether there is such a port on a guest that runs, and who else writes to it.
    pub async fn look(&self, console: &ConsoleId, applicant: &Applicant) -> Result<Option<Writer>, ResolveError> {
        let (key, ..) = self.find(console).await?;
        Ok(self.known(key).and_then(|port| port.writer_beside(applicant)))
    }

    /// How a port is, if it is open or something of it is kept.
    pub fn status(&self, uuid: ConsoleUuid, index: u8) -> Option<Status> {
        self.known(Key { uuid, index }).map(|port| port.status())
    }

    /// The first of an owner's ports that nobody writes to.
    pub fn first_free(&self, owner: &Owner) -> Option<u8> {
        let mut ports = owner.kinds.iter().filter(|kind| kind.kind == ConsoleKind::Serial).map(|kind| kind.index);
        ports.find(|index| self.status(owner.uuid, *index).is_none_or(|status| status.writer.is_none()))
    }

    async fn find(&self, console: &ConsoleId) -> Result<(Key, SerialPort, SerialPorts), ResolveError> {
        let key = Key { uuid: console.uuid, index: console.index };
        let (_, ports) = self.0.consoles.serial_ports(key.uuid).await?;
        let device = ports.ports.get(usize::from(key.index)).filter(|port| port.backend.is_console()).cloned();
        let device = device.ok_or(ResolveError::NoSuchKind { kind: console.kind, index: key.index })?;
        Ok((key, device, ports))
    }

    /// The port of this start of the guest, held from now on at the latest.
    fn port(&self, key: Key, domain: &SerialPorts, device: SerialPort, force: bool, fresh: bool) -> Interest {
        let shared = &self.0;
        let mut ports = shared.ports();
        let same = |port: &Port| port.number == domain.number && !matches!(port.link(), Link::Over(_));
        let make = || {
            let about = About {
                key,
                number: domain.number,
                can_break: matches!(device.backend, Backend::Tcp { telnet: true, .. }),
                keep: domain.managed,
                start: hex(Uuid::new_v4().into_bytes().into_iter().take(8)),
                history: History::new(shared.sizes, shared.budget.clone()),
                most_watchers: shared.most_watchers,
            };
            Port::new(about, Arc::clone(&shared.clock))
        };
        let (port, input) = match ports.entry(key) {
            Entry::Occupied(known) if same(known.get()) => {
                let port = Arc::clone(known.get());
                port.keep.fetch_or(domain.managed, Ordering::Relaxed);
                return Interest::in_port(port);
            }
            Entry::Occupied(mut before) => {
                let (port, input) = make();
                before.insert(Arc::clone(&port));
                (port, input)
            }
            Entry::Vacant(place) => {
                let (port, input) = make();
                place.insert(Arc::clone(&port));
                (port, input)
            }
        };
        drop(ports);
        let interest = Interest::in_port(Arc::clone(&port));
        // Here and now, so that what nobody takes can be given up once all ports are held.
        let waited = domain.managed.then(|| shared.descriptors.take(&record::name(key))).flatten();
        let hub = Hub { shared: Arc::clone(shared), port, device, input, force, fresh, waited };
        let shutdown = shared.shutdown.hard.clone();
        drop(tokio::spawn(async move { shutdown.run_until_cancelled(hub.run()).await }));
        interest
    }

    fn known(&self, key: Key) -> Option<Arc<Port>> {
        self.0.ports().get(&key).cloned()
    }
}

impl Shared {
    /// Nothing is kept of this port.
    fn forget(&self, port: &Arc<Port>) {
        if let Entry::Occupied(known) = self.ports().entry(port.key)
            && Arc::ptr_eq(known.get(), port)
        {
            known.remove();
        }
    }

    fn ports(&self) -> MutexGuard<'_, HashMap<Key, Arc<Port>>> {
        // No operation on the map can leave it half done.
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
