//! IPv6 on every leg, and edges behind a load balancer that ends TLS.

use std::net::SocketAddr;

use porthole_tests::edge::Edge;
use porthole_tests::ports::free_port;
use porthole_tests::stack::Stack;
use porthole_tests::ws::Upgrade;

use super::support::console::{Console, Manner};
use super::support::{CONSOLE, Ground, assert_unharmed, echo_through, stack, with_console};

async fn client_address(stack: &Stack) -> String {
    let sessions = stack.agent.sessions().await;
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    sessions[0]["client_address"].as_str().unwrap().to_owned()
}

async fn assert_gone(stack: &Stack) {
    porthole_tests::wait::eventually(porthole_tests::wait::PATIENCE, "the session's end", async || {
        stack.agent.sessions().await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn everything_works_where_there_is_only_ipv6() {
    let console = Console::start("[::1]:0", Manner::Echo).await;
    let (port, tunnel) = (free_port(), SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], free_port())));
    let base = format!("https://[::1]:{port}");
    let (address, links) = (console.address(), format!("{base}/vnc_auto.html"));
    let stack = Stack::builder()
        .agent(move |agent| {
            let agent = agent.tunnel(tunnel).url("tcp", &links).set("external.networks", vec!["::1/128"]);
            with_console(agent, CONSOLE, address)
        })
        .edge(move |edge| edge.port(port).set("public.listen", vec![format!("[::1]:{port}")]))
        .start()
        .await;
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err(), "IPv4 was not asked for");

    let link = stack.mint(CONSOLE).await;
    assert!(link.url.starts_with(&base), "{}", link.url);
    // As a browser has it: the link's own host, and an origin in whatever spelling.
    let upgrade = |origin: &str| Upgrade::to(&link.url).ca(stack.edge.ca()).bound(&"A".repeat(43)).origin(origin);
    for origin in
        ["https://[::2]", "https://[::1].evil", "https://localhost", "http://[::1]", "https://::1", "https://[]"]
    {
        let refusal = upgrade(origin).send().await.unwrap().refusal();
        assert_eq!(refusal, (403, "origin_refused".to_owned()), "{origin}");
    }
    for origin in ["https://[::1]", "https://[0:0:0::1]:8443", "https://[0000::0001]"] {
        let mut session = upgrade(origin).open().await;
        echo_through(&mut session, b"over six").await;
        assert!(client_address(&stack).await.starts_with("[::1]:"), "{}", client_address(&stack).await);
        session.close().await;
    }
    assert_unharmed(stack.edge.process());
}

#[tokio::test]
async fn one_socket_takes_both_families_and_names_each_as_it_is() {
    let console = Console::echo().await;
    let (port, tunnel) = (free_port(), free_port());
    let any = |port: u16| vec![format!("[::]:{port}")];
    let stack = stack(&console)
        .agent(move |agent| agent.set("tunnel.listen", any(tunnel)))
        .edge(move |edge| edge.port(port).set("public.listen", any(port)))
        .start()
        .await;
    // The agent is reached by either family, too: the first address of a name need not be the one.
    for node in [format!("127.0.0.1:{tunnel}"), format!("[::1]:{tunnel}"), format!("localhost:{tunnel}")] {
        let node = porthole_tests::edge::Node::new("compute-1", node);
        let edge = Edge::builder(&stack.directory().join("other"), "edge-2", &stack.pki).await.unwrap();
        let edge = edge.node(node).start().await.unwrap();
        let link = stack.mint(CONSOLE).await;
        let mut session = edge.upgrade(&link.url).protocols(&["binary"]).open().await;
        echo_through(&mut session, b"either").await;
        session.close().await;
        assert_gone(&stack).await;
    }
    stack.edge.write_nodes(&[porthole_tests::edge::Node::new("compute-1", format!("localhost:{tunnel}"))]).unwrap();
    for (host, expected) in [("127.0.0.1", "127.0.0.1:"), ("::1", "[::1]:")] {
        let mut opened = None;
        let link = stack.mint(CONSOLE).await;
        let request = stack.upgrade(&link).connect_to(SocketAddr::new(host.parse().unwrap(), port));
        porthole_tests::wait::eventually(super::support::NOTICED, "the node's address", async || {
            opened = match request.send().await.unwrap() {
                porthole_tests::ws::Answer::Opened(session) => Some(session),
                porthole_tests::ws::Answer::Refused { .. } => None,
            };
            opened.is_some()
        })
        .await;
        let mut session = opened.unwrap();
        echo_through(&mut session, b"both").await;
        let address = client_address(&stack).await;
        assert!(address.starts_with(expected), "{address}");
        session.close().await;
        assert_gone(&stack).await;
    }
}

#[tokio::test]
async fn behind_a_load_balancer_the_schemes_are_those_outside() {
    let console = Console::echo().await;
    let stack = stack(&console).edge(|edge| edge.plain_http().set("public.scheme", "https")).start().await;
    let ground = Ground::new().await;
    let trial = Edge::builder(&ground.directory.path().join("trial"), "edge-2", &stack.pki).await.unwrap();
    let trial = trial.plain_http().node(&stack.agent).start().await.unwrap();

    let link = stack.mint(CONSOLE).await;
    let outcome = async |edge: &Edge, origin: Option<&str>| {
        let mut request = edge.upgrade(&link.url).bound(&"I".repeat(43));
        if let Some(origin) = origin {
            request = request.origin(origin);
        }
        match request.send().await.unwrap() {
            porthole_tests::ws::Answer::Opened(mut session) => {
                echo_through(&mut session, b"plain").await;
                session.close().await;
                "opened".to_owned()
            }
            refused @ porthole_tests::ws::Answer::Refused { .. } => refused.refusal().1,
        }
    };
    for (origin, at_https, at_http) in [
        (None, "opened", "opened"),
        (Some("https://localhost"), "opened", "opened"),
        (Some("https://LOCALHOST:8443"), "opened", "opened"),
        (Some("http://localhost"), "origin_refused", "opened"),
        (Some("http://evil.example"), "origin_refused", "origin_refused"),
        (Some("https://evil.example"), "origin_refused", "origin_refused"),
        (Some("null"), "origin_refused", "origin_refused"),
        (Some(""), "origin_refused", "origin_refused"),
        (Some("file://"), "origin_refused", "origin_refused"),
        (Some("https://"), "origin_refused", "origin_refused"),
        (Some("wss://localhost"), "origin_refused", "origin_refused"),
        (Some("localhost"), "origin_refused", "origin_refused"),
    ] {
        assert_eq!(outcome(&stack.edge, origin).await, at_https, "{origin:?} under https");
        assert_eq!(outcome(&trial, origin).await, at_http, "{origin:?} under http");
    }
    // Whatever a client says about itself, it is known by its own address.
    let request = stack.upgrade(&link).without("Sec-WebSocket-Protocol").bound(&"I".repeat(43));
    let mut session = request.header("X-Forwarded-For", "192.0.2.1").header("Forwarded", "for=192.0.2.1").open().await;
    echo_through(&mut session, b"who").await;
    assert!(client_address(&stack).await.starts_with("127.0.0.1:"));
    assert_unharmed(stack.edge.process());
    assert_unharmed(trial.process());
}
