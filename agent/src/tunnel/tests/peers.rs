//! Who gets in, and who stays.

use super::*;
use porthole_shared::tls::EdgePolicy;
use porthole_shared::tunnel::JWKS_PATH;
use rustls::HandshakeKind;

/// Whether an agent answers a request on this connection. If not, it has closed it.
async fn answers(tls: TlsStream<TcpStream>) -> bool {
    let mut edge = speak(tls).await;
    let asked = edge.send_request(request("GET", JWKS_PATH, HeaderMap::new(), ""));
    matches!(timeout(PATIENCE, asked).await.unwrap(), Ok(response) if response.status() == StatusCode::OK)
}

#[tokio::test]
async fn only_edges_are_answered() {
    let agent = Agent::with(json!({"edges": ["edge1.example.org"]})).await;
    for (file, role, dns, answered) in [
        ("edge-1", Some(edge_role("edge-1")), &[][..], true),
        ("listed", None, &["edge1.example.org"], true),
        ("unlisted", None, &["edge2.example.org"], false),
        ("nobody", None, &[], false),
        ("agent-2", Some(agent_role("compute-2")), &[], false),
        ("agent-3", Some(agent_role("compute-3")), &["edge1.example.org"], false),
    ] {
        let configs = EdgeClientConfigs::load(&agent.pki.issue(file, role, dns)).unwrap();
        assert_eq!(answers(agent.dial(&configs).await.unwrap()).await, answered, "{file}");
    }
    agent.stop().await;
}

#[tokio::test]
async fn strangers_get_no_further_than_tls() {
    let agent = Agent::start().await;
    let theirs = Pki::new();
    let mut files = theirs.issue("edge-1", edge_role("edge-1"), &[]);
    files.ca = agent.pki.dir.path().join("ca.pem");
    let configs = EdgeClientConfigs::load(&files).unwrap();
    // In TLS 1.3 a client hears of its certificate's refusal when it first reads.
    let refused = match agent.dial(&configs).await {
        Ok(mut tls) => timeout(PATIENCE, tls.read_u8()).await.unwrap().is_err(),
        Err(_) => true,
    };
    assert!(refused);

    let mut plain = TcpStream::connect(agent.tunnel[0]).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _end = timeout(PATIENCE, plain.read_to_end(&mut answer)).await.unwrap();
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    agent.stop().await;
}

#[tokio::test]
async fn a_denied_edge_is_refused_on_a_resumed_and_on_an_open_connection() {
    let agent = Agent::start().await;
    let configs = agent.edge("edge-1");
    let mut open = speak(agent.dial(&configs).await.unwrap()).await;
    let ask = || request("GET", JWKS_PATH, HeaderMap::new(), "");
    // Tickets come with the first answer.
    body(send(&mut open, ask()).await).await;

    let resumed = agent.dial(&configs).await.unwrap();
    assert_eq!(resumed.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    assert!(answers(resumed).await);

    agent.trust.set_policy(EdgePolicy { denied: vec!["edge-1".parse().unwrap()], ..EdgePolicy::default() });
    let resumed = agent.dial(&configs).await.unwrap();
    assert_eq!(resumed.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    assert!(!answers(resumed).await);
    assert!(timeout(PATIENCE, open.send_request(ask())).await.unwrap().is_err());

    assert!(answers(agent.dial(&agent.edge("edge-2")).await.unwrap()).await, "others are not concerned");
    agent.stop().await;
}

#[tokio::test]
async fn new_certificates_are_taken_up_and_bad_ones_are_not() {
    let agent = Agent::start().await;
    let configs = agent.edge("edge-1");
    let certificate = |tls: &TlsStream<TcpStream>| tls.get_ref().1.peer_certificates().unwrap()[0].clone();
    let first = agent.dial(&configs).await.unwrap();
    let old = certificate(&first);
    assert!(answers(first).await);

    let files = agent.pki.issue("agent", agent_role(NODE), &[]);
    let renewed = async {
        loop {
            let tls = agent.dial(&configs).await.unwrap();
            if certificate(&tls) != old {
                // A ticket of before does not bring the earlier trust back.
                assert_eq!(tls.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
                break certificate(&tls);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let new = timeout(PATIENCE, renewed).await.unwrap();

    fs::write(&files.certificate, "-----BEGIN CERTIFICATE-----\nhalf").unwrap();
    agent.trust.reload().unwrap_err();
    let tls = agent.dial(&configs).await.unwrap();
    assert_eq!(certificate(&tls), new);
    assert!(answers(tls).await);
    agent.stop().await;
}

#[tokio::test]
async fn a_handshake_has_a_deadline() {
    let agent = Agent::with(json!({"handshake_timeout": "50ms"})).await;
    let mut silent = TcpStream::connect(agent.tunnel[0]).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, silent.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, b"");
    agent.stop().await;
}

#[tokio::test]
async fn there_are_no_more_connections_than_places_and_a_session_keeps_its_own() {
    let agent = Agent::with(json!({"max_connections": 2})).await;
    let configs = agent.edge("edge-1");
    let (client, _console) = agent.open(&wanted(agent.mint(Policy::Once).await)).await;
    let second = agent.dial(&configs).await.unwrap();
    assert!(agent.dial(&configs).await.is_err(), "the session has kept its place");
    drop(second);
    drop(client);
    let free = async {
        loop {
            let (first, second) = (agent.dial(&configs).await, agent.dial(&configs).await);
            if first.is_ok() && second.is_ok() {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, free).await.expect("places are given back");
    agent.stop().await;
}

#[tokio::test]
async fn it_listens_on_every_address_of_both_families() {
    let agent = Agent::with(json!({"listen": ["127.0.0.1:0", "[::1]:0", "[::]:0"]})).await;
    let configs = agent.edge("edge-1");
    let [_, _, any] = agent.tunnel[..] else { panic!("{:?}", agent.tunnel) };
    let both = ["127.0.0.1", "::1"].map(|ip| SocketAddr::new(ip.parse().unwrap(), any.port()));
    for address in [&agent.tunnel[..2], &both[1..]].concat() {
        assert!(answers(dial(address, &configs).await.unwrap()).await, "{address}");
    }
    // An IPv4 address of the same port (0) is listed, so `[::]` is IPv6 only.
    assert!(TcpStream::connect(both[0]).await.is_err());
    agent.stop().await;

    let agent = Agent::with(json!({"listen": ["[::]:0"]})).await;
    let address = SocketAddr::new("127.0.0.1".parse().unwrap(), agent.tunnel[0].port());
    assert!(answers(dial(address, &agent.edge("edge-1")).await.unwrap()).await);
    agent.stop().await;
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let agent = Agent::start().await;
    let files = agent.pki.issue("agent", agent_role(NODE), &[]);
    let config = json!({"listen": [agent.tunnel[0]], "certificate": files.certificate, "key": files.key,
                        "ca": files.ca});
    let error = Tunnel::bind(&serde_json::from_value(config).unwrap()).unwrap_err();
    assert!(error.to_string().contains(&agent.tunnel[0].to_string()), "{error}");
    agent.stop().await;
}
