//! Keeps the table of ports in line with libvirt: asks about domains, and has the table learn what it answers.
//!
//! ```text
//!  first connection, reconnection, events missed, every ten minutes ──► all domains ──┐
//!  a domain defined, undefined, started, stopped ──┐                                  ├──► a picture ──► ports
//!  ports asked for, released, a lease or grace over ┴──► these domains ───────────────┘
//! ```
//!
//! What cannot be asked about is left as it is, and asked about again, ever less often. Nothing here changes a domain, and no transaction is open while libvirt
//! is asked: a row that changed meanwhile is left alone, and looked at again the next time.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use porthole_shared::clock::UnixTime;
use porthole_shared::lifecycle::{Shutdown, chain};
use porthole_shared::names::{ConsoleName, ConsoleUuid};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::hypervisor::{DescribeError, DomainEventKind, Event, Events, Hypervisor, LinkState, ListError};
use crate::ports::{Absent, Picture, Ports, Use, uses};
use crate::store;

/// How many domains are asked about at once.
const WIDTH: usize = 8;

/// How long to wait for more of what comes together: a domain is defined, then started.
const SETTLE: Duration = Duration::from_millis(200);

/// How long to wait after a comparison that came to nothing, at first; twice as long each time, up to a time that is
/// short beside that between two comparisons.
const RETRY: Duration = Duration::from_secs(1);

/// … and at last.
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// How often to look for leases and graces that are over.
const LOOK: Duration = Duration::from_secs(20);

/// The table could not be brought in line.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// libvirt does not say which domains there are.
    #[error("cannot compare the ports with libvirt's domains")]
    List(#[from] ListError),
    /// The table cannot be read or written.
    #[error("cannot bring the table of ports up to date")]
    Store(#[from] store::Error),
}

/// What is to be asked about.
#[derive(Debug, Default)]
struct Due {
    all: bool,
    these: HashSet<ConsoleUuid>,
    /// When.
    at: Option<Instant>,
    /// How long after the last failure.
    retry: Option<Duration>,
}

impl Due {
    /// There is a reason to ask: what failed is asked about with it.
    fn soon(&mut self) {
        let soon = Instant::now() + SETTLE;
        self.at = Some(self.at.map_or(soon, |at| at.min(soon)));
    }

    /// What is to be asked about now.
    fn take(&mut self) -> (bool, HashSet<ConsoleUuid>) {
        self.at = None;
        (std::mem::take(&mut self.all), std::mem::take(&mut self.these))
    }

    /// That came to nothing, at least in part.
    fn again(&mut self, all: bool, these: HashSet<ConsoleUuid>) {
        let wait = self.retry.map_or(RETRY, |last| (2 * last).min(LONGEST_RETRY));
        self.retry = Some(wait);
        self.all |= all;
        self.these.extend(these);
        self.at.get_or_insert_with(|| Instant::now() + wait);
    }

    /// All was answered.
    fn done(&mut self) {
        self.retry = None;
    }
}

/// Does so until the agent stops. Without libvirt there is nothing to compare with, and all stays as it is.
pub async fn follow(ports: Ports, hypervisor: Hypervisor, mut events: Events, shutdown: Shutdown) {
    if *hypervisor.status().borrow() == LinkState::Disabled {
        return;
    }
    let mut every = interval(ports.config().compare_every.get());
    let mut look = interval(LOOK);
    for ticks in [&mut every, &mut look] {
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let (mut due, mut was_well) = (Due::default(), true);
    loop {
        tokio::select! {
            () = shutdown.soft.cancelled() => return,
            event = events.next() => match event {
                None => return,
                Some(Event::Resync) => {
                    due.all = true;
                    due.soon();
                }
                Some(Event::Domain(event)) if concerns_ports(event.kind) => {
                    due.these.insert(event.uuid);
                    due.soon();
                }
                Some(Event::Domain(_)) => {}
            },
            _ = every.tick() => {
                due.all = true;
                due.soon();
            }
            _ = look.tick() => {
                if let Err(error) = ports.touch_expired().await {
                    tracing::warn!(error = chain(&error), "cannot look for leases of ports that are over");
                }
            }
            () = ports.touched() => due.soon(),
            () = sleep_until(due.at.unwrap_or_else(Instant::now)), if due.at.is_some() => {
                let (mut all, mut these) = due.take();
                if !matches!(*hypervisor.status().borrow(), LinkState::Connected { .. }) {
                    // All are compared as soon as there is a connection.
                    continue;
                }
                all |= ports.take_all();
                these.extend(ports.take_touched());
                let compared = if all {
                    all_domains(&ports, &hypervisor).await
                } else {
                    some(&ports, &hypervisor, these.clone()).await
                };
                match &compared {
                    Ok(Compared { unanswered, .. }) if unanswered.is_empty() => due.done(),
                    Ok(Compared { unanswered, .. }) => due.again(false, unanswered.clone()),
                    Err(_) => due.again(all, these),
                }
                match compared {
                    Ok(Compared { changed, .. }) => {
                        was_well = true;
                        if changed > 0 {
                            tracing::info!(changed, "the table of ports follows libvirt's domains");
                        }
                    }
                    // A lost connection is told of elsewhere; a new one is a reason to compare all.
                    Err(error) if was_well => {
                        was_well = false;
                        tracing::warn!(error = chain(&error), "the ports stay as they are until libvirt answers");
                    }
                    Err(_) => {}
                }
            }
        }
    }
}

const fn concerns_ports(kind: DomainEventKind) -> bool {
    match kind {
        DomainEventKind::Defined
        | DomainEventKind::Undefined
        | DomainEventKind::Started(_)
        | DomainEventKind::Stopped(_) => true,
        DomainEventKind::Suspended
        | DomainEventKind::Resumed
        | DomainEventKind::ShuttingDown
        | DomainEventKind::Panicked
        | DomainEventKind::Other => false,
    }
}

/// What came of a comparison.
#[derive(Debug, Default)]
pub struct Compared {
    /// How many rows changed.
    pub changed: u64,
    /// The domains that did not answer.
    pub unanswered: HashSet<ConsoleUuid>,
}

/// Compares with all domains.
pub async fn all_domains(ports: &Ports, hypervisor: &Hypervisor) -> Result<Compared, ReconcileError> {
    let began = ports.now();
    let listed = hypervisor.domains().await?;
    let names: HashMap<_, _> = listed.iter().map(|domain| (domain.uuid, domain.name.clone())).collect();
    let answers: Vec<_> = answers(hypervisor, names.keys().copied()).await;
    let unanswered = unanswered(&answers);
    // It was in the list, so it is there, or has gone since, which is for the next time to say.
    let seen = answers.into_iter().map(|(domain, answer)| (domain, answer.ok().and_then(|there| there.uses))).collect();
    let changed = ports.learn(&Picture { began, seen, absent: Absent::AllOthers }, names).await?;
    Ok(Compared { changed, unanswered })
}

fn unanswered(answers: &[(ConsoleUuid, Result<There, DescribeError>)]) -> HashSet<ConsoleUuid> {
    let is_unanswered = |answer: &Result<There, DescribeError>| matches!(answer, Err(DescribeError::Call(_)));
    answers.iter().filter(|(_, answer)| is_unanswered(answer)).map(|(domain, _)| *domain).collect()
}

/// Compares with these domains.
async fn some(ports: &Ports, hypervisor: &Hypervisor, these: HashSet<ConsoleUuid>) -> Result<Compared, ReconcileError> {
    if these.is_empty() {
        return Ok(Compared::default());
    }
    let began = ports.now();
    let answers = answers(hypervisor, these).await;
    let unanswered = unanswered(&answers);
    Ok(Compared { changed: learn_of(ports, began, answers).await?, unanswered })
}

async fn learn_of(
    ports: &Ports,
    began: UnixTime,
    answers: Vec<(ConsoleUuid, Result<There, DescribeError>)>,
) -> Result<u64, store::Error> {
    let (mut seen, mut absent, mut names) = (HashMap::new(), HashSet::new(), HashMap::new());
    for (domain, answer) in answers {
        match answer {
            Ok(There { name, uses }) => {
                seen.insert(domain, uses);
                names.insert(domain, name);
            }
            Err(DescribeError::NoSuchDomain) => drop(absent.insert(domain)),
            Err(DescribeError::TooLarge { .. }) => drop(seen.insert(domain, None)),
            // Nothing is known of it.
            Err(DescribeError::Call(_)) => {}
        }
    }
    ports.learn(&Picture { began, seen, absent: Absent::These(absent) }, names).await
}

/// A domain that there is.
#[derive(Debug)]
struct There {
    name: ConsoleName,
    /// `None` if its XML cannot be read.
    uses: Option<Vec<Use>>,
}

async fn answers(
    hypervisor: &Hypervisor,
    domains: impl IntoIterator<Item = ConsoleUuid>,
) -> Vec<(ConsoleUuid, Result<There, DescribeError>)> {
    let ask = async |domain| {
        let described = hypervisor.describe(domain).await.map(|described| There {
            uses: uses(&described.live_xml)
                .inspect_err(|error| tracing::debug!(%domain, %error, "the ports of this domain cannot be told"))
                .ok(),
            name: described.name,
        });
        (domain, described)
    };
    stream::iter(domains).map(ask).buffer_unordered(WIDTH).collect().await
}

#[cfg(test)]
mod tests;
