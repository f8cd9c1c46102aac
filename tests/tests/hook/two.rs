//! Two hosts with networks, addresses and libvirtds of their own, between which guests with consoles of Porthole's move.

use std::net::{Ipv4Addr, TcpListener};

use http::Method;
use porthole_tests::agent::{Agent, AgentBuilder, Mint};
use porthole_tests::edge::Node;
use porthole_tests::guest::assert_says_hello;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::network::Network;
use porthole_tests::rfb;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually, eventually_some};
use uuid::Uuid;

use crate::support::{SERIAL, define, ports_of, with_consoles};

/// Both hosts give ports from here on: each finds its guest's numbers free that the other has given.
const LOW: u16 = 10_000;

/// Two hosts with an agent each, and an edge that knows both.
pub(crate) struct Two {
    pub(crate) hosts: [PrivateLibvirt; 2],
    pub(crate) stack: Stack,
    pub(crate) there: Agent,
}

impl Two {
    pub(crate) async fn start() -> Self {
        Self::with(|agent| agent).await
    }

    /// With settings of the second agent.
    pub(crate) async fn with(change: impl FnOnce(AgentBuilder) -> AgentBuilder) -> Self {
        let network = Network::enter().await;
        let host = || async {
            PrivateLibvirt::builder().hooked().network(&network).start().await.expect("a private libvirtd")
        };
        let (a, b) = tokio::join!(host(), host());
        let first = a.clone();
        let stack = Stack::builder().libvirt(&a).agent(move |agent| on(agent, &first)).start().await;
        let there = on(stack.another_agent("compute-2").await.expect("an agent").libvirt(&b), &b);
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

    pub(crate) fn agent(&self, host: usize) -> &Agent {
        [&self.stack.agent, &self.there][host]
    }

    /// A guest with Porthole's consoles, running on the first host.
    pub(crate) async fn guest(&self, transport: &str) -> Uuid {
        let uuid = Uuid::new_v4();
        let name = uuid.to_string();
        define(self.agent(0), &self.hosts[0], uuid, transport).await;
        self.hosts[0].virsh(&["start", &name]).await.expect("it starts");
        uuid
    }

    /// Moves a guest from one host to the other.
    pub(crate) async fn migrate(&self, uuid: Uuid, from: usize, how: &[&str]) -> anyhow::Result<String> {
        let (name, to) = (uuid.to_string(), self.hosts[1 - from].uri_for_hosts());
        self.hosts[from].virsh(&[&["migrate", "--live"], how, &[&name, &to]].concat()).await
    }

    /// Something else on a host listens on these ports, until what this gives is dropped.
    pub(crate) fn take(&self, host: usize, ports: &[u16]) -> Vec<TcpListener> {
        ports.iter().map(|port| self.hosts[host].take_port(*port)).collect()
    }

    /// Each of a guest's consoles shows or says what it must; the ports that it has, all on its host's own address.
    pub(crate) async fn assert_works(&self, uuid: Uuid, host: usize) -> Vec<u16> {
        let agent = self.agent(host);
        let opened = eventually_some(PATIENCE, "the guest to be opened", async || {
            let link = agent.try_mint(Mint::of(uuid)).await.ok()?;
            Some(self.stack.upgrade(&link).open().await)
        });
        let mut viewer = rfb::Client::handshake(opened.await).await.expect("RFB");
        assert!(viewer.full_frame().await.expect("a picture").width > 0);
        let (screen, serial) = listening(&self.xml(uuid, host, &[]).await);
        for port in 0..SERIAL {
            assert_says_hello(&self.stack, agent, uuid, port).await;
        }
        let ports: Vec<u16> = screen.into_iter().chain(serial).collect();
        if !ports.is_empty() {
            self.assert_listens_on_own_address(uuid, host, &[]).await;
        }
        ports
    }

    /// All consoles of a guest listen on the host's own address, and on no other.
    pub(crate) async fn assert_listens_on_own_address(&self, uuid: Uuid, host: usize, which: &[&str]) {
        let xml = self.xml(uuid, host, which).await;
        let found: Vec<Ipv4Addr> = ["listen='", "address='", "host='"]
            .iter()
            .flat_map(|before| xml.split(before).skip(1).filter_map(|rest| rest.split('\'').next()))
            .filter_map(|found| found.parse().ok())
            .collect();
        let own = self.hosts[host].address().expect("an address");
        // The screen says it twice, as an attribute and in a child; the first serial port is a console as well.
        assert!(found.len() >= 2 + SERIAL && found.iter().all(|found| *found == own), "{found:?} {xml}");
    }

    /// Waits until the table of a host has just these ports for a guest.
    pub(crate) async fn wait_for_ports(&self, uuid: Uuid, host: usize, expected: &[u16]) {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        let what = format!("host {host} to have the ports {expected:?} for {uuid}");
        eventually(PATIENCE, what, async || ports_of(self.agent(host), uuid).await == expected).await;
    }

    /// Waits until no port of a host's table is any domain's, and no session is there.
    pub(crate) async fn wait_until_nothing_is_left(&self, host: usize) {
        let agent = self.agent(host);
        eventually(PATIENCE, format!("nothing to be left on host {host}"), async || {
            let (_, answer) = agent.api(Method::GET, "/v1/ports?limit=500", None).await.expect("an answer");
            let owned = answer["ports"].as_array().expect("a list").iter().any(|port| !port["owner"].is_null());
            !owned && agent.sessions().await.is_empty()
        })
        .await;
    }

    /// The ports in a guest's definition are those that it has.
    pub(crate) async fn wait_until_settled(&self, uuid: Uuid, host: usize, ports: &[u16]) {
        eventually(PATIENCE, "the definition to have this host's ports", async || {
            let arguments = ["dumpxml", "--inactive", &uuid.to_string()];
            let (screen, serial) = listening(&self.hosts[host].virsh(&arguments).await.unwrap_or_default());
            screen.into_iter().chain(serial).collect::<Vec<_>>() == ports
        })
        .await;
    }

    async fn xml(&self, uuid: Uuid, host: usize, which: &[&str]) -> String {
        self.hosts[host].virsh(&[&["dumpxml", &uuid.to_string()], which].concat()).await.expect("its XML")
    }
}

/// An agent's settings on this host.
fn on(agent: AgentBuilder, host: &PrivateLibvirt) -> AgentBuilder {
    with_consoles(agent, host, LOW).set("ports.listen", host.address().expect("an address").to_string())
}

/// The ports in a guest's XML: its screen's, and its serial ports'.
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
