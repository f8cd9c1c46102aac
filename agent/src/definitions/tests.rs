//! Definitions against a libvirt that the test plays; ports are of a real table.

use std::sync::Mutex;

use porthole_shared::clock::ManualClock;
use serde_json::json;
use tokio::sync::{broadcast, mpsc, watch};

use super::*;
use crate::fixture::START;
use crate::hypervisor::{CallError, Command, DomainSummary, LibvirtError, LinkState};
use crate::ports;
use crate::store::Store;

const XML: &str = "<domain>\n  <name>web</name>\n  <uuid>7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e</uuid>\n  <devices>\n    \
                   <graphics type='spice' passwd='theirs'/>\n  </devices>\n</domain>";

/// What the played libvirt has, and does.
#[derive(Debug, Default)]
struct Domain {
    defined: String,
    live: Option<String>,
    /// So often somebody else is quicker.
    others: usize,
    refuses: bool,
    /// How often it was redefined.
    redefined: usize,
}

struct World {
    definitions: Definitions,
    ports: Ports,
    domain: Arc<Mutex<Domain>>,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let domain = Arc::new(Mutex::new(Domain { defined: XML.to_owned(), ..Domain::default() }));
        let (commands, received) = mpsc::channel(4);
        tokio::spawn(answer(received, Arc::clone(&domain)));
        let (_, state) = watch::channel(LinkState::Disabled);
        let patience = std::time::Duration::from_secs(5);
        let hypervisor = Hypervisor::from_channel(commands, broadcast::channel(1).0, state, patience);
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), START).await.unwrap();
        let ranges = json!({"serial": "3000:3003", "graphics": "6100:6102"});
        let config: ports::Config = serde_json::from_value(ranges).unwrap();
        let ports = Ports::new(config, store, Arc::new(ManualClock::at(START)));
        let definitions = Definitions::new(hypervisor, ports.clone(), Host::default());
        Self { definitions, ports, domain, _dir: dir }
    }

    async fn apply(&self, spec: serde_json::Value) -> Result<Changed, ApplyError> {
        self.definitions.apply(&name(), &serde_json::from_value(spec).unwrap(), None).await
    }

    fn domain(&self) -> std::sync::MutexGuard<'_, Domain> {
        self.domain.lock().unwrap()
    }

    /// The domain's ports, and whether each was only found in use.
    async fn rows(&self) -> Vec<(u16, bool)> {
        self.ports.list().await.unwrap().into_iter().map(|listed| (listed.row.port, listed.row.adopted)).collect()
    }
}

fn name() -> NameOrUuid {
    "web".parse().unwrap()
}

async fn answer(mut commands: mpsc::Receiver<Command>, domain: Arc<Mutex<Domain>>) {
    let uuid = ConsoleUuid::new(read(XML.as_bytes()).unwrap().uuid.unwrap());
    let name: ConsoleName = "web".parse().unwrap();
    while let Some(command) = commands.recv().await {
        let mut domain = domain.lock().unwrap();
        let state = if domain.live.is_some() { DomainState::Running } else { DomainState::ShutOff };
        match command {
            Command::Find { reply, .. } => drop(reply.send(Ok(DomainSummary { uuid, name: name.clone(), state }))),
            Command::Definition { reply, .. } => {
                let (defined, live) = (Secret::new(domain.defined.clone()), domain.live.clone().map(Secret::new));
                drop(reply.send(Ok(Definition { uuid, name: name.clone(), state, defined, live, is_saved: false })));
            }
            Command::Redefine { seen, wanted, reply, .. } => {
                if domain.others > 0 {
                    domain.others -= 1;
                    domain.defined = domain.defined.replace("<devices>", "<devices><disk/>");
                }
                let done = if domain.refuses {
                    let error = LibvirtError { code: 1, message: "no".to_owned() };
                    Err(CallError::Libvirt(error).into())
                } else if *seen.expose() == domain.defined {
                    domain.defined = wanted.expose().clone();
                    domain.redefined += 1;
                    Ok(())
                } else {
                    Err(RedefineError::Changed)
                };
                drop(reply.send(done));
            }
            Command::Domains { .. }
            | Command::Describe { .. }
            | Command::OpenGraphics { .. }
            | Command::OpenConsole { .. }
            | Command::IsMigrating { .. } => {
                panic!("nobody asks for this")
            }
        }
    }
}

#[tokio::test]
async fn consoles_come_change_and_go_with_their_ports() {
    let world = World::new().await;
    let first = world.apply(json!({"transport": "tcp", "vnc": {}, "serial": {"ports": 2}})).await.unwrap();
    let given: Vec<_> = first.now.ports.iter().map(|given| (given.device.to_string(), given.port)).collect();
    assert!(first.changed && first.now.until_restart.is_empty());
    let expected =
        [("vnc-0", 6100), ("serial-0", 3000), ("serial-1", 3001)].map(|(device, port)| (device.to_owned(), port));
    assert_eq!(given, expected);
    let defined = world.domain().defined.clone();
    assert!(defined.contains("port='6100'") && defined.contains("service='3001'"), "{defined}");
    assert!(defined.contains("<graphics type='spice' passwd='theirs'/>"), "what is not ours stays: {defined}");

    // The same again is nothing at all.
    let again = world.apply(json!({"transport": "tcp", "vnc": {}, "serial": {"ports": 2}})).await.unwrap();
    assert_eq!(again, Changed { changed: false, ..first.clone() });
    assert_eq!(world.domain().defined, defined);
    assert_eq!(world.domain().redefined, 1);
    assert_eq!(world.definitions.show(&name()).await.unwrap().ports.len(), 3);

    // It runs so, and is to have less: what it does not need is its own only while it uses it.
    world.domain().live = Some(defined.clone());
    let fewer = world.apply(json!({"transport": "tcp", "serial": {"ports": 1}})).await.unwrap();
    assert_eq!(fewer.now.until_restart, [Difference::Serial, Difference::Vnc]);
    assert_eq!(world.rows().await, [(3000, false), (3001, true), (6100, true)]);
    let gone = world.definitions.remove(&name()).await.unwrap();
    assert!(gone.changed && gone.now.spec.is_none() && gone.now.ports.is_empty(), "{gone:?}");
    assert_eq!(world.domain().defined, XML);
    assert_eq!(world.rows().await, [(3000, true), (3001, true), (6100, true)]);
    assert!(!world.definitions.remove(&name()).await.unwrap().changed);
}

#[tokio::test]
async fn what_somebody_else_changes_meanwhile_is_kept() {
    let world = World::new().await;
    world.domain().others = 2;
    assert!(world.apply(json!({"vnc": {}})).await.unwrap().changed);
    let defined = world.domain().defined.clone();
    assert!(defined.contains("<disk/><disk/>") && defined.contains("type='vnc'"), "{defined}");
    world.domain().others = 3;
    let error = world.apply(json!({"vnc": {}, "serial": {"ports": 1}})).await.unwrap_err();
    assert!(matches!(error, ApplyError::Redefine(RedefineError::Changed)), "{error}");
    assert!(!world.domain().defined.contains("serial"));
}

#[tokio::test]
async fn what_libvirt_refuses_takes_no_port_for_good() {
    let world = World::new().await;
    world.apply(json!({"transport": "tcp", "serial": {"ports": 1}})).await.unwrap();
    world.domain().refuses = true;
    let error = world.apply(json!({"transport": "tcp", "vnc": {}, "serial": {"ports": 3}})).await.unwrap_err();
    assert!(matches!(error, ApplyError::Redefine(RedefineError::Call(_))), "{error}");
    assert_eq!(world.rows().await, [(3000, false), (3001, true), (3002, true), (6100, true)]);
    // All or none, and nothing is written.
    world.domain().refuses = false;
    let error = world.apply(json!({"transport": "tcp", "serial": {"ports": 4}})).await.unwrap_err();
    assert!(matches!(error, ApplyError::Render(RenderError::Ports(_))), "{error}");
    assert_eq!(world.domain().redefined, 1);
}

#[tokio::test]
async fn a_log_elsewhere_and_xml_that_is_not_understood_are_refused() {
    let world = World::new().await;
    let error = world.apply(json!({"serial": {"ports": 1, "log": "/etc/passwd"}})).await.unwrap_err().to_string();
    assert!(error.contains("/etc/passwd is not in /var/log/porthole-consoles"), "{error}");
    let log = format!("{}/web.log", Host::LOGS);
    assert!(world.apply(json!({"serial": {"ports": 1, "log": log}})).await.unwrap().changed);
    let broken = world.domain().defined.replace("ports='1'", "ports='9'");
    world.domain().defined = broken;
    let error = world.apply(json!({"vnc": {}})).await.unwrap_err().to_string();
    assert!(error.contains("line 6, column") && error.contains("9 serial ports are too many"), "{error}");
}

#[tokio::test]
async fn whoever_defines_domains_otherwise_gets_the_xml_and_its_ports() {
    let world = World::new().await;
    let spec: ConsoleSpec = serde_json::from_value(json!({"transport": "tcp", "vnc": {}})).unwrap();
    let merged = world.definitions.merge("<domain><name>new</name></domain>", &spec, None).await.unwrap();
    let uuid = format!("<uuid>{}</uuid>", merged.uuid);
    assert!(merged.xml.expose().contains(&uuid) && merged.xml.expose().contains("port='6100'"));
    let again = world.definitions.merge(merged.xml.expose(), &spec, None).await.unwrap();
    assert_eq!(again, merged);
    let (fragments, ports) = world.definitions.render(ConsoleUuid::new(merged.uuid), &spec, None).await.unwrap();
    assert!(fragments.devices[0].contains("port='6100'") && ports == merged.ports);
    // Bad XML takes no port.
    let error = world.definitions.merge("<domain>\n<name>x</domain>", &spec, None).await.unwrap_err().to_string();
    assert!(error.starts_with("the domain's XML, line 2, column"), "{error}");
    assert_eq!(world.rows().await, [(6100, false)]);
}

#[tokio::test]
async fn a_given_password_is_used_kept_and_not_shown() {
    let world = World::new().await;
    let spec: ConsoleSpec = serde_json::from_value(json!({"transport": "tcp", "vnc": {"password": "given"}})).unwrap();
    let password = VncPassword::given("<let me>").unwrap();
    let error = world.definitions.apply(&name(), &spec, None).await.unwrap_err().to_string();
    assert!(error.contains("none is given now"), "{error}");
    assert_eq!(world.domain().redefined, 0);
    assert_eq!(world.domain().defined, XML);
    let uuid = ConsoleUuid::new(Uuid::new_v4());
    world.definitions.render(uuid, &spec, None).await.unwrap_err();
    world.definitions.merge(XML, &spec, None).await.unwrap_err();
    assert_eq!(world.rows().await, [], "no port is taken in vain");

    let changed = world.definitions.apply(&name(), &spec, Some(&password)).await.unwrap();
    let defined = world.domain().defined.clone();
    assert!(changed.changed && defined.contains("passwd='&lt;let me&gt;'"), "{defined}");
    assert!(!format!("{changed:?}").contains("let me"));
    // Whoever asks for more does not have to know it.
    let more = json!({"transport": "tcp", "vnc": {"password": "given", "keymap": "de"}, "serial": {"ports": 1}});
    assert!(world.apply(more).await.unwrap().changed);
    assert!(world.domain().defined.contains("passwd='&lt;let me&gt;'"));

    // It comes along from another host, whose ports and paths are replaced.
    let defined = world.domain().defined.clone();
    let elsewhere = defined.replace("6100", "6999").replace("3000", "3999");
    let arrived = world.definitions.incoming(&elsewhere).await.unwrap().unwrap();
    assert!(arrived.expose().contains("passwd='&lt;let me&gt;'"), "{}", arrived.expose());
    assert_eq!(*arrived.expose(), defined);
    let without = elsewhere.replace(" passwd='&lt;let me&gt;'", "");
    let error = world.definitions.incoming(&without).await.unwrap_err().to_string();
    assert!(error.contains("none that was given earlier"), "a screen without it would be open to all: {error}");
}

#[tokio::test]
async fn what_a_later_release_has_noted_stays_as_it_is() {
    let world = World::new().await;
    world.apply(json!({"vnc": {}})).await.unwrap();
    let later = world.domain().defined.replace("<porthole:vnc", "<porthole:spice tls='yes'/><porthole:vnc");
    world.domain().defined = later.clone();
    let spec: ConsoleSpec = serde_json::from_value(json!({"vnc": {}})).unwrap();
    let uuid = ConsoleUuid::new(read(XML.as_bytes()).unwrap().uuid.unwrap());
    for said in [
        world.apply(json!({"transport": "tcp", "vnc": {}, "serial": {"ports": 1}})).await.unwrap_err().to_string(),
        world.definitions.show(&name()).await.unwrap_err().to_string(),
        world.definitions.remove(&name()).await.unwrap_err().to_string(),
        world.definitions.merge(&later, &spec, None).await.unwrap_err().to_string(),
        world.definitions.incoming(&later).await.unwrap_err().to_string(),
        world.definitions.settle(uuid).await.unwrap_err().to_string(),
    ] {
        assert!(said.contains("<spice> in Porthole's metadata is not known to this release"), "{said}");
        assert!(said.contains("Use that release on this host"), "{said}");
    }
    assert_eq!(world.domain().defined, later);
    assert_eq!(world.rows().await, []);
}
