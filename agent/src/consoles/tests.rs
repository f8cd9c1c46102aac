use std::time::{Duration, Instant};

use porthole_shared::reason::Reason;
use serde_json::json;
use tokio::sync::{broadcast, mpsc, watch};

use super::*;
use crate::hypervisor::{CallError, Command, LinkState};

const WEB: &str = "<domain><name>web</name><devices><graphics type='spice'><listen type='none'/></graphics>\
                   <graphics type='vnc'><listen type='none'/></graphics><graphics type='vnc'/></devices></domain>";

/// A domain that [`libvirt`] has.
struct Domain {
    uuid: ConsoleUuid,
    name: &'static str,
    state: DomainState,
    xml: &'static str,
}

/// A libvirt with these domains, or one that is away.
fn libvirt(domains: Result<Vec<Domain>, CallError>) -> Hypervisor {
    let (commands, mut received) = mpsc::channel(4);
    let (_, state) = watch::channel(LinkState::Connected { since: Instant::now() });
    tokio::spawn(async move {
        let name = |domain: &Domain| domain.name.parse().unwrap();
        let summary = |domain: &Domain| DomainSummary { uuid: domain.uuid, name: name(domain), state: domain.state };
        while let Some(command) = received.recv().await {
            let domains = domains.as_ref().map_err(Clone::clone);
            match command {
                Command::Domains { reply } => {
                    let all = domains.map(|domains| domains.iter().map(summary).collect());
                    drop(reply.send(all.map_err(hypervisor::ListError::from)));
                }
                Command::Find { wanted, reply } => {
                    let is_it = |domain: &&Domain| match &wanted {
                        NameOrUuid::Name(name) => name.as_str() == domain.name,
                        NameOrUuid::Uuid(uuid) => *uuid == domain.uuid,
                    };
                    let found = domains.map_err(hypervisor::FindError::from).and_then(|domains| {
                        let domain = domains.iter().find(is_it);
                        domain.map(summary).ok_or(hypervisor::FindError::NoSuchDomain)
                    });
                    drop(reply.send(found));
                }
                Command::Describe { uuid, reply } => {
                    let found = domains.map_err(DescribeError::from).and_then(|domains| {
                        let domain = domains.iter().find(|domain| domain.uuid == uuid);
                        let domain = domain.ok_or(DescribeError::NoSuchDomain)?;
                        let (name, live_xml) = (name(domain), domain.xml.to_owned());
                        Ok(DomainDescription { uuid, name, state: domain.state, live_xml, life: None })
                    });
                    drop(reply.send(found));
                }
                other @ (Command::OpenGraphics { .. }
                | Command::OpenConsole { .. }
                | Command::Definition { .. }
                | Command::Redefine { .. }
                | Command::IsMigrating { .. }) => {
                    panic!("nobody asked for {other:?}")
                }
            }
        }
    });
    Hypervisor::from_channel(commands, broadcast::channel(1).0, state, Duration::from_secs(5))
}

fn uuid(number: u8) -> ConsoleUuid {
    format!("00000000-0000-4000-8000-0000000000{number:02}").parse().unwrap()
}

fn consoles(domains: Result<Vec<Domain>, CallError>) -> Consoles {
    let external = serde_json::from_value(json!({"networks": ["10.0.0.0/8"], "console": [
        {"uuid": uuid(90), "name": "bmc", "protocol": "vnc", "host": "10.0.0.9", "port": 5900},
        {"uuid": uuid(91), "name": "web", "protocol": "tcp", "host": "sol.example.org", "port": 6000},
    ]}));
    Consoles::new(libvirt(domains), external.unwrap(), &"qemu:///system".parse().unwrap())
}

fn some_domains() -> Vec<Domain> {
    vec![
        Domain { uuid: uuid(1), name: "web", state: DomainState::Running, xml: WEB },
        Domain { uuid: uuid(2), name: "db", state: DomainState::ShutOff, xml: WEB },
        Domain { uuid: uuid(3), name: "odd", state: DomainState::Paused, xml: "<domain" },
        Domain { uuid: uuid(4), name: "bare", state: DomainState::Running, xml: "<domain/>" },
    ]
}

fn id(uuid: ConsoleUuid, kind: ConsoleKind, index: u8) -> ConsoleId {
    ConsoleId { source: ConsoleSource::Libvirt, uuid, kind, index }
}

#[tokio::test]
async fn all_owners_are_listed_with_their_consoles() {
    let list = consoles(Ok(some_domains())).list().await.unwrap();
    let words: Vec<String> = list
        .iter()
        .map(|owner| {
            let kinds: Vec<_> = owner.kinds.iter().map(|kind| format!("{}{}", kind.kind, kind.index)).collect();
            let closed: Vec<_> =
                owner.closed.iter().map(|closed| format!("{}: {}", closed.device, closed.why)).collect();
            let Owner { source, name, state, .. } = owner;
            format!("{source} {name} {state} {} {}", kinds.join("+"), closed.join("; "))
        })
        .collect();
    assert_eq!(
        words,
        [
            "libvirt bare running  ",
            "external bmc unknown vnc0 ",
            "libvirt db shut_off spice0+vnc0+vnc1 spice 0: the domain is shut_off; vnc 0: the domain is shut_off; \
             vnc 1: the domain is shut_off",
            "libvirt odd paused  all: the domain's XML is not well-formed near byte 0: \
             syntax error: tag not closed: `>` not found before end of input",
            "libvirt web running spice0+vnc0+vnc1 ",
            "external web unknown tcp0 ",
        ]
    );
}

#[tokio::test]
async fn owners_are_found_by_name_or_uuid() {
    let consoles = consoles(Ok(some_domains()));
    for (wanted, uuid) in [("db", uuid(2)), ("bmc", uuid(90))] {
        assert_eq!(consoles.find(wanted).await.unwrap().uuid, uuid);
        assert_eq!(consoles.find(&uuid.to_string()).await.unwrap().uuid, uuid);
    }
    for (wanted, reason, words) in [
        ("web", Reason::BadRequest, "ask by UUID"),
        ("nobody", Reason::NoSuchConsole, "porthole consoles"),
        ("a/b", Reason::NoSuchConsole, "porthole consoles"),
        ("", Reason::NoSuchConsole, "porthole consoles"),
        ("odd", Reason::Unsupported, "cannot look into"),
    ] {
        let error = consoles.find(wanted).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{wanted}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn without_libvirt_external_consoles_are_still_there() {
    let consoles = consoles(Err(CallError::Disconnected));
    assert_eq!(consoles.find("bmc").await.unwrap().uuid, uuid(90));
    assert_eq!(consoles.find(&uuid(91).to_string()).await.unwrap().name.as_str(), "web");
    assert_eq!(consoles.find("db").await.unwrap_err().reason(), Reason::HypervisorDown);
    assert_eq!(consoles.list().await.unwrap_err().0.0.reason(), Reason::HypervisorDown);
    let bmc = ConsoleId { source: ConsoleSource::External, ..id(uuid(90), ConsoleKind::Vnc, 0) };
    assert!(consoles.console(&bmc).await.is_ok());
}

#[tokio::test]
async fn a_domains_console_is_resolved_to_its_place_among_all_graphics() {
    let consoles = consoles(Ok(some_domains()));
    for (kind, index, position) in [(ConsoleKind::Spice, 0, 0), (ConsoleKind::Vnc, 0, 1), (ConsoleKind::Vnc, 1, 2)] {
        let console = consoles.console(&id(uuid(1), kind, index)).await.unwrap();
        assert_eq!(console.endpoint, Endpoint::GraphicsFd { uuid: uuid(1), position });
    }
    for (id, reason) in [
        (id(uuid(1), ConsoleKind::Vnc, 2), Reason::NoSuchKind),
        (id(uuid(1), ConsoleKind::Serial, 0), Reason::NoSuchKind),
        (id(uuid(2), ConsoleKind::Vnc, 0), Reason::NotRunning),
        (id(uuid(3), ConsoleKind::Vnc, 0), Reason::Unsupported),
        (id(uuid(7), ConsoleKind::Vnc, 0), Reason::NoSuchConsole),
    ] {
        assert_eq!(consoles.console(&id).await.unwrap_err().reason(), reason, "{id}");
    }
}

#[tokio::test]
async fn an_external_console_is_resolved_to_its_address_and_networks() {
    let consoles = consoles(Ok(Vec::new()));
    let raw = ConsoleId { source: ConsoleSource::External, ..id(uuid(91), ConsoleKind::Tcp, 0) };
    let Endpoint::Tcp { address, within } = consoles.console(&raw).await.unwrap().endpoint else { panic!("not TCP") };
    assert_eq!(address.to_string(), "sol.example.org:6000");
    assert!(within.allow("10.1.1.1".parse().unwrap()) && !within.allow("127.0.0.1".parse().unwrap()));
    for (id, reason) in [
        (ConsoleId { kind: ConsoleKind::Vnc, ..raw }, Reason::NoSuchKind),
        (ConsoleId { index: 1, ..raw }, Reason::NoSuchKind),
        (ConsoleId { uuid: uuid(1), ..raw }, Reason::NoSuchConsole),
    ] {
        assert_eq!(consoles.console(&id).await.unwrap_err().reason(), reason, "{id}");
    }
}
