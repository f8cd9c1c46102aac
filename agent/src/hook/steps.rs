//! What a step of a domain's life means to the agent.

use std::sync::Arc;
use std::time::Duration;

use porthole_hook::glance::{Glance, glance};
use porthole_hook::spool::Waiting;
use porthole_hook::step::Operation;
use porthole_hook::wire::{Answer, Message, Question, Verdict};
use porthole_shared::clock::{Clock, UnixTime};
use porthole_shared::lifecycle::{Shutdown, chain};
use porthole_shared::names::ConsoleUuid;
use porthole_shared::reason::Reason;
use tokio_util::task::TaskTracker;

use super::server::say;
use super::{Calls, TakenPort};
use crate::definitions::{Arrivals, Definitions};
use crate::ports::{Held, Ports, listeners};
use crate::store::TokenMark;
use crate::tokens::Tokens;

/// How long libvirt's event of a stop, which says why, may come after the hook's. Measured: up to 1.6 s.
const EVENT_PATIENCE: Duration = Duration::from_secs(3);

/// What steps are told to.
#[derive(Debug)]
pub struct Parts {
    /// The table of ports.
    pub ports: Ports,
    /// What domains' consoles are defined to be.
    pub definitions: Definitions,
    /// Those that come.
    pub arrivals: Arrivals,
    /// The tokens.
    pub tokens: Tokens,
    /// What to do about a port that something else has.
    pub taken_port: TakenPort,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Counts them.
    pub calls: Calls,
    /// What the end of the process waits for.
    pub tasks: TaskTracker,
    /// When that is.
    pub shutdown: Shutdown,
}

/// What steps do. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Steps(Arc<Parts>);

impl Steps {
    /// With these.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// What the hook says to libvirt.
    pub(super) async fn answer(&self, question: Question) -> Answer {
        let step = question.head;
        let seen = glance(&question.xml);
        self.0.calls.note(step.operation, self.0.clock.now());
        tracing::debug!(domain = %step.name, operation = %step.operation, managed = seen.managed, "a hook's step");
        match step.operation {
            Operation::Prepare if seen.managed => say(self.prepare(seen, &question.xml).await),
            Operation::Migrate | Operation::Restore if seen.managed => {
                self.incoming(step.operation, seen, &question.xml).await
            }
            Operation::Prepare | Operation::Start | Operation::Migrate | Operation::Restore => say(Verdict::Go),
            Operation::Started | Operation::Reconnect | Operation::Attach | Operation::Stopped | Operation::Release => {
                self.happened(step.operation, seen.uuid);
                say(Verdict::Go)
            }
        }
    }

    /// A step that is told of later than it happened.
    pub(super) async fn later(&self, waiting: &Waiting, at: UnixTime) {
        let Some(domain) = waiting.uuid.map(ConsoleUuid::new) else { return };
        self.0.ports.touch([domain]);
        if waiting.step.operation == Operation::Stopped {
            // What was made since is for the guest's next start.
            match self.0.tokens.mark_at(at).await {
                Ok(until) => self.void_unless_told(domain, until),
                Err(error) => {
                    tracing::warn!(%domain, error = chain(&error), "a stopped guest's links may still be good");
                }
            }
        }
    }

    /// Steps that nobody knows any more.
    pub(super) fn all_later(&self) {
        self.0.ports.touch_all();
        self.0.tokens.doubt();
    }

    /// What time it is.
    pub(super) fn now(&self) -> UnixTime {
        self.0.clock.now()
    }

    fn happened(&self, operation: Operation, uuid: Option<uuid::Uuid>) {
        let Some(domain) = uuid.map(ConsoleUuid::new) else { return };
        self.0.ports.touch([domain]);
        if operation == Operation::Stopped {
            self.void_unless_told(domain, self.0.tokens.mark());
        }
    }

    /// Tokens of a guest that has stopped are void. Why it stopped, libvirt's event says; should that be missed, it was
    /// shut off.
    fn void_unless_told(&self, domain: ConsoleUuid, until: TokenMark) {
        let (tokens, shutdown) = (self.0.tokens.clone(), self.0.shutdown.clone());
        drop(self.0.tasks.spawn(async move {
            let _at_once = shutdown.soft.run_until_cancelled(tokio::time::sleep(EVENT_PATIENCE)).await;
            tokens.void_domain_until(domain, Reason::ShutOff, until);
        }));
    }

    /// A managed domain that comes gets consoles of this host, or does not come.
    async fn incoming(&self, operation: Operation, seen: Glance, xml: &[u8]) -> Answer {
        let Ok(text) = std::str::from_utf8(xml) else {
            return say(Verdict::Refuse { why: "the domain's XML is not UTF-8".to_owned() });
        };
        match self.0.definitions.incoming(text).await {
            Ok(None) => say(Verdict::Go),
            Ok(Some(rewritten)) => {
                if let Some(uuid) = seen.uuid
                    && let Err(error) = self.0.arrivals.note(ConsoleUuid::new(uuid)).await
                {
                    let error = chain(&error);
                    tracing::warn!(%uuid, error, "the definition of a domain that comes may keep its ports of elsewhere");
                }
                Message { head: Verdict::Rewritten, xml: rewritten.expose().clone().into_bytes() }
            }
            Err(error) => {
                let error = chain(&error);
                tracing::error!(uuid = ?seen.uuid, %operation, error, "a domain cannot be given consoles of this host");
                say(Verdict::Refuse { why: format!("the domain cannot be given consoles of this host: {error}") })
            }
        }
    }

    /// Whether a managed domain may start: not if QEMU would find one of its ports taken.
    async fn prepare(&self, seen: Glance, xml: &[u8]) -> Verdict {
        let (TakenPort::Refuse, Some(uuid), Ok(xml)) = (self.0.taken_port, seen.uuid, std::str::from_utf8(xml)) else {
            return Verdict::Go;
        };
        let listeners = match listeners(xml) {
            Ok(listeners) => listeners,
            Err(error) => {
                tracing::warn!(%uuid, error = chain(&error), "the ports of a domain that starts cannot be told");
                return Verdict::Go;
            }
        };
        match self.0.ports.held_by_others(ConsoleUuid::new(uuid), &listeners).await {
            Ok(None) => Verdict::Go,
            Ok(Some(held)) => Verdict::Refuse { why: words(&held) },
            Err(error) => {
                tracing::warn!(%uuid, error = chain(&error), "cannot tell whether a domain's ports are taken");
                Verdict::Go
            }
        }
    }
}

fn words(Held { port, device, owner }: &Held) -> String {
    match owner {
        Some((_, Some(name))) => format!("port {port}, which {device} of this domain needs, is taken by domain {name}"),
        Some((owner, None)) => format!("port {port}, which {device} of this domain needs, is taken by {owner}"),
        None => format!(
            "port {port}, which {device} of this domain needs, is taken by something that is no domain of libvirt's: \
             `ss -ltnp 'sport = :{port}'` shows what"
        ),
    }
}
