//! Guests with consoles of Porthole's that move between two hosts.
//!
//! Both hosts are on one network, so whatever port a guest has at its source is taken at its destination.

use nix::sys::signal::Signal;
use porthole_tests::agent::{Agent, AgentBuilder, Mint};
use porthole_tests::edge::Node;
use porthole_tests::guest::assert_says_hello;
use porthole_tests::libvirt::{Migration, PrivateLibvirt};
use porthole_tests::ports::free_port;
use porthole_tests::process::Identity;
use porthole_tests::rfb;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually, eventually_some};
use uuid::Uuid;

use crate::support::{SERIAL, define, ports_of, some_ports, with_consoles};

/// Two hosts with an agent each, and an edge that knows both.
struct Two {
    hosts: [PrivateLibvirt; 2],
    stack: Stack,
    there: Agent,
}

impl Two {
    async fn start() -> Self {
        Self::with(|agent| agent).await
    }

    /// With settings of the second agent.
    async fn with(change: impl FnOnce(AgentBuilder) -> AgentBuilder) -> Self {
        let host = || async { PrivateLibvirt::builder().hooked().start().await.expect("a private libvirtd") };
        let (a, b) = tokio::join!(host(), host());
        let low = some_ports();
        let first = a.clone();
        let stack = Stack::builder().libvirt(&a).agent(move |agent| with_consoles(agent, &first, low)).start().await;
        let there = with_consoles(stack.another_agent("compute-2").await.expect("an agent").libvirt(&b), &b, low);
        let there = change(there).start().await.expect("an agent");
        let probe = b.guest("probe").serials([]).start().await;
        let link = there.mint(&probe).await;
        stack.edge.write_nodes(&[Node::from(&stack.agent), Node::from(&there)]).expect("nodes.toml");
        let known = async || {
            let answer = stack.edge.inspect(&serde_json::json!({ "token": link.token })).await.expect("an answer");
            answer.headers().get("x-porthole-reason").is_none_or(|reason| reason != "unknown_node")
        };
        eventually(PATIENCE, "the edge to read its new directory", known).await;
        Self { hosts: [a, b], stack, there }
    }

    fn agent(&self, host: usize) -> &Agent {
        [&self.stack.agent, &self.there][host]
    }

    /// A guest with Porthole's consoles, running on the first host.
    async fn guest(&self, transport: &str) -> Uuid {
        let uuid = Uuid::new_v4();
        let name = uuid.to_string();
        define(self.agent(0), &self.hosts[0], uuid, transport).await;
        self.hosts[0].virsh(&["start", &name]).await.expect("it starts");
        uuid
    }

    /// Moves a guest from one host to the other.
    async fn migrate(&self, uuid: Uuid, from: usize, how: &[&str]) -> anyhow::Result<String> {
        let (name, to) = (uuid.to_string(), self.hosts[1 - from].uri());
        let by = format!("tcp://127.0.0.1:{}", free_port());
        let arguments = [&["migrate", "--live", "--listen-address", "127.0.0.1"], how, &[&name, &to, &by]].concat();
        self.hosts[from].virsh(&arguments).await
    }

    /// Each of a guest's consoles shows or says what it must; the ports that it has.
    async fn assert_works(&self, uuid: Uuid, host: usize) -> Vec<u16> {
        let agent = self.agent(host);
        let opened = eventually_some(PATIENCE, "the guest to be opened", async || {
            let link = agent.try_mint(Mint::of(uuid)).await.ok()?;
            Some(self.stack.upgrade(&link).open().await)
        });
        let mut viewer = rfb::Client::handshake(opened.await).await.expect("RFB");
        assert!(viewer.full_frame().await.expect("a picture").width > 0);
        let (screen, serial) = live_ports(&self.hosts[host], uuid).await;
        for port in 0..SERIAL {
            assert_says_hello(&self.stack, agent, uuid, port).await;
        }
        screen.into_iter().chain(serial).collect()
    }

    /// All consoles of a running guest, and of its definition, are on that address and on no other.
    async fn assert_listens_on(&self, address: &str, uuid: Uuid, host: usize) {
        for which in [&["dumpxml"][..], &["dumpxml", "--inactive"]] {
            let xml = self.hosts[host].virsh(&[which, &[&uuid.to_string()]].concat()).await.expect("its XML");
            let found: Vec<_> = ["listen='", "address='", "host='"]
                .iter()
                .flat_map(|before| xml.split(before).skip(1).filter_map(|rest| rest.split('\'').next()))
                .filter(|found| found.starts_with("127."))
                .collect();
            assert!(found.len() >= 2 + SERIAL && found.iter().all(|found| *found == address), "{found:?} {xml}");
        }
    }

    /// The emulator of a guest.
    async fn emulator(&self, uuid: Uuid, host: usize) -> Identity {
        let host = &self.hosts[host];
        let name = host.virsh(&["domname", &uuid.to_string()]).await.expect("a name");
        let file = host.directory().join(format!("run/libvirt/qemu/{}.pid", name.trim()));
        let pid = std::fs::read_to_string(file).expect("it runs").trim().parse().expect("a pid");
        host.outer_pid(pid).and_then(Identity::of).expect("it runs")
    }

    /// Waits until the table of a host has just these ports for a guest.
    async fn wait_for_ports(&self, uuid: Uuid, host: usize, expected: &[u16]) {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        let what = format!("host {host} to have the ports {expected:?} for {uuid}");
        eventually(PATIENCE, what, async || ports_of(self.agent(host), uuid).await == expected).await;
    }

    /// The ports in a guest's definition are those that it has.
    async fn wait_until_settled(&self, uuid: Uuid, host: usize, ports: &[u16]) {
        eventually(PATIENCE, "the definition to have this host's ports", async || {
            let xml = self.hosts[host].virsh(&["dumpxml", "--inactive", &uuid.to_string()]).await.unwrap_or_default();
            let (screen, serial) = listening(&xml);
            screen.into_iter().chain(serial).collect::<Vec<_>>() == ports
        })
        .await;
    }
}

/// The ports that a running guest listens on: its screen's, and its serial ports'.
async fn live_ports(host: &PrivateLibvirt, uuid: Uuid) -> (Option<u16>, Vec<u16>) {
    listening(&host.virsh(&["dumpxml", &uuid.to_string()]).await.expect("its XML"))
}

/// The values of an attribute, in all elements that begin so.
fn listening(xml: &str) -> (Option<u16>, Vec<u16>) {
    let values = |element: &str, attribute: &str| -> Vec<u16> {
        let elements = xml.split(element).skip(1).map(|rest| rest.split('>').next().unwrap_or_default());
        let value = |text: &str| text.split(attribute).nth(1)?.split('\'').nth(1)?.parse().ok();
        elements.filter_map(value).collect()
    };
    let mut serial = Vec::new();
    for device in xml.split("<serial ").skip(1).filter_map(|rest| rest.split("</serial>").next()) {
        let source = device.split("<source ").nth(1).and_then(|rest| rest.split('>').next()).unwrap_or_default();
        let port = source.split("service=").nth(1).and_then(|rest| rest.split('\'').nth(1));
        serial.extend(port.and_then(|port| port.parse::<u16>().ok()));
    }
    (values("<graphics type='vnc'", " port=").first().copied(), serial)
}

#[tokio::test]
async fn consoles_on_ports_work_on_the_new_host_and_after_a_cold_start_there() {
    // The hosts have addresses of their own.
    let two = Two::with(|agent| agent.set("ports.listen", "127.0.0.2")).await;
    let uuid = two.guest("tcp").await;
    let before = two.assert_works(uuid, 0).await;
    assert_eq!(before.len(), 1 + SERIAL);
    two.assert_listens_on("127.0.0.1", uuid, 0).await;
    two.migrate(uuid, 0, &["--p2p", "--persistent", "--undefinesource"]).await.expect("it moves");
    let after = two.assert_works(uuid, 1).await;
    assert!(after.len() == before.len() && after.iter().all(|port| !before.contains(port)), "{before:?} {after:?}");
    two.wait_for_ports(uuid, 0, &[]).await;
    two.wait_for_ports(uuid, 1, &after).await;
    two.wait_until_settled(uuid, 1, &after).await;
    two.assert_listens_on("127.0.0.2", uuid, 1).await;

    let name = uuid.to_string();
    two.hosts[1].virsh(&["destroy", &name]).await.expect("it stops");
    two.hosts[1].virsh(&["start", &name]).await.expect("it starts");
    assert_eq!(two.assert_works(uuid, 1).await, after);
    two.wait_for_ports(uuid, 1, &after).await;
}

#[tokio::test]
async fn it_goes_there_and_back_ten_times_and_leaves_nothing_behind() {
    let two = Two::start().await;
    let uuids = [two.guest("tcp").await, two.guest("sealed").await];
    for round in 0..10 {
        let from = round % 2;
        // By the hosts themselves, or by whoever asks for it.
        let how: &[&str] = if round % 4 < 2 { &["--p2p", "--persistent"] } else { &["--persistent"] };
        let how = [how, &["--undefinesource"]].concat();
        for uuid in uuids {
            two.migrate(uuid, from, &how).await.unwrap_or_else(|error| panic!("round {round}: {error:#}"));
        }
        let [tcp, sealed] = uuids;
        let ports = two.assert_works(tcp, 1 - from).await;
        assert_eq!((ports.len(), two.assert_works(sealed, 1 - from).await), (1 + SERIAL, vec![]), "round {round}");
        two.wait_for_ports(tcp, from, &[]).await;
        two.wait_for_ports(tcp, 1 - from, &ports).await;
        two.wait_until_settled(tcp, 1 - from, &ports).await;
    }
}

#[tokio::test]
async fn a_migration_that_is_refused_leaves_the_guest_where_it_is() {
    // A range that has no room for a screen and two serial ports.
    let two = Two::with(|agent| agent.set("ports.serial", "14990:14991")).await;
    let uuid = two.guest("tcp").await;
    let before = two.assert_works(uuid, 0).await;
    let how = ["--p2p", "--persistent", "--undefinesource"];
    let refused = format!("{:#}", two.migrate(uuid, 0, &how).await.expect_err("there is no room"));
    let expected = "porthole: the domain cannot be given consoles of this host: of the 1 ports of [ports] serial";
    assert!(refused.contains(expected), "{refused}");
    assert_eq!(two.assert_works(uuid, 0).await, before);
    two.wait_for_ports(uuid, 0, &before).await;
    assert_eq!(ports_of(two.agent(1), uuid).await, Vec::<u16>::new());
}

#[tokio::test]
async fn a_migration_that_breaks_off_leaves_the_guest_where_it_is() {
    let two = Two::start().await;
    let uuid = two.guest("tcp").await;
    let before = two.assert_works(uuid, 0).await;
    for by_kill in [false, true] {
        let migration = Migration::begin(&two.hosts[0], uuid, &two.hosts[1], &["--p2p", "--persistent"]).await;
        migration.begun.await.expect("it has begun");
        assert_eq!(ports_of(two.agent(1), uuid).await.len(), before.len(), "the other host has made room");
        if by_kill {
            two.emulator(uuid, 1).await.signal(Signal::SIGKILL);
        } else {
            two.hosts[0].virsh(&["domjobabort", &uuid.to_string()]).await.expect("it is aborted");
        }
        drop(migration.go);
        migration.command.await.expect("virsh ends").expect_err("it has failed");
        assert_eq!(two.assert_works(uuid, 0).await, before);
        two.wait_for_ports(uuid, 0, &before).await;
        two.wait_for_ports(uuid, 1, &[]).await;
    }
}

#[tokio::test]
async fn without_an_agent_there_what_needs_no_port_moves_and_the_rest_stays() {
    let mut two = Two::start().await;
    let (tcp, sealed) = (two.guest("tcp").await, two.guest("sealed").await);
    let before = two.assert_works(tcp, 0).await;
    two.there.crash();
    let how = ["--p2p", "--persistent", "--undefinesource"];
    let refused = format!("{:#}", two.migrate(tcp, 0, &how).await.expect_err("its ports are taken there"));
    assert!(!refused.contains("porthole:"), "QEMU says so: {refused}");
    assert_eq!(two.assert_works(tcp, 0).await, before);
    two.migrate(sealed, 0, &how).await.expect("it moves");
    two.there.start_again().await;
    eventually(PATIENCE, "the guest to be opened", async || two.there.try_mint(Mint::of(sealed)).await.is_ok()).await;
    two.hosts[1].virsh(&["destroy", &sealed.to_string()]).await.expect("it stops");
}

#[tokio::test]
async fn a_saved_guest_whose_ports_were_taken_gets_others() {
    let two = Two::start().await;
    let (uuid, host) = (two.guest("tcp").await, &two.hosts[0]);
    let (name, before) = (uuid.to_string(), two.assert_works(uuid, 0).await);
    host.virsh(&["managedsave", &name]).await.expect("it is saved");
    two.wait_for_ports(uuid, 0, &before).await;
    host.virsh(&["start", &name]).await.expect("it goes on");
    assert_eq!(two.assert_works(uuid, 0).await, before, "nobody wanted them meanwhile");

    host.virsh(&["managedsave", &name]).await.expect("it is saved");
    let _theirs = tokio::net::TcpListener::bind(("127.0.0.1", before[1])).await.expect("it is free");
    host.virsh(&["start", &name]).await.expect("it goes on");
    let after = two.assert_works(uuid, 0).await;
    let kept: Vec<_> = after.iter().filter(|port| before.contains(port)).collect();
    assert_eq!((after.len(), kept), (1 + SERIAL, vec![&before[0], &before[2]]), "by device, and only where it must");
    two.wait_for_ports(uuid, 0, &after).await;
    two.wait_until_settled(uuid, 0, &after).await;
    host.virsh(&["destroy", &name]).await.expect("it stops");
    host.virsh(&["start", &name]).await.expect("it starts");
    assert_eq!(two.assert_works(uuid, 0).await, after);
}
