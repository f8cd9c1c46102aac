//! Files that change under running daemons: what is new holds for what comes, and no session ends by it.

use nix::sys::signal::Signal;
use porthole_tests::agent::Agent;
use porthole_tests::edge::{Edge, Node};
use porthole_tests::pki::Pki;
use porthole_tests::wait::eventually;

use super::support::console::Console;
use super::support::raw::{Tls, certificates};
use super::support::{CONSOLE, NOTICED, assert_serves, assert_unharmed, echo_through, stack, with_console};

fn count(log: &str, text: &str) -> usize {
    log.lines().filter(|line| line.contains(text)).count()
}

async fn logged(log: impl Fn() -> String, text: &str, times: usize) {
    eventually(NOTICED, format!("{text:?} in the log"), async || count(&log(), text) >= times).await;
}

#[tokio::test]
async fn a_new_public_certificate_is_shown_to_new_connections_and_rubbish_is_not() {
    const REFUSED: &str = "the public certificate cannot be used";
    let console = Console::echo().await;
    let stack = stack(&console).start().await;
    let (edge, files) = (&stack.edge, stack.pki.public().await.unwrap());
    let mut session = stack.open(CONSOLE).await;
    echo_through(&mut session, b"before").await;

    let old_trust = Tls::trusting(edge.ca(), "localhost");
    let old = old_trust.shown(edge.address()).await.unwrap();
    let pair = (std::fs::read(&files.certificate).unwrap(), std::fs::read(&files.key).unwrap());
    assert_eq!(old, certificates(&files.certificate)[0]);

    stack.pki.run(&["renew", "public"]).await.unwrap();
    let new = certificates(&files.certificate)[0].clone();
    assert_ne!(new, old);
    let new_trust = Tls::trusting(&files.certificate, "localhost");
    eventually(NOTICED, "the new certificate", async || {
        new_trust.shown(edge.address()).await.is_ok_and(|it| it == new)
    })
    .await;
    // A client that could resume a session of the old one does not get around the new.
    old_trust.shown(edge.address()).await.unwrap_err();
    echo_through(&mut session, b"after").await;
    assert_serves(&stack).await;

    // Rubbish, half a pair, nothing: the one in force stays so, and the log tells.
    let refused = || edge.log();
    std::fs::write(&files.certificate, "-----BEGIN CERTIFICATE-----\nrubbish\n").unwrap();
    logged(refused, REFUSED, 1).await;
    std::fs::write(&files.certificate, &pair.0).unwrap();
    logged(refused, REFUSED, 2).await;
    std::fs::remove_file(&files.certificate).unwrap();
    logged(refused, REFUSED, 3).await;
    let line = edge.process().wait_for_log_line(REFUSED).await;
    assert!(line.contains(&*files.certificate.to_string_lossy()), "{line}");
    assert_eq!(new_trust.shown(edge.address()).await.unwrap(), new);
    assert_eq!(edge.admin_fetch("/readyz").await.unwrap().status(), 200);

    // The old pair is a pair again; SIGHUP spares the wait.
    std::fs::write(&files.key, &pair.1).unwrap();
    std::fs::write(&files.certificate, &pair.0).unwrap();
    assert!(edge.process().signal(Signal::SIGHUP));
    eventually(NOTICED, "the old certificate", async || {
        old_trust.shown(edge.address()).await.is_ok_and(|it| it == old)
    })
    .await;
    echo_through(&mut session, b"still").await;
    assert_serves(&stack).await;
}

/// What becomes of opening a console of this agent.
async fn outcome(edge: &Edge, agent: &Agent) -> String {
    let link = agent.mint(CONSOLE).await;
    match edge.upgrade(&link.url).protocols(&["binary"]).send().await.unwrap() {
        porthole_tests::ws::Answer::Opened(session) => {
            session.close().await;
            "opened".to_owned()
        }
        refused @ porthole_tests::ws::Answer::Refused { .. } => refused.refusal().1,
    }
}

async fn becomes(edge: &Edge, agent: &Agent, wanted: &str) {
    eventually(NOTICED, format!("{} to be {wanted}", agent.name()), async || outcome(edge, agent).await == wanted)
        .await;
}

#[tokio::test]
async fn nodes_come_and_go_and_sessions_stay() {
    const REFUSED: &str = "the node directory cannot be used";
    let console = Console::echo().await;
    let stack = stack(&console).start().await;
    let edge = &stack.edge;
    let second = with_console(stack.another_agent("compute-2").await.unwrap(), CONSOLE, console.address());
    let second = second.start().await.unwrap();
    assert_eq!(outcome(edge, &second).await, "unknown_node");

    edge.write_nodes(&[(&stack.agent).into(), (&second).into()]).unwrap();
    becomes(edge, &second, "opened").await;
    let link = second.mint(CONSOLE).await;
    let mut session = edge.upgrade(&link.url).protocols(&["binary"]).open().await;
    echo_through(&mut session, b"before").await;

    edge.write_nodes(&[(&stack.agent).into()]).unwrap();
    becomes(edge, &second, "unknown_node").await;
    echo_through(&mut session, b"gone from the directory, not from the wire").await;

    // Another address under the same name is dialled from then on.
    let nowhere = Node::new("compute-2", format!("127.0.0.1:{}", porthole_tests::ports::free_port()));
    edge.write_nodes(&[(&stack.agent).into(), nowhere]).unwrap();
    becomes(edge, &second, "agent_unreachable").await;
    let disguised = Node::new("compute-2", stack.agent.tunnel());
    edge.write_nodes(&[(&stack.agent).into(), disguised]).unwrap();
    eventually(NOTICED, "a wrong certificate in the log", async || {
        assert_eq!(outcome(edge, &second).await, "agent_unreachable");
        edge.log().contains("no TLS connection with that agent")
    })
    .await;

    // A broken file, one with a contradiction, and none change nothing.
    let nodes = edge.config_path().with_file_name("nodes.toml");
    for (times, text) in [(1, "[[node]\nname"), (2, "[[node]]\nname = \"a\"\naddress = \"b\"\n")] {
        std::fs::write(&nodes, text).unwrap();
        logged(|| edge.log(), REFUSED, times).await;
        assert_eq!(outcome(edge, &stack.agent).await, "opened");
    }
    let told = edge.process().wait_for_log_line(REFUSED).await;
    assert!(told.contains("nodes.toml") && told.contains("line 1"), "{told}");
    std::fs::remove_file(&nodes).unwrap();
    logged(|| edge.log(), REFUSED, 3).await;
    assert_eq!(outcome(edge, &stack.agent).await, "opened");

    edge.write_nodes(&[(&stack.agent).into(), (&second).into()]).unwrap();
    becomes(edge, &second, "opened").await;
    echo_through(&mut session, b"after").await;
    assert_unharmed(second.process());
    assert_serves(&stack).await;
}

#[tokio::test]
async fn both_ends_of_the_tunnel_are_renewed_under_a_session() {
    const READ: &str = "tunnel certificate and CA read";
    const REFUSED: &str = "the tunnel's new certificate files cannot be used";
    const INTERNAL_READ: &str = "the certificate towards agents was read again";
    let console = Console::echo().await;
    let stack = stack(&console).start().await;
    let (edge, agent, pki) = (&stack.edge, &stack.agent, &stack.pki);
    let (own, internal) = (pki.agent("compute-1").await.unwrap(), pki.edge("edge-1").await.unwrap());
    let peer = Tls::new(&pki.ca(), "127.0.0.1", Some((&internal.certificate, &internal.key)), &["http/1.1"]);
    let mut session = stack.open(CONSOLE).await;
    echo_through(&mut session, b"before").await;
    let expires = agent.status().await["certificate_expires"].clone();
    let old = peer.shown(agent.tunnel()).await.unwrap();

    pki.run(&["renew", "--days", "30", "agent", "compute-1"]).await.unwrap();
    let new = certificates(&own.certificate)[0].clone();
    assert_ne!(new, old);
    eventually(NOTICED, "the new certificate", async || peer.shown(agent.tunnel()).await.is_ok_and(|it| it == new))
        .await;
    assert_ne!(agent.status().await["certificate_expires"], expires);
    assert_serves(&stack).await;

    let reads = count(&edge.log(), INTERNAL_READ);
    pki.run(&["renew", "edge", "edge-1"]).await.unwrap();
    logged(|| edge.log(), INTERNAL_READ, reads + 1).await;
    assert_serves(&stack).await;

    // Half-written files change nothing on either side.
    let good = std::fs::read(&own.certificate).unwrap();
    std::fs::write(&own.certificate, &good[..good.len() / 2]).unwrap();
    logged(|| agent.log(), REFUSED, 1).await;
    let key = std::fs::read(&internal.key).unwrap();
    std::fs::write(&internal.key, "rubbish").unwrap();
    logged(|| edge.log(), "the certificate towards agents cannot be used", 1).await;
    assert_serves(&stack).await;
    std::fs::write(&internal.key, key).unwrap();
    std::fs::write(&own.certificate, good).unwrap();

    // Trust withdrawn: the edge's tickets of before do not help it. Who is connected stays so.
    let reads = count(&agent.log(), READ);
    let other = Pki::open(&stack.directory().join("other-ca")).await.unwrap();
    let trust = std::fs::read(&own.ca).unwrap();
    std::fs::copy(other.ca(), &own.ca).unwrap();
    logged(|| agent.log(), READ, reads + 1).await;
    becomes(edge, agent, "agent_unreachable").await;
    echo_through(&mut session, b"not cut off").await;
    std::fs::write(&own.ca, trust).unwrap();
    becomes(edge, agent, "opened").await;

    echo_through(&mut session, b"after").await;
    assert_eq!(agent.sessions().await.len(), 1);
    assert_serves(&stack).await;
}
