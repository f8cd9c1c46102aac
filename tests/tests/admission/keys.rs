//! Signing keys that change while links are about.

use porthole_tests::wait::{PATIENCE, eventually};
use serde_json::{Value, json};

use crate::support::{Forge, GREETING, NAME, Porthole, echo_stack, refusal, refused};

#[tokio::test]
async fn links_of_before_and_after_a_rotation_open_by_the_same_edge() {
    let (mut stack, _console) = echo_stack().await;
    let porthole = Porthole::of(&stack.agent);
    let signing = async |stack: &porthole_tests::stack::Stack| stack.agent.status().await["signing_key"].clone();
    let first_key = signing(&stack).await;
    let leaked = Forge::of(&stack.agent);
    let old = stack.mint(NAME).await;
    // The edge has read the keys now, the next one among them.
    assert_eq!(stack.open(NAME).await.binary().await, GREETING);

    let printed = porthole.print(&["keys", "rotate"]).await;
    let second_key = signing(&stack).await;
    assert_ne!(second_key, first_key);
    assert!(printed.contains(second_key.as_str().unwrap()), "{printed}");
    for link in [&old, &stack.mint(NAME).await] {
        assert_eq!(stack.upgrade(link).open().await.binary().await, GREETING, "at once");
    }

    // Once more, with a key that was published after the edge last asked: it asks again, if only in a while.
    let between = stack.mint(NAME).await;
    let rotated: Value = serde_json::from_str(&porthole.print(&["keys", "rotate", "--json"]).await).unwrap();
    assert_eq!(rotated["kid"], signing(&stack).await);
    let new = stack.mint(NAME).await;
    let known = async || stack.edge.inspect(&json!({ "token": new.token })).await.unwrap().status() == 200;
    eventually(PATIENCE, "the edge to ask for keys again", known).await;
    for link in [&new, &between] {
        assert_eq!(stack.upgrade(link).open().await.binary().await, GREETING);
    }

    // The private half of a retired key is gone from the file; what still has it opens nothing that was not made.
    let text = std::fs::read_to_string(stack.agent.database().with_file_name("keys").join("signing.json")).unwrap();
    let keys: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(keys["retired"].as_array().unwrap().len(), 2);
    assert!(
        keys["retired"]
            .as_array()
            .unwrap()
            .iter()
            .all(|key| key.get("pkcs8").is_none() && key["public"]["d"].is_null())
    );
    let forged = format!("{}/?token={}", stack.edge.url(), leaked.sign(&leaked.claims()));
    assert_eq!(refusal(&stack.edge.upgrade(&forged)).await, refused(404, "unknown_token"));

    // The keys outlive the agent's process, and the edge's knowledge of them is not needed.
    let links = [stack.mint(NAME).await, stack.mint(NAME).await];
    stack.agent.crash();
    stack.agent.start_again().await;
    assert_eq!(signing(&stack).await, rotated["kid"]);
    assert_eq!(stack.upgrade(&links[0]).open().await.binary().await, GREETING);
    assert!(stack.edge.stop().await.success());
    stack.edge.start_again().await;
    assert_eq!(stack.upgrade(&links[1]).open().await.binary().await, GREETING);
}
