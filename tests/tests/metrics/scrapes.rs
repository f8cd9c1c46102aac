//! What happens is counted once, on both sides, and under nobody's name.

use porthole_shared::names::ConsoleKind;
use porthole_shared::reason::Reason;
use porthole_tests::agent::Mint;
use porthole_tests::edge::Node;
use porthole_tests::wait::{PATIENCE, eventually};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{self, CONSOLE, echo, stack};

const REQUESTOR: &str = "somebody-special";

/// Is exactly so many more than before.
fn grew(after: f64, before: f64, by: u32) -> bool {
    (after - before - f64::from(by)).abs() < 0.5
}

#[tokio::test]
async fn mints_sessions_bytes_and_refusals_are_counted_on_both_sides() {
    let stack = stack(echo().await).start().await;
    let (agent, edge) = (support::agent(&stack.agent).await, support::edge(&stack.edge).await);
    assert!(agent.text().contains(concat!("porthole_agent_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1")));
    assert!(edge.text().contains(concat!("porthole_edge_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1")));
    assert!(grew(edge.count("porthole_edge_nodes"), 0.0, 1));
    for left in [
        agent.get("porthole_agent_certificate_expires_in_seconds{certificate=\"tunnel\"}"),
        edge.get("porthole_edge_certificate_expires_in_seconds{certificate=\"agents\"}"),
        edge.get("porthole_edge_certificate_expires_in_seconds{certificate=\"public\"}"),
    ] {
        assert!(left.is_some_and(|seconds| seconds > 3600.0), "{left:?}");
    }
    // Without libvirt there is nothing to be told of it.
    assert_eq!(agent.get("porthole_agent_libvirt_connected"), None);

    let link = stack.mint(Mint::of(CONSOLE).policy("once").field("requestor", REQUESTOR)).await;
    let mut session = stack.upgrade(&link).open().await;
    session.send_binary(&[7; 1000]).await.unwrap();
    let mut came = 0;
    while came < 1000 {
        came += session.binary().await.len();
    }
    // What went out is counted when it is out.
    eventually(PATIENCE, "all bytes to be counted", async || {
        let (agent, edge) = (support::agent(&stack.agent).await, support::edge(&stack.edge).await);
        agent.count("porthole_agent_bytes_total{kind=\"tcp\",direction=\"out\"}") >= 1000.0
            && edge.count("porthole_edge_bytes_total{direction=\"out\"}") >= 1000.0
    })
    .await;
    let (now, edge_now) = (support::agent(&stack.agent).await, support::edge(&stack.edge).await);
    for (sample, by) in [
        ("porthole_agent_mints_total{kind=\"tcp\"}", 1),
        ("porthole_agent_redeems_total{kind=\"tcp\"}", 1),
        ("porthole_agent_sessions{kind=\"tcp\"}", 1),
        ("porthole_agent_connections{kind=\"tcp\"}", 1),
        ("porthole_agent_bytes_total{kind=\"tcp\",direction=\"in\"}", 1000),
        ("porthole_agent_bytes_total{kind=\"tcp\",direction=\"out\"}", 1000),
        ("porthole_agent_console_open_seconds_count{kind=\"tcp\"}", 1),
        ("porthole_agent_mints_total{kind=\"vnc\"}", 0),
    ] {
        assert!(grew(now.count(sample), agent.count(sample), by), "{sample} in\n{}", now.text());
    }
    for sample in ["porthole_agent_tls_handshake_seconds_count", "porthole_agent_database_write_seconds_count"] {
        assert!(now.count(sample) > agent.count(sample), "{sample}");
    }
    for (sample, by) in
        [("porthole_edge_consoles_opened_total{kind=\"tcp\"}", 1), ("porthole_edge_sessions{kind=\"tcp\"}", 1)]
    {
        assert!(grew(edge_now.count(sample), edge.count(sample), by), "{sample} in\n{}", edge_now.text());
    }
    for sample in [
        "porthole_edge_tls_handshake_seconds_count",
        "porthole_edge_agent_dial_seconds_count",
        "porthole_edge_agent_answer_seconds_count",
        "porthole_edge_connections",
    ] {
        assert!(edge_now.count(sample) > edge.count(sample), "{sample} in\n{}", edge_now.text());
    }
    // With the frames' heads, and all of it through two atomics.
    for direction in ["in", "out"] {
        let sample = format!("porthole_edge_bytes_total{{direction=\"{direction}\"}}");
        assert!(edge_now.count(&sample) >= 1000.0, "{sample}");
    }

    // Bytes stay when their session is gone, and the refusal of a used link is counted where it is given.
    session.close().await;
    eventually(PATIENCE, "the end of the session", async || stack.agent.sessions().await.is_empty()).await;
    assert_eq!(stack.upgrade(&link).send().await.unwrap().refusal(), (403, "used".to_owned()));
    let refused = stack.agent.try_mint("no-such-machine").await.unwrap_err();
    assert_eq!(refused.code, "no_such_console");
    let ended = "porthole_edge_sessions_ended_total";
    eventually(PATIENCE, "the edge to count the end", async || {
        let now = support::edge(&stack.edge).await;
        ["client_closed", "agent_closed"].iter().any(|end| now.count(&format!("{ended}{{end=\"{end}\"}}")) > 0.5)
    })
    .await;
    let (then, edge_then) = (support::agent(&stack.agent).await, support::edge(&stack.edge).await);
    for (sample, is) in [
        ("porthole_agent_sessions{kind=\"tcp\"}", 0),
        ("porthole_agent_bytes_total{kind=\"tcp\",direction=\"in\"}", 1000),
        ("porthole_agent_bytes_total{kind=\"tcp\",direction=\"out\"}", 1000),
        ("porthole_agent_connections_ended_total{kind=\"tcp\",reason=\"client_closed\"}", 1),
        ("porthole_agent_refusals_total{request=\"console\",reason=\"used\"}", 1),
        ("porthole_agent_mints_refused_total{reason=\"no_such_console\"}", 1),
        ("porthole_agent_database_write_failures_total", 0),
    ] {
        assert!(grew(then.count(sample), 0.0, is), "{sample} in\n{}", then.text());
    }
    for (sample, is) in [
        ("porthole_edge_sessions{kind=\"tcp\"}", 0),
        ("porthole_edge_refusals_total{request=\"console\",reason=\"used\"}", 1),
    ] {
        assert!(grew(edge_then.count(sample), 0.0, is), "{sample} in\n{}", edge_then.text());
    }

    // An agent that is away, and a client that speaks no TLS.
    let elsewhere = Node::new("compute-1", "127.0.0.1:1");
    stack.edge.write_nodes(&[elsewhere]).unwrap();
    let another = stack.mint(CONSOLE).await;
    let question = serde_json::json!({ "token": another.token });
    eventually(PATIENCE, "the edge to dial elsewhere", async || {
        let answer = stack.edge.inspect(&question).await.unwrap();
        answer.headers().get("x-porthole-reason").is_some_and(|reason| reason == "agent_unreachable")
    })
    .await;
    assert_eq!(stack.upgrade(&another).send().await.unwrap().refusal(), (502, "agent_unreachable".to_owned()));
    let mut stranger = TcpStream::connect(stack.edge.address()).await.unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    stranger.read_to_end(&mut Vec::new()).await.unwrap();
    for sample in [
        "porthole_edge_refusals_total{request=\"console\",reason=\"agent_unreachable\"}",
        "porthole_edge_agent_dials_failed_total",
        "porthole_edge_tls_handshakes_failed_total",
    ] {
        eventually(PATIENCE, sample, async || support::edge(&stack.edge).await.count(sample) > edge_then.count(sample))
            .await;
    }

    // Strangers' words become no series, and no secret of a link is in any text.
    for path in ["/vnc.html?token=made-up-by-a-stranger", "/api/made-up-by-a-stranger"] {
        stack.edge.fetch(path).await.unwrap();
    }
    let question = serde_json::json!({ "token": "made-up-by-a-stranger" });
    assert!(stack.edge.inspect(&question).await.unwrap().status().is_client_error());
    let tables: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    let kinds = ConsoleKind::ALL.map(ConsoleKind::as_str);
    let others = [
        env!("CARGO_PKG_VERSION"),
        "in",
        "out",
        "console",
        "inspect",
        "jwks",
        "drain",
        "tunnel",
        "agents",
        "public",
        "quick",
        "domain",
        "probe",
        "ambiguous",
        "no_base_url",
        "disk_full",
        "client_closed",
        "agent_closed",
        "client_lost",
        "agent_lost",
        "stuck",
        "stopped",
    ];
    let signature = link.token.rsplit('.').next().unwrap();
    for exposition in [support::agent(&stack.agent).await, support::edge(&stack.edge).await] {
        for value in exposition.label_values() {
            let known = tables.contains(&&*value) || kinds.contains(&&*value) || others.contains(&&*value);
            assert!(known, "{value:?} is of no table");
        }
        for name in [&*link.id, signature, REQUESTOR, CONSOLE, "compute-1", "edge-1", "127.0.0.1", "stranger"] {
            assert!(!exposition.text().contains(name), "{name} in\n{}", exposition.text());
        }
    }
}
