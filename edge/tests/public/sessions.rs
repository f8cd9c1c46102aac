//! From the client's request to bytes that go both ways.

use porthole_shared::tunnel::ClientTls;

use crate::support::{Behaviour, Client, Edge, Setup, upgrade, within};

#[tokio::test]
async fn bytes_go_both_ways_and_the_end_is_passed_on() {
    for plain in [false, true] {
        let edge = Edge::start(Setup { plain, ..Setup::default() }).await;
        let mut client = Client::connect(&edge).await;
        let answer = client.ask(&upgrade(&edge.target(), "Sec-WebSocket-Protocol: base64, binary\r\n")).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(answer.field("sec-websocket-protocol"), Some("binary"));
        assert_eq!(client.exactly(5).await, b"hello");
        client.send("there").await;
        assert_eq!(client.exactly(5).await, b"there");

        client.finish().await;
        assert_eq!(client.rest().await, b"bye");
        edge.tasks.close();
        edge.shutdown.soft.cancel();
        within(edge.tasks.wait()).await;
        assert_eq!(edge.site.live.sessions(), 0);
        assert_eq!(edge.site.counters.to_agent(), 5);
        assert_eq!(edge.site.counters.to_client(), 13);
    }
}

#[tokio::test]
async fn a_megabyte_comes_back_as_it_went() {
    let edge = Edge::start(Setup::default()).await;
    let mut client = Client::connect(&edge).await;
    assert_eq!(client.ask(&upgrade(&edge.target(), "")).await.status, 101);
    assert_eq!(client.exactly(5).await, b"hello");
    let block: Vec<u8> = (0..=250).cycle().take(32 * 1024).collect();
    for _ in 0..32 {
        client.send(&block).await;
        assert!(client.exactly(block.len()).await == block, "another block came back");
    }
}

#[tokio::test]
async fn bytes_behind_the_request_go_on_only_after_the_101() {
    let edge = Edge::start(Setup::default()).await;
    let mut client = Client::connect(&edge).await;
    client.send(format!("{}early", upgrade(&edge.target(), ""))).await;
    assert_eq!(client.head().await.status, 101);
    assert_eq!(client.exactly(10).await, b"helloearly");

    edge.agent.behave(Behaviour::Refuse(porthole_shared::reason::Reason::NotRunning));
    let mut client = Client::connect(&edge).await;
    client.send(format!("{}early", upgrade(&edge.target(), ""))).await;
    assert_eq!(client.head().await.status, 409);
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn the_agent_is_told_what_it_must_know_and_nothing_else() {
    let edge = Edge::start(Setup::default()).await;
    let token = edge.agent.token();
    let binding = "A".repeat(43);
    let more = format!(
        "Cookie: token={}; session=secret\r\nAuthorization: Basic x\r\nX-Forwarded-For: 1.2.3.4\r\nUser-Agent: u\r\n\
         Origin: https://edge.example:8443\r\nPorthole-Client-Address: 9.9.9.9:9\r\nX-Other: other\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: porthole.bind.{binding}\r\n",
        token.expose()
    );
    let mut client = Client::connect(&edge).await;
    let answer = client.ask(&upgrade("/any/path?x=1", &more)).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    assert_eq!(answer.field("sec-websocket-protocol"), None, "a binding is never chosen, nor is anything else");
    edge.agent.seen(|seen| {
        let request = &seen.consoles[0];
        assert_eq!(request.presented.token, token);
        assert_eq!(request.presented.binding.as_ref().unwrap().to_text().expose(), &binding);
        assert!(request.presented.client.address.ip().is_loopback());
        assert_eq!(request.presented.client.tls, Some(ClientTls::V13));
        assert_eq!(request.presented.client.edge_instance, edge.site.instance);
        let mut names: Vec<&str> = seen.heads[0].keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        let expected = [
            "authorization",
            "connection",
            "host",
            "porthole-binding",
            "porthole-client-address",
            "porthole-client-tls",
            "porthole-edge-instance",
            "sec-websocket-key",
            "sec-websocket-version",
            "upgrade",
        ];
        assert_eq!(names, expected);
    });
}

#[tokio::test]
async fn nothing_of_the_agents_head_reaches_the_client() {
    let edge = Edge::start(Setup::default()).await;
    edge.agent.behave(Behaviour::EchoAndLie);
    let mut client = Client::connect(&edge).await;
    let answer = client.ask(&upgrade(&edge.target(), "")).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.names(), ["connection", "date", "sec-websocket-accept", "upgrade"]);
}

#[tokio::test]
async fn a_client_that_leaves_while_its_console_is_opened_costs_nothing_for_long() {
    let edge = Edge::start(Setup::default()).await;
    edge.agent.behave(Behaviour::Silent);
    let mut client = Client::connect(&edge).await;
    client.send(upgrade(&edge.target(), "")).await;
    within(async {
        while edge.site.live.sessions() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(client);
    within(async {
        while edge.site.live.sessions() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
