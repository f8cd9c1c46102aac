//! The receiving end of the command channel: decides which call may start, and gives it a thread.
//!
//! Three lanes. The **quick** lane takes what needs no domain's job: lists, lookups, states and XML, all of which QEMU's
//! driver answers from its memory, also for a domain whose emulator hangs (measured with libvirt 9.0: `GetState` and
//! `GetXMLDesc` answer at once while another call is stuck in the monitor). The **domain** lane takes what can hang for
//! as long as an emulator does. The **probe** lane asks what holds a domain whose call has no answer; that hangs only as
//! long as libvirt waits for a job (30 s). None can take another's places.
//!
//! A call has a thread of its own for as long as it lasts: that is some tens of microseconds next to milliseconds, and
//! a stuck one takes nothing from anybody but its place in its lane. libvirtd has 20 workers for all its clients
//! (`max_workers`): the domain lane's limit leaves some to others when that many domains hang.

use std::sync::Weak;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use porthole_shared::names::ConsoleUuid;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::calls;
use super::command::Command;
use super::config::Config;
use super::dispatch::{Bounds, Dispatch};
use super::domain::NameOrUuid;
use super::error::CallError;
use super::link::Link;
use super::queues::Queues;
use super::reconnect::Wake;

/// What is answered from memory needs no more at once; each has a connection of its own.
const QUICK_LIMIT: usize = 3;
const DOMAIN_LIMIT: usize = 12;
const PROBE_LIMIT: usize = 2;

/// Which lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Quick,
    Domain,
    Probe,
}

/// What at most one call at a time is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    List,
    Domain(NameOrUuid),
}

/// The task behind the channel.
#[derive(Debug)]
pub(super) struct Machinery {
    link: watch::Receiver<Weak<Link>>,
    quick: Dispatch<Key, Command>,
    domain: Dispatch<Key, Command>,
    probe: Dispatch<Key, Command>,
    queues: Queues,
    returned: UnboundedReceiver<(Lane, Key)>,
    returning: UnboundedSender<(Lane, Key)>,
}

impl Machinery {
    /// At rest.
    pub(super) fn new(config: &Config, link: watch::Receiver<Weak<Link>>, queues: Queues) -> Self {
        // Not bounded by itself: one message for each call under way, and those are bounded by the lanes.
        let (returning, returned) = unbounded_channel();
        let overdue = config.call_timeout.get();
        let quick = Bounds { limit: QUICK_LIMIT, waiting_per_key: 64, waiting: 256, overdue };
        let domain = Bounds { limit: DOMAIN_LIMIT, waiting_per_key: 64, waiting: 256, overdue };
        let probe = Bounds { limit: PROBE_LIMIT, waiting_per_key: 64, waiting: 256, overdue };
        let (quick, domain, probe) = (Dispatch::new(quick), Dispatch::new(domain), Dispatch::new(probe));
        Self { link, quick, domain, probe, queues, returned, returning }
    }

    /// Runs until the handles are gone or the agent stops; then stops the connection's thread as well. Calls under way
    /// are left to themselves.
    pub(super) async fn run(
        mut self,
        mut commands: Receiver<Command>,
        wake: mpsc::Sender<Wake>,
        shutdown: CancellationToken,
    ) {
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some((lane, key)) = self.returned.recv() => self.lane(lane).finish(&key),
                command = commands.recv() => match command {
                    Some(command) => self.submit(command),
                    None => break,
                },
            }
            for lane in [Lane::Quick, Lane::Domain, Lane::Probe] {
                while let Some((key, command)) = self.lane(lane).next(Instant::now(), Command::is_abandoned) {
                    self.start(lane, key, command);
                }
            }
            self.queues.set([self.quick.depth(), self.domain.depth(), self.probe.depth()]);
        }
        // Fails when the thread has ended by itself.
        drop(wake.send(Wake::Stop));
    }

    const fn lane(&mut self, lane: Lane) -> &mut Dispatch<Key, Command> {
        match lane {
            Lane::Quick => &mut self.quick,
            Lane::Domain => &mut self.domain,
            Lane::Probe => &mut self.probe,
        }
    }

    fn submit(&mut self, command: Command) {
        let (lane, key) = place(&command);
        if self.link.borrow().strong_count() == 0 {
            command.refuse(CallError::Disconnected);
        } else if let Err(command) = self.lane(lane).submit(key, command, Instant::now()) {
            command.refuse(CallError::Busy);
        }
    }

    fn start(&self, lane: Lane, key: Key, command: Command) {
        // Dropped when the call returns, panics, or never gets its thread.
        let returned = Returned { lane, key, returning: self.returning.clone() };
        let Some(link) = self.link.borrow().upgrade() else { return command.refuse(CallError::Disconnected) };
        let call = move || {
            calls::answer(&link, command);
            drop((link, returned));
        };
        if let Err(error) = thread::Builder::new().name("libvirt-call".to_owned()).spawn(call) {
            tracing::error!(%error, "cannot start a thread for a call to libvirt");
        }
    }
}

/// Which lane a command belongs to, and what it must not run beside.
fn place(command: &Command) -> (Lane, Key) {
    let by_uuid = |uuid: &ConsoleUuid| Key::Domain(NameOrUuid::Uuid(*uuid));
    match command {
        Command::Domains { .. } => (Lane::Quick, Key::List),
        Command::Find { wanted, .. } => (Lane::Quick, Key::Domain(wanted.clone())),
        Command::Describe { uuid, .. } | Command::Definition { uuid, .. } => (Lane::Quick, by_uuid(uuid)),
        Command::OpenGraphics { uuid, .. } | Command::OpenConsole { uuid, .. } | Command::Redefine { uuid, .. } => {
            (Lane::Domain, by_uuid(uuid))
        }
        Command::IsMigrating { uuid, .. } => (Lane::Probe, by_uuid(uuid)),
    }
}

/// Gives a call's place back.
#[derive(Debug)]
struct Returned {
    lane: Lane,
    key: Key,
    returning: UnboundedSender<(Lane, Key)>,
}

impl Drop for Returned {
    fn drop(&mut self) {
        // Fails when the machinery has stopped.
        drop(self.returning.send((self.lane, self.key.clone())));
    }
}
