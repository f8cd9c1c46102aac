//! Time: until when a link may be used first, and until when again. The tests wait for what an inspection says.

use porthole_tests::agent::{Mint, Minted};
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use porthole_tests::ws::Closed;
use serde_json::{Value, json};

use crate::support::{Console, GREETING, NAME, echo_stack, refusal, refused, secret};

/// What `POST /api/console` says of a link, in a word.
async fn state(stack: &Stack, link: &Minted) -> String {
    let answer = stack.edge.inspect(&json!({ "token": link.token })).await.unwrap();
    let answer: Value = serde_json::from_slice(answer.body()).unwrap();
    answer["reason"].as_str().unwrap_or("good").to_owned()
}

/// Waits until the link is too old for its first use.
async fn outlive(stack: &Stack, link: &Minted) {
    eventually(PATIENCE, "the link to expire", async || state(stack, link).await == "expired").await;
}

#[tokio::test]
async fn a_link_must_be_used_in_time_for_the_first_time() {
    let (stack, console) = echo_stack().await;
    let mut links = Vec::new();
    for policy in ["bound", "once", "reusable"] {
        links.push(stack.mint(Mint::of(NAME).policy(policy).ttl(3)).await);
    }
    let reusable = &links[2];
    let open = [stack.upgrade(reusable).open().await, stack.upgrade(reusable).open().await];
    for link in &links {
        outlive(&stack, link).await;
        for request in [stack.upgrade(link), stack.edge.upgrade(&link.url).bound(&secret())] {
            assert_eq!(refusal(&request).await, refused(401, "expired"), "{}", link.json);
        }
    }
    assert_eq!(console.connections(), 2);
    // Who is in, is in.
    for mut session in open {
        assert_eq!(session.binary().await, GREETING);
        session.send_binary(b"still").await.unwrap();
        assert_eq!(session.binary().await, b"still");
    }
}

#[tokio::test]
async fn a_bound_link_reconnects_until_its_session_is_as_long_as_may_be() {
    let console = Console::listen().await;
    let longest = |agent: porthole_tests::agent::AgentBuilder| agent.set("sessions.longest", "8s");
    let stack = Stack::builder().agent(console.configured()).agent(longest).start().await;
    let console = console.echo();
    let (link, mine) = (stack.mint(Mint::of(NAME).ttl(3)).await, secret());
    let witness = stack.mint(Mint::of(NAME).policy("reusable").ttl(3)).await;
    let bound = |secret: &str| stack.edge.upgrade(&link.url).bound(secret);
    let first = bound(&mine).open().await;

    outlive(&stack, &witness).await;
    drop(first);
    assert_eq!(refusal(&bound(&secret())).await, refused(403, "not_yours"));
    assert_eq!(refusal(&stack.upgrade(&link)).await, refused(403, "not_yours"));
    let mut again = bound(&mine).open().await;
    assert_eq!(again.binary().await, GREETING);

    // Its session does not grow longer by that: the limit counts from the first use.
    assert_eq!(again.closed().await, Closed { code: Some(4415), reason: "limit_reached".to_owned() });
    assert_eq!(refusal(&bound(&mine)).await, refused(401, "expired"));
    assert_eq!(console.connections(), 2);
}
