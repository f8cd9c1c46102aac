use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use porthole_shared::clock::ManualClock;
use porthole_tests::wait::{PATIENCE, eventually};
use tokio::sync::{broadcast, mpsc, watch};

use super::*;
use crate::fixture::START;
use crate::hypervisor::{CallError, Command, DomainDescription, DomainEvent, DomainState, DomainSummary, StartCause};
use crate::ports::Config;
use crate::store::Store;

/// Domains with their XML; `None` for one that does not answer.
type Domains = Arc<Mutex<HashMap<ConsoleUuid, Option<String>>>>;

struct World {
    ports: Ports,
    hypervisor: Hypervisor,
    domains: Domains,
    events: broadcast::Sender<Event>,
    link: watch::Sender<LinkState>,
    shutdown: Shutdown,
    clock: ManualClock,
    /// So many lists fail.
    mute: Arc<AtomicUsize>,
    /// How often it was asked about one domain.
    asked: watch::Receiver<usize>,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let (commands, received) = mpsc::channel(64);
        let (events, _) = broadcast::channel(4);
        let (link, state) = watch::channel(LinkState::Connected { since: std::time::Instant::now() });
        let domains = Domains::default();
        let mute = Arc::<AtomicUsize>::default();
        let (asking, asked) = watch::channel(0);
        tokio::spawn(answer(received, Arc::clone(&domains), Arc::clone(&mute), asking));
        let hypervisor = Hypervisor::from_channel(commands, events.clone(), state, Duration::from_secs(5));
        let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::at(START));
        let store = Store::open(dir.path(), START).await.unwrap();
        let config = Config {
            serial: "2600:2610".parse().unwrap(),
            graphics: "2610:2620".parse().unwrap(),
            ..Config::default()
        };
        let ports = Ports::new(config, store, Arc::new(clock.clone()));
        Self { ports, hypervisor, domains, events, link, shutdown: Shutdown::default(), clock, mute, asked, _dir: dir }
    }

    fn follow(&self) {
        let (ports, hypervisor) = (self.ports.clone(), self.hypervisor.clone());
        tokio::spawn(follow(ports, hypervisor.clone(), hypervisor.events(), self.shutdown.clone()));
    }

    fn define(&self, uuid: ConsoleUuid, devices: &str) {
        let xml = format!("<domain><name>g</name><devices>{devices}</devices></domain>");
        self.domains.lock().unwrap().insert(uuid, Some(xml));
    }

    fn undefine(&self, uuid: ConsoleUuid) {
        self.domains.lock().unwrap().remove(&uuid);
    }

    fn tell(&self, uuid: ConsoleUuid, kind: DomainEventKind) {
        let name = ConsoleName::from(uuid);
        self.events.send(Event::Domain(DomainEvent { uuid, name, kind })).unwrap();
    }

    async fn rows(&self) -> Vec<(u16, &'static str)> {
        self.ports
            .list()
            .await
            .unwrap()
            .into_iter()
            .map(|listed| (listed.row.port, listed.row.state.as_str()))
            .collect()
    }

    async fn becomes(&self, expected: &[(u16, &'static str)]) {
        eventually(PATIENCE, format!("{expected:?}"), async || self.rows().await == expected).await;
    }
}

async fn answer(
    mut commands: mpsc::Receiver<Command>,
    domains: Domains,
    mute: Arc<AtomicUsize>,
    asked: watch::Sender<usize>,
) {
    let summary = |uuid| DomainSummary { uuid, name: ConsoleName::from(uuid), state: DomainState::Running };
    while let Some(command) = commands.recv().await {
        let domains = domains.lock().unwrap().clone();
        match command {
            Command::Domains { reply } if mute.load(Ordering::Relaxed) > 0 => {
                mute.fetch_sub(1, Ordering::Relaxed);
                drop(reply.send(Err(CallError::Busy.into())));
            }
            Command::Domains { reply } => drop(reply.send(Ok(domains.into_keys().map(summary).collect()))),
            Command::Describe { uuid, reply } => {
                asked.send_modify(|asked| *asked += 1);
                let described = match domains.get(&uuid) {
                    Some(Some(xml)) => {
                        let DomainSummary { uuid, name, state } = summary(uuid);
                        Ok(DomainDescription { uuid, name, state, live_xml: xml.clone(), life: None })
                    }
                    Some(None) => Err(CallError::Busy.into()),
                    None => Err(DescribeError::NoSuchDomain),
                };
                drop(reply.send(described));
            }
            Command::Find { .. }
            | Command::Definition { .. }
            | Command::Redefine { .. }
            | Command::OpenGraphics { .. }
            | Command::OpenConsole { .. }
            | Command::IsMigrating { .. } => {
                panic!("nobody asks for this")
            }
        }
    }
}

#[tokio::test]
async fn a_start_adopts_and_events_follow() {
    let world = World::new().await;
    let (old, new) = (ConsoleUuid::random(), ConsoleUuid::random());
    world.define(old, "<graphics type='vnc' port='2610'/>");
    world.follow();
    world.becomes(&[(2610, "leased")]).await;

    let given = world.ports.allocate(new, &["serial-0".parse().unwrap()]).await.unwrap();
    assert_eq!(given, [2600]);
    world.becomes(&[(2600, "pending"), (2610, "leased")]).await;
    world.define(new, "<serial type='tcp'><source mode='bind' service='2600'/></serial>");
    world.tell(new, DomainEventKind::Defined);
    world.becomes(&[(2600, "leased"), (2610, "leased")]).await;

    world.undefine(old);
    world.tell(old, DomainEventKind::Undefined);
    world.becomes(&[(2600, "leased"), (2610, "releasing")]).await;
    world.clock.advance(60);
    world.ports.touch_expired().await.unwrap();
    world.becomes(&[(2600, "leased")]).await;

    world.ports.release(new).await.unwrap();
    world.becomes(&[(2600, "leased")]).await;
    world.undefine(new);
    world.events.send(Event::Resync).unwrap();
    world.becomes(&[(2600, "releasing")]).await;
    world.shutdown.soft.cancel();
}

#[tokio::test]
async fn what_does_not_answer_keeps_what_it_has() {
    let world = World::new().await;
    let (mute, other) = (ConsoleUuid::random(), ConsoleUuid::random());
    world.define(mute, "<graphics type='vnc' port='2610'/>");
    all_domains(&world.ports, &world.hypervisor).await.unwrap();
    world.domains.lock().unwrap().insert(mute, None);
    world.define(other, "<graphics type='vnc' port='2611'/>");
    world.clock.advance(7200);
    all_domains(&world.ports, &world.hypervisor).await.unwrap();
    assert_eq!(world.rows().await, [(2610, "leased"), (2611, "leased")]);
    some(&world.ports, &world.hypervisor, HashSet::from([mute])).await.unwrap();
    assert_eq!(world.rows().await, [(2610, "leased"), (2611, "leased")]);
}

#[tokio::test]
async fn what_could_not_be_compared_is_compared_again() {
    let world = World::new().await;
    let (listed, told) = (ConsoleUuid::random(), ConsoleUuid::random());
    world.define(listed, "<graphics type='vnc' port='2610'/>");
    world.mute.store(1, Ordering::Relaxed);
    world.follow();
    world.becomes(&[(2610, "leased")]).await;
    assert_eq!(world.mute.load(Ordering::Relaxed), 0, "the first list failed");

    world.define(told, "<graphics type='vnc' port='2611'/>");
    let xml = world.domains.lock().unwrap().insert(told, None).flatten();
    world.tell(told, DomainEventKind::Started(StartCause::Booted));
    let mut asked = world.asked.clone();
    let before = *asked.borrow();
    let again = asked.wait_for(|asked| *asked >= before + 2);
    tokio::time::timeout(Duration::from_secs(10), again).await.expect("it is asked about again").unwrap();
    world.domains.lock().unwrap().insert(told, xml);
    world.becomes(&[(2610, "leased"), (2611, "leased")]).await;
}

#[test]
fn what_fails_is_asked_about_ever_less_often() {
    let (mut due, domain) = (Due::default(), ConsoleUuid::random());
    let mut waits = Vec::new();
    for _ in 0..9 {
        due.again(false, HashSet::from([domain]));
        waits.extend(due.retry);
        assert_eq!(due.take(), (false, HashSet::from([domain])));
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60].map(Duration::from_secs));
    // Whatever comes meanwhile is not kept waiting for it.
    due.again(true, HashSet::new());
    due.soon();
    assert!(due.at.unwrap() <= Instant::now() + SETTLE);
    due.done();
    due.take();
    due.again(true, HashSet::new());
    assert_eq!(due.retry, Some(RETRY));
}

#[tokio::test]
async fn without_libvirt_nothing_is_freed() {
    let world = World::new().await;
    let uuid = ConsoleUuid::random();
    world.define(uuid, "<graphics type='vnc' port='2610'/>");
    all_domains(&world.ports, &world.hypervisor).await.unwrap();
    world.link.send_replace(LinkState::Disabled);
    let never = follow(world.ports.clone(), Hypervisor::none(), Hypervisor::none().events(), world.shutdown.clone());
    tokio::time::timeout(Duration::from_secs(5), never).await.unwrap();
    assert_eq!(world.rows().await, [(2610, "leased")]);
}
