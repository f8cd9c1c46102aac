//! What a slow or greedy client costs.

use crate::support::{Client, Edge, Setup, upgrade, within};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_head_that_does_not_come_in_time_ends_the_connection_but_a_session_goes_on() {
    for plain in [false, true] {
        let edge = Edge::start(Setup { public: "head_timeout = '2s'", plain, ..Setup::default() }).await;
        let mut session = Client::connect(&edge).await;
        assert_eq!(session.ask(&upgrade(&edge.target(), "")).await.status, 101);
        assert_eq!(session.exactly(5).await, b"hello");
        // One sends nothing at all, not even of TLS; one sends half a head; one asks nothing more.
        let mut silent = TcpStream::connect(edge.address).await.unwrap();
        let mut slow = Client::connect(&edge).await;
        slow.send("GET / HTTP/1.1\r\nHost: a\r\n").await;
        let mut idle = Client::connect(&edge).await;
        let answer = idle.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        idle.body(&answer).await;

        assert_eq!(within(silent.read(&mut [0; 16])).await.unwrap_or(0), 0);
        assert_eq!(slow.rest().await, b"");
        assert_eq!(idle.rest().await, b"");
        session.send("still here").await;
        assert_eq!(session.exactly(10).await, b"still here");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let edge = Edge::start(Setup::default()).await;
    let mut client = Client::connect(&edge).await;
    let answer = client.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(20_000))).await;
    assert_eq!(answer.status, 431);
    let mut client = Client::connect(&edge).await;
    let answer = client.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: x\r\n".repeat(100))).await;
    assert_eq!(answer.status, 431);
}

#[tokio::test]
async fn one_address_cannot_take_the_room_of_all() {
    let edge = Edge::start(Setup { public: "max_connections_per_address = 1", ..Setup::default() }).await;
    let mut client = Client::connect(&edge).await;
    assert_eq!(client.ask(&upgrade(&edge.target(), "")).await.status, 101);
    let mut second = TcpStream::connect(edge.address).await.unwrap();
    assert_eq!(within(second.read(&mut [0; 16])).await.unwrap_or(0), 0);
    // Another address of the same host.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = Client::tls_over(socket.connect(edge.address).await.unwrap(), edge.dir()).await;
    assert_eq!(other.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 404);
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_room_comes_back_when_a_session_ends() {
    let edge = Edge::start(Setup { public: "max_connections = 1", plain: true, ..Setup::default() }).await;
    let mut client = Client::connect(&edge).await;
    assert_eq!(client.ask(&upgrade(&edge.target(), "")).await.status, 101);
    let mut second = TcpStream::connect(edge.address).await.unwrap();
    assert_eq!(within(second.read(&mut [0; 16])).await.unwrap_or(0), 0);
    drop(client);
    within(async {
        loop {
            let mut next = TcpStream::connect(edge.address).await.unwrap();
            let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
            let _sent = tokio::io::AsyncWriteExt::write_all(&mut next, request).await;
            if next.read(&mut [0; 16]).await.unwrap_or(0) > 0 {
                return;
            }
        }
    })
    .await;
}
