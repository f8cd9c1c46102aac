//! What operators do to links and sessions.

use porthole_tests::agent::Mint;
use porthole_tests::command::porthole;
use porthole_tests::wait::{PATIENCE, eventually};
use serde_json::json;

use crate::support::{audit, events, only, stack};

#[tokio::test]
async fn links_withdrawn_and_sessions_ended_together_are_told_as_they_were_meant() {
    let stack = stack(|agent| agent).await;
    let mint = async |console: &str, who: &str| stack.mint(Mint::of(console).field("requestor", who)).await;
    let (one, two, three) = (mint("raw", "alice").await, mint("raw", "bob").await, mint("other", "bob").await);
    let mut of_bob = stack.upgrade(&two).open().await;
    let mut also_of_bob = stack.upgrade(&three).open().await;

    porthole(&stack.agent, &["tokens", "revoke", &one.id]).await.ok();
    let entries = audit(&stack.agent, &["--event", "revoked", "--console", "raw"]).await;
    let revoked = only(&entries, "revoked");
    assert_eq!((&revoked["token_id"], &revoked["requestor"]), (&json!(one.id), &json!("alice")));
    assert_eq!((&revoked["count"], &revoked["connections"]), (&json!(1), &json!(0)));

    porthole(&stack.agent, &["sessions", "kill", "--console", "raw"]).await.ok();
    assert_eq!(of_bob.closed().await.reason, "killed");
    porthole(&stack.agent, &["tokens", "revoke", "--requestor", "bob"]).await.ok();
    assert_eq!(also_of_bob.closed().await.reason, "revoked");
    eventually(PATIENCE, "both ends", async || audit(&stack.agent, &["--event", "ended"]).await.len() == 2).await;
    let entries = audit(&stack.agent, &["--event", "killed"]).await;
    let killed = only(&entries, "killed");
    assert_eq!((&killed["name"], &killed["connections"], &killed["session"]), (&json!("raw"), &json!(1), &json!(null)));
    let entries = audit(&stack.agent, &["--requestor", "bob"]).await;
    let revoked = only(&entries, "revoked");
    assert_eq!((&revoked["name"], &revoked["count"]), (&json!(null), &json!(1)), "bob's other link was gone before");
    let ends: Vec<_> = entries.iter().filter(|entry| entry["event"] == "ended").map(|end| &end["reason"]).collect();
    assert_eq!(ends, [&json!("killed"), &json!("revoked")]);
    assert_eq!(events(&entries).iter().filter(|event| **event == "minted").count(), 2);
}
