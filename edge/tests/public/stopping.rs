//! How an edge leaves.

use porthole_shared::reason::Reason;
use tokio::net::TcpStream;

use crate::support::{Behaviour, Client, Edge, Setup, upgrade, within};

#[tokio::test]
async fn agents_are_told_and_their_last_words_arrive() {
    let edge = Edge::start(Setup::default()).await;
    let mut client = Client::connect(&edge).await;
    assert_eq!(client.ask(&upgrade(&edge.target(), "")).await.status, 101);
    assert_eq!(client.exactly(5).await, b"hello");

    edge.shutdown.soft.cancel();
    assert_eq!(client.exactly(3).await, b"bye");
    client.finish().await;
    edge.tasks.close();
    within(edge.tasks.wait()).await;
    edge.agent.seen(|seen| {
        assert_eq!(seen.drains.len(), 1);
        assert_eq!(seen.drains[0].instance, edge.site.instance);
    });
}

#[tokio::test]
async fn nothing_new_begins_and_nobody_is_kept() {
    let edge = Edge::start(Setup::default()).await;
    edge.agent.behave(Behaviour::Silent);
    let mut opening = Client::connect(&edge).await;
    let mut idle = Client::connect(&edge).await;
    let mut fresh = Client::connect(&edge).await;
    // A connection that HTTP has in hand.
    let answer = idle.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    idle.body(&answer).await;
    opening.send(upgrade(&edge.target(), "")).await;
    within(async {
        while edge.agent.seen(|seen| seen.consoles.is_empty()) {
            tokio::task::yield_now().await;
        }
    })
    .await;

    edge.shutdown.soft.cancel();
    assert_eq!(idle.rest().await, b"", "an idle connection is closed");
    drop(fresh.rest().await);
    within(async {
        while TcpStream::connect(edge.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    edge.shutdown.hard.cancel();
    drop(opening.rest().await);
    edge.tasks.close();
    within(edge.tasks.wait()).await;
}

#[tokio::test]
async fn an_upgrade_on_an_open_connection_is_told_of_the_drain() {
    let edge = Edge::start(Setup::default()).await;
    let mut client = Client::connect(&edge).await;
    // Half a head is in: the connection is not idle, so it gets its answer.
    let request = upgrade(&edge.target(), "");
    let (first, second) = request.split_at(20);
    client.send(first).await;
    let mut other = Client::connect(&edge).await;
    let answer = other.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    other.body(&answer).await;
    edge.shutdown.soft.cancel();
    assert_eq!(other.rest().await, b"");
    client.send(second).await;
    let answer = client.head().await;
    assert_eq!((answer.status, answer.field("x-porthole-reason")), (503, Some(Reason::Draining.code())));
}
