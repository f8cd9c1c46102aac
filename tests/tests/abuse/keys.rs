//! What strangers can make an edge ask of agents.

use std::time::Instant;

use futures_util::{StreamExt as _, stream};
use porthole_shared::token::SigningKey;
use porthole_tests::edge::Edge;
use porthole_tests::wait::PATIENCE;

use super::support::stub::{Saying, Stub, link, token};
use super::support::{Ground, assert_unharmed};

/// Opens consoles with these tokens, many at once; the reasons of the refusals.
async fn refusals(edge: &Edge, tokens: Vec<String>) -> Vec<String> {
    let refusing = stream::iter(tokens).map(|token| async move {
        let request = edge.upgrade(&link(edge, &token)).protocols(&["binary"]);
        request.send().await.unwrap().refusal().1
    });
    refusing.buffer_unordered(32).collect().await
}

fn forged(node: &str, count: usize) -> Vec<String> {
    (0..count).map(|_| token(node, &SigningKey::generate().unwrap().0)).collect()
}

#[tokio::test]
async fn made_up_keys_cost_an_agent_few_questions_and_a_session_beside_them_nothing() {
    let ground = Ground::new().await;
    let stub = Stub::start("asked", &ground.pki).await;
    let broken = Stub::start("broken", &ground.pki).await;
    broken.publishes(Saying::head("HTTP/1.1 200 OK\ncontent-length: 0"));
    let edge = ground.edge("edge-1").await.plain_http().node(stub.node()).node(broken.node()).start().await.unwrap();

    let mut session = edge.upgrade(&stub.link(&edge)).protocols(&["binary"]).open().await;
    assert_eq!(stub.fetches(), 1);

    let start = Instant::now();
    let flood = refusals(&edge, forged("asked", 500));
    let beside = async {
        for round in 0..200_u32 {
            session.send_binary(&round.to_be_bytes()).await.unwrap();
            let frame = session.next_frame().await.unwrap().unwrap();
            assert_eq!(frame.payload, round.to_be_bytes());
        }
        // And a new one, by a key that is known.
        edge.upgrade(&stub.link(&edge)).protocols(&["binary"]).open().await;
    };
    let (reasons, ()) = tokio::join!(flood, beside);
    assert!(reasons.iter().all(|reason| reason == "bad_signature"), "{reasons:?}");
    assert!(start.elapsed() < PATIENCE);
    // One in five seconds at most: edge/src/keys/known.rs.
    let most = 2 + start.elapsed().as_secs() / 5;
    assert!(stub.fetches() as u64 <= most, "{} questions in {:?}", stub.fetches(), start.elapsed());

    // The right id on a wrong signature costs no question at all.
    let before = stub.fetches();
    let good = stub.token();
    let (signed, _signature) = good.rsplit_once('.').unwrap();
    let tampered = (0..200).map(|_| {
        let foreign = token("asked", &SigningKey::generate().unwrap().0);
        format!("{signed}.{}", foreign.rsplit('.').next().unwrap())
    });
    let reasons = refusals(&edge, tampered.collect()).await;
    assert!(reasons.iter().all(|reason| reason == "bad_signature"), "{reasons:?}");
    assert_eq!(stub.fetches(), before);

    // An agent whose keys are of no use is asked once in a second at most.
    let start = Instant::now();
    let reasons = refusals(&edge, forged("broken", 300)).await;
    assert!(reasons.iter().all(|reason| reason == "agent_invalid"), "{reasons:?}");
    let most = 2 + start.elapsed().as_secs();
    assert!(broken.fetches() as u64 <= most, "{} questions in {:?}", broken.fetches(), start.elapsed());

    // Nodes that nobody knows are nobody's to ask.
    let reasons = refusals(&edge, (0..100).flat_map(|number| forged(&format!("no-{number}"), 1)).collect()).await;
    assert!(reasons.iter().all(|reason| reason == "unknown_node"), "{reasons:?}");
    assert_unharmed(edge.process());
}
