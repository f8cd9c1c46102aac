use super::*;
use crate::dial::fixture::{FakeAgent, Pki, Reply, json, nobody, node};
use crate::directory::Source;
use porthole_shared::token::SigningKey;
use std::fs;
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

fn key() -> SigningKey {
    SigningKey::generate().unwrap().0
}

fn published(keys: &[&SigningKey]) -> Reply {
    Reply::Text(json(&String::from_utf8(KeySet::publish(keys.iter().copied()).unwrap()).unwrap()))
}

/// A directory that has these nodes.
fn directory(nodes: &[&Node]) -> (Directory, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, nodes);
    (Directory::open(&Source::File(dir.path().join("nodes.toml"))).unwrap(), dir)
}

fn write(dir: &TempDir, nodes: &[&Node]) {
    let entry = |node: &&Node| format!("[[node]]\nname = \"{}\"\naddress = \"{}\"\n", node.name, node.address);
    fs::write(dir.path().join("nodes.toml"), nodes.iter().map(entry).collect::<Vec<_>>().concat()).unwrap();
}

#[tokio::test]
async fn an_agent_is_asked_once_for_many_tokens_of_many_clients() {
    let (pki, ours) = (Pki::new(), key());
    let kid = ours.kid().clone();
    let agent = FakeAgent::start(&pki, "n1", move |_| published(&[&ours])).await;
    let (directory, _dir) = directory(&[&agent.node]);
    let keys = Keys::new(&pki.dialer(), directory);
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let (keys, node, kid) = (keys.clone(), agent.node.clone(), kid.clone());
            tokio::spawn(async move { keys.for_token(&node, &kid).await })
        })
        .collect();
    for asked in asking {
        assert!(asked.await.unwrap().unwrap().contains(&kid));
    }
    assert_eq!(agent.request_count(), 1);
    assert!(agent.requests.lock().unwrap()[0].starts_with("GET /tunnel/v1/jwks HTTP/1.1\r\n"));
}

#[tokio::test]
async fn random_keys_cost_nothing_and_are_bad_signatures() {
    let (pki, ours) = (Pki::new(), key());
    let kid = ours.kid().clone();
    let agent = FakeAgent::start(&pki, "n1", move |_| published(&[&ours])).await;
    let (directory, _dir) = directory(&[&agent.node]);
    let keys = Keys::new(&pki.dialer(), directory);
    for _ in 0..20 {
        assert_eq!(keys.for_token(&agent.node, key().kid()).await.unwrap_err(), Reason::BadSignature);
    }
    keys.for_token(&agent.node, &kid).await.unwrap();
    assert_eq!(agent.request_count(), 1);
}

#[tokio::test]
async fn a_dead_or_lying_agent_is_told_from_a_bad_token() {
    let pki = Pki::new();
    let dead = node("n1", nobody().await);
    let lying = FakeAgent::start(&pki, "n2", |_| Reply::Text(json("[]"))).await;
    let (directory, _dir) = directory(&[&dead, &lying.node]);
    let keys = Keys::new(&pki.dialer(), directory);
    assert_eq!(keys.for_token(&dead, key().kid()).await.unwrap_err(), Reason::AgentUnreachable);
    assert_eq!(keys.for_token(&lying.node, key().kid()).await.unwrap_err(), Reason::AgentInvalid);
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_stop_the_fetch() {
    let (pki, ours) = (Pki::new(), key());
    let kid = ours.kid().clone();
    let agent = FakeAgent::start(&pki, "n1", move |_| published(&[&ours])).await;
    let (directory, _dir) = directory(&[&agent.node]);
    let keys = Keys::new(&pki.dialer(), directory);
    for _ in 0..30 {
        // Polled once or twice, then dropped.
        let mut asking = std::pin::pin!(keys.for_token(&agent.node, &kid));
        tokio::select! {
            biased;
            _ = &mut asking => {}
            () = tokio::task::yield_now() => {}
        }
    }
    keys.for_token(&agent.node, &kid).await.unwrap();
    assert_eq!(agent.request_count(), 1);
}

#[tokio::test]
async fn a_node_that_left_or_moved_is_forgotten() {
    let (pki, ours) = (Pki::new(), key());
    let kid = ours.kid().clone();
    let honest = Arc::new(AtomicBool::new(true));
    let (asked, other) = (Arc::clone(&honest), key());
    let agent =
        FakeAgent::start(&pki, "n1", move |_| published(&[if asked.load(Ordering::SeqCst) { &ours } else { &other }]))
            .await;
    let (directory, dir) = directory(&[&agent.node]);
    let keys = Keys::new(&pki.dialer(), directory.clone());
    keys.for_token(&agent.node, &kid).await.unwrap();

    write(&dir, &[]);
    directory.reload();
    drop(keys.for_token(&node("n9", nobody().await), &kid).await);
    assert!(!keys.0.nodes().contains_key(&agent.node.id));

    // Back again: nothing of before is believed.
    write(&dir, &[&agent.node]);
    directory.reload();
    honest.store(false, Ordering::SeqCst);
    assert_eq!(keys.for_token(&agent.node, &kid).await.unwrap_err(), Reason::BadSignature);
}

#[tokio::test]
async fn old_keys_serve_while_newer_ones_are_fetched() {
    let (pki, old, new) = (Pki::new(), key(), key());
    let (old_kid, new_kid) = (old.kid().clone(), new.kid().clone());
    let before = KeySet::parse(&KeySet::publish([&old]).unwrap()).unwrap();
    let agent = FakeAgent::start(&pki, "n1", move |_| published(&[&new])).await;
    let (directory, _dir) = directory(&[&agent.node]);
    let keys = Keys::new(&pki.dialer(), directory);
    let entry = keys.entry(&agent.node);
    let Some(fetched) = Instant::now().checked_sub(known::FRESH_FOR) else { return };
    entry.known().note(Ok(before), fetched);
    assert!(keys.for_token(&agent.node, &old_kid).await.unwrap().contains(&old_kid));
    // Whoever comes next waits for the same fetch, at most.
    let _turn = Arc::clone(&entry.flight).lock_owned().await;
    assert!(keys.for_token(&agent.node, &new_kid).await.unwrap().contains(&new_kid));
    assert_eq!(keys.for_token(&agent.node, &old_kid).await.unwrap_err(), Reason::BadSignature);
    assert_eq!(agent.request_count(), 1);
}

#[tokio::test]
async fn a_made_up_name_is_an_unknown_node() {
    let pki = Pki::new();
    // No resolver asks for a label of 64 letters.
    let template = format!("{{node}}.{}.example:1", "a".repeat(64)).try_into().unwrap();
    let directory = Directory::open(&Source::Template(template)).unwrap();
    let node = directory.find(&"made-up".parse().unwrap()).unwrap();
    let keys = Keys::new(&pki.dialer(), directory);
    assert_eq!(keys.for_token(&node, key_id()).await.unwrap_err(), Reason::UnknownNode);
}

#[tokio::test]
async fn what_is_remembered_is_bounded() {
    let pki = Pki::new();
    let address = nobody().await;
    let (directory, _dir) = directory(&[]);
    let keys = Keys::new(&pki.dialer(), directory);
    for number in 0..MAX_NODES * 2 {
        let entry = keys.entry(&node(&format!("n{number}"), address));
        // Half of them have answered once.
        if number % 2 == 0 {
            entry.known().note(Ok(KeySet::default()), Instant::now());
        }
        drop(entry.known().look(key_id(), Instant::now()));
        assert!(keys.0.nodes().len() <= MAX_NODES);
    }
    assert!(keys.0.nodes().len() > MAX_NODES / 2);
}

fn key_id() -> &'static KeyId {
    static KID: std::sync::LazyLock<KeyId> = std::sync::LazyLock::new(|| "k".repeat(43).try_into().unwrap());
    &KID
}
