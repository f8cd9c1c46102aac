use super::fixture::{FakeAgent, Pki, Reply, SWITCHING, console_request, json, nobody, node};
use super::*;
use porthole_shared::tls::{Role, agent_server_config};
use std::fs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

async fn opening(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Result<AgentConsole, Reason> {
    let pki = Pki::new();
    let agent = FakeAgent::start(&pki, "n1", reply).await;
    pki.dialer().redeem(&agent.node, &console_request(true)).await
}

#[tokio::test]
async fn a_console_is_asked_for_in_our_own_words_and_opened() {
    let pki = Pki::new();
    let agent = FakeAgent::start(&pki, "n1", |_| {
        Reply::Echo(format!("{SWITCHING}Sec-WebSocket-Protocol: binary\r\nX-Other: 1\r\n\r\nfirst bytes"))
    })
    .await;
    let request = console_request(true);
    let console = pki.dialer().redeem(&agent.node, &request).await.unwrap();
    assert_eq!(console.subprotocol, Some(Subprotocol::Binary));

    // What the agent sees is what the type holds, and Host; nothing else.
    let seen = agent.requests.lock().unwrap().join("");
    assert!(seen.starts_with("GET /tunnel/v1/console HTTP/1.1\r\n"), "{seen}");
    let mut names: Vec<&str> = seen.lines().skip(1).filter_map(|line| Some(line.split_once(": ")?.0)).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "authorization",
            "connection",
            "host",
            "porthole-client-address",
            "porthole-edge-instance",
            "sec-websocket-key",
            "sec-websocket-protocol",
            "sec-websocket-version",
            "upgrade"
        ]
    );

    // The connection and what came with the head are whole.
    let (near, far) = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (near.unwrap(), far.unwrap().0)
    };
    let running = tokio::spawn(async move {
        let (counters, stop) = (crate::relay::Counters::default(), tokio_util::sync::CancellationToken::new());
        let early = Bytes::from_static(b"!");
        crate::relay::Relay::between(Leg::plain(far), early, console.leg, console.early).run(&counters, &stop).await
    });
    let mut client = near;
    client.write_all(b" and more").await.unwrap();
    client.shutdown().await.unwrap();
    let mut all = String::new();
    client.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "first bytes! and more");
    assert_eq!(running.await.unwrap().to_agent, 10);
}

#[tokio::test]
async fn an_agents_refusal_is_passed_on_by_its_code() {
    for (status, code, expected) in [
        ("401 Unauthorized", "expired", Reason::Expired),
        ("421 Misdirected Request", "wrong_node", Reason::WrongNode),
        ("503 x", "draining", Reason::Draining),
        ("503 x", "edge_draining", Reason::EdgeDraining),
        // A status that is another reason's, a reason that is no refusal, none of an agent's, or none at all.
        ("403 Forbidden", "expired", Reason::AgentInvalid),
        ("409 Conflict", "shut_off", Reason::ShutOff),
        ("409 Conflict", "superseded", Reason::AgentInvalid),
        ("403 Forbidden", "origin_refused", Reason::AgentInvalid),
        ("401 Unauthorized", "<script>", Reason::AgentInvalid),
        ("200 OK", "expired", Reason::AgentInvalid),
    ] {
        let text = format!("HTTP/1.1 {status}\r\nX-Porthole-Reason: {code}\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(opening(move |_| Reply::Text(text.clone())).await.unwrap_err(), expected, "{status} {code}");
    }
}

#[tokio::test]
async fn a_lying_agent_is_not_believed() {
    let long = format!("HTTP/1.1 401 x\r\nX-Porthole-Reason: expired\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let many = format!("HTTP/1.1 401 x\r\nX-Porthole-Reason: expired\r\n{}\r\n", "x: y\r\n".repeat(200));
    for lie in [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".to_owned(),
        format!("{SWITCHING}Sec-WebSocket-Protocol: chat\r\n\r\n"),
        format!("{SWITCHING}Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        "SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned(),
        "HTTP/1.1 401 x\r\ncontent-length: 0\r\n\r\n".to_owned(),
        long,
        many,
    ] {
        let shown: String = lie.chars().take(120).collect();
        assert_eq!(opening(move |_| Reply::Text(lie.clone())).await.unwrap_err(), Reason::AgentInvalid, "{shown}");
    }
    // Headers without end.
    assert_eq!(opening(|_| Reply::Endless("HTTP/1.1 200 OK\r\n", "x: y\r\n")).await.unwrap_err(), Reason::AgentInvalid);
}

#[tokio::test]
async fn an_agent_that_hangs_up_is_unreachable() {
    assert_eq!(opening(|_| Reply::Nothing).await.unwrap_err(), Reason::AgentUnreachable);
    let pki = Pki::new();
    let nobody = node("n1", nobody().await);
    assert_eq!(pki.dialer().redeem(&nobody, &console_request(false)).await.unwrap_err(), Reason::AgentUnreachable);
}

#[tokio::test]
async fn an_agent_that_takes_the_connection_and_says_nothing_costs_the_connect_timeout() {
    let pki = Pki::new();
    // The kernel takes the connection; nobody does TLS on it.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let start = Instant::now();
    let refused = pki.dialer().redeem(&node("n1", silent.local_addr().unwrap()), &console_request(false)).await;
    assert_eq!(refused.unwrap_err(), Reason::AgentUnreachable);
    assert!((2..8).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_agent_that_never_answers_costs_the_answer_deadline() {
    let start = Instant::now();
    assert_eq!(opening(|_| Reply::Silence).await.unwrap_err(), Reason::AgentUnreachable);
    assert!(start.elapsed() >= ANSWER_DEADLINE && start.elapsed() < 2 * ANSWER_DEADLINE);
}

#[tokio::test]
async fn only_the_node_itself_is_talked_to() {
    let (pki, others) = (Pki::new(), Pki::new());
    for config in [
        pki.agent_config("n2"),
        others.agent_config("n1"),
        agent_server_config(&pki.issue("x", &Role::Edge("n1".parse().unwrap()))).unwrap(),
    ] {
        let agent = FakeAgent::with_config(config, "n1", |_| Reply::Text(format!("{SWITCHING}\r\n"))).await;
        let error = pki.dialer().jwks(&agent.node).await.unwrap_err();
        assert!(matches!(error, DialError::Connect(ConnectError::Tls(_))), "{error:?}");
        assert_eq!(agent.request_count(), 0, "a token must not reach a stranger");
    }
}

#[tokio::test]
async fn inspections_are_read_and_bounded() {
    let pki = Pki::new();
    let presented = console_request(false).presented;
    let good = r#"{"kind":"vnc","name":"web 1","redeem_by":5,"expires":6,"new":1}"#;
    let agent = FakeAgent::start(&pki, "n1", |_| Reply::Text(json(good))).await;
    let dialer = pki.dialer();
    assert_eq!(dialer.explain(&agent.node, &presented).await.unwrap().name.as_str(), "web 1");
    assert!(agent.requests.lock().unwrap()[0].starts_with("POST /tunnel/v1/inspect HTTP/1.1\r\n"));

    for lie in [json("{}"), json(&format!("\"{}\"", "x".repeat(70_000))), json("not json")] {
        let agent = FakeAgent::start(&pki, "n1", move |_| Reply::Text(lie.clone())).await;
        assert_eq!(dialer.explain(&agent.node, &presented).await.unwrap_err(), Reason::AgentInvalid);
    }
    for body in ["5\r\nhello\r\n", "no chunk\r\n"] {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let agent = FakeAgent::start(&pki, "n1", move |_| Reply::Endless(head, body)).await;
        assert_eq!(dialer.explain(&agent.node, &presented).await.unwrap_err(), Reason::AgentInvalid);
    }
}

#[tokio::test]
async fn tls_sessions_are_resumed_and_changed_files_are_read() {
    let pki = Pki::new();
    let agent = FakeAgent::start(&pki, "n1", |_| Reply::Text(json(r#"{"keys":[]}"#))).await;
    let dialer = pki.dialer();
    let kind = async |dialer: &Dialer| {
        dialer.jwks(&agent.node).await.unwrap();
        let stream = dialer.connect(&agent.node).await.unwrap();
        stream.tls().unwrap().handshake_kind().unwrap()
    };
    assert_eq!(kind(&dialer).await, rustls::HandshakeKind::Resumed);

    // A new certificate: the next handshake is a full one, and the agent takes it.
    pki.issue("edge", &Role::Edge("e2".parse().unwrap()));
    dialer.reload().unwrap();
    let stream = dialer.connect(&agent.node).await.unwrap();
    assert_eq!(stream.tls().unwrap().handshake_kind(), Some(rustls::HandshakeKind::Full));

    // A broken one is not taken.
    fs::write(pki.dir.path().join("edge.pem"), "rubbish").unwrap();
    dialer.reload().unwrap_err();
    dialer.jwks(&agent.node).await.unwrap();
}

#[tokio::test]
async fn lookups_for_keys_do_not_hold_up_consoles() {
    let pki = Pki::new();
    let agent = FakeAgent::start(&pki, "n1", |_| Reply::Echo(format!("{SWITCHING}\r\n"))).await;
    let named =
        Node { address: format!("localhost:{}", agent.node.address.port()).parse().unwrap(), ..agent.node.clone() };
    let dialer = pki.dialer();
    let apart = dialer.with_lookups_apart();
    let lookups = &apart.connector.lookups;
    let _stuck = lookups.acquire_many(u32::try_from(lookups.available_permits()).unwrap()).await.unwrap();
    dialer.redeem(&named, &console_request(false)).await.unwrap();
    assert!(matches!(apart.jwks(&named).await, Err(DialError::Connect(ConnectError::Slow(_)))));
}
