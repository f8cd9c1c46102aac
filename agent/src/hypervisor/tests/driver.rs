//! The hypervisor module against libvirt's in-process test driver: real libvirt code, no daemon, no guest.

use porthole_shared::reason::Reason;
use tokio_util::sync::DropGuard;
use virt::connect::Connect;
use virt::domain::Domain;

use super::super::*;

/// What a test waits for at most.
const PATIENCE: Duration = Duration::from_secs(20);

const URI: &str = "test:///default";

struct Host {
    hypervisor: Hypervisor,
    /// The operator's connection: what is done by it, the agent sees from outside.
    operator: Connect,
    _shutdown: DropGuard,
}

impl Host {
    async fn start() -> Self {
        let shutdown = CancellationToken::new();
        let config = Config { uri: URI.parse().unwrap(), ..Config::default() };
        let hypervisor = Hypervisor::connect(&config, shutdown.clone()).unwrap();
        let mut state = hypervisor.status();
        let connected = state.wait_for(|state| matches!(state, LinkState::Connected { .. }));
        drop(tokio::time::timeout(PATIENCE, connected).await.expect("no connection").unwrap());
        let operator = Connect::open(Some(URI)).unwrap();
        Self { hypervisor, operator, _shutdown: shutdown.drop_guard() }
    }

    /// A domain of its own for a test: the driver's domains are those of the whole process.
    fn define(&self, name: &str) -> (Domain, ConsoleUuid) {
        let xml = format!(
            "<domain type='test'><name>{name}</name><memory>1024</memory><vcpu>1</vcpu><os><type>hvm</type></os>\
             <devices><graphics type='vnc' autoport='yes' passwd='s3cret'/></devices></domain>"
        );
        let domain = self.operator.define_domain_xml(&xml).unwrap();
        let uuid = ConsoleUuid::new(domain.uuid().unwrap());
        (domain, uuid)
    }
}

/// The next step of this domain.
async fn next_step(events: &mut Events, uuid: ConsoleUuid) -> DomainEventKind {
    let next = async {
        loop {
            match events.next().await.expect("events end") {
                Event::Domain(event) if event.uuid == uuid => return event.kind,
                Event::Domain(_) | Event::Resync => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.expect("no event")
}

#[tokio::test]
async fn finds_by_name_and_uuid_and_lists_what_does_not_run() {
    let host = Host::start().await;
    let (domain, uuid) = host.define("list-me");

    let found = host.hypervisor.find(&"list-me".parse().unwrap()).await.unwrap();
    assert_eq!((found.uuid, found.name.as_str(), found.state), (uuid, "list-me", DomainState::ShutOff));
    assert_eq!(host.hypervisor.find(&uuid.to_string().parse().unwrap()).await.unwrap(), found);
    assert!(host.hypervisor.domains().await.unwrap().contains(&found));

    domain.create().unwrap();
    let running = host.hypervisor.find(&"list-me".parse().unwrap()).await.unwrap();
    assert_eq!(running.state, DomainState::Running);
    assert!(host.hypervisor.domains().await.unwrap().contains(&running));
    domain.suspend().unwrap();
    assert_eq!(host.hypervisor.describe(uuid).await.unwrap().state, DomainState::Paused);

    let missing = host.hypervisor.find(&"no-such-domain".parse().unwrap()).await.unwrap_err();
    assert_eq!(missing, FindError::NoSuchDomain);
    let missing = host.hypervisor.find(&ConsoleUuid::random().to_string().parse().unwrap()).await.unwrap_err();
    assert_eq!(missing, FindError::NoSuchDomain);
}

#[tokio::test]
async fn describes_without_secrets() {
    let host = Host::start().await;
    let (domain, uuid) = host.define("describe-me");
    domain.create().unwrap();
    let description = host.hypervisor.describe(uuid).await.unwrap();
    assert_eq!((description.uuid, description.name.as_str()), (uuid, "describe-me"));
    assert!(description.live_xml.contains("<graphics type='vnc'"), "{}", description.live_xml);
    assert!(!description.live_xml.contains("s3cret"), "{}", description.live_xml);
    assert_eq!(host.hypervisor.describe(ConsoleUuid::random()).await, Err(DescribeError::NoSuchDomain));
}

#[tokio::test]
async fn graphics_are_refused_for_the_right_reason() {
    let host = Host::start().await;
    let (domain, uuid) = host.define("open-me");
    let open = async |uuid| host.hypervisor.open_graphics(uuid, 0).await.unwrap_err();
    assert_eq!(open(ConsoleUuid::random()).await, OpenGraphicsError::NoSuchDomain);
    assert_eq!(open(uuid).await, OpenGraphicsError::NotRunning);
    domain.create().unwrap();
    let error = open(uuid).await;
    assert_eq!(error, OpenGraphicsError::Unsupported);
    assert_eq!(error.reason(), Reason::Unsupported);
}

#[tokio::test]
async fn steps_in_a_domains_life_are_told_in_order() {
    let host = Host::start().await;
    let mut events = host.hypervisor.events();
    let (domain, uuid) = host.define("watch-me");
    domain.create().unwrap();
    domain.suspend().unwrap();
    domain.resume().unwrap();
    domain.destroy().unwrap();
    domain.create().unwrap();
    domain.shutdown().unwrap();
    domain.undefine().unwrap();
    for expected in [
        DomainEventKind::Defined,
        DomainEventKind::Started(StartCause::Booted),
        DomainEventKind::Suspended,
        DomainEventKind::Resumed,
        DomainEventKind::Stopped(StopCause::Destroyed),
        DomainEventKind::Started(StartCause::Booted),
        DomainEventKind::Stopped(StopCause::ShutOff),
        DomainEventKind::Undefined,
    ] {
        assert_eq!(next_step(&mut events, uuid).await, expected);
    }
}

#[tokio::test]
async fn a_thousand_questions_at_once_are_all_answered() {
    let host = Host::start().await;
    let (_domain, uuid) = host.define("ask-me");
    let mut asking = tokio::task::JoinSet::new();
    // As many as the lane lets wait for one domain, beside as many lists; more would be told to come again.
    for round in 0..20 {
        for _ in 0..50 {
            let hypervisor = host.hypervisor.clone();
            asking.spawn(async move { hypervisor.describe(uuid).await.map(|described| described.uuid) });
        }
        while let Some(answered) = asking.join_next().await {
            assert_eq!(answered.unwrap(), Ok(uuid), "round {round}");
        }
    }
}

#[tokio::test]
async fn a_libvirt_that_is_not_there_is_tried_for_and_named() {
    let shutdown = CancellationToken::new();
    let uri = "qemu+unix:///system?socket=/nonexistent/libvirt-sock";
    let config = Config { uri: uri.parse().unwrap(), ..Config::default() };
    let hypervisor = Hypervisor::connect(&config, shutdown.clone()).unwrap();
    let mut state = hypervisor.status();
    let failed = state.wait_for(|state| matches!(state, LinkState::Connecting { last_error: Some(_), .. }));
    let failed = tokio::time::timeout(PATIENCE, failed).await.expect("no attempt").unwrap().clone();
    assert!(format!("{failed:?}").contains("/nonexistent/libvirt-sock"), "{failed:?}");
    let error = hypervisor.find(&"web".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::HypervisorDown);
    shutdown.cancel();
    // The machinery ends, and with it the sender.
    let ended = async { while state.changed().await.is_ok() {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("the thread goes on");
}
