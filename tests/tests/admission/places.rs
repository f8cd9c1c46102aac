//! How many there may be, and what is refused by who is about to stop.

use nix::sys::signal::Signal;
use porthole_tests::agent::Mint;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use porthole_tests::ws::Closed;
use serde_json::json;

use crate::support::{BusyConsole, Console, GREETING, NAME, echo_stack, refusal, refused, secret};

#[tokio::test]
async fn a_full_host_refuses_strangers_but_not_its_own() {
    let console = Console::listen().await;
    let limits =
        |agent: porthole_tests::agent::AgentBuilder| agent.set("sessions.max", 2).set("sessions.max_per_console", 2);
    let stack = Stack::builder().agent(console.configured()).agent(limits).start().await;
    let console = console.echo();
    let (mine, link) = (secret(), stack.mint(NAME).await);
    let first = stack.edge.upgrade(&link.url).bound(&mine).open().await;
    let second = stack.open(NAME).await;

    let waiting = stack.mint(Mint::of(NAME).policy("once")).await;
    assert_eq!(refusal(&stack.upgrade(&waiting)).await, refused(503, "full"));
    assert_eq!(console.connections(), 2, "a full host does not bother its consoles");
    // A page, which cannot see a refused upgrade, is told when it asks; asking takes no place.
    for _ in 0..3 {
        let answer = stack.edge.inspect(&json!({ "token": waiting.token })).await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["x-porthole-reason"]), (503, &"full".parse().unwrap()));
        let answer = stack.edge.inspect(&json!({ "token": link.token, "binding": mine })).await.unwrap();
        assert_eq!(answer.status(), 200, "whoever has a place");
    }

    // Whoever has a place may come back to it.
    let mut again = stack.edge.upgrade(&link.url).bound(&mine).open().await;
    assert_eq!(again.binary().await, GREETING);
    drop(first);
    assert_eq!(refusal(&stack.upgrade(&waiting)).await, refused(503, "full"));

    assert_eq!(second.close().await, Closed { code: Some(1000), reason: String::new() });
    eventually(PATIENCE, "a place", async || stack.agent.sessions().await.len() == 1).await;
    assert_eq!(stack.upgrade(&waiting).open().await.binary().await, GREETING);
}

#[tokio::test]
async fn an_agent_that_stops_says_so() {
    let (mut stack, console) = echo_stack().await;
    let link = stack.mint(NAME).await;
    // A viewer that does not answer the agent's goodbye keeps it waiting.
    let _silent = stack.open(NAME).await;
    assert!(stack.agent.process().signal(Signal::SIGTERM));
    stack.agent.process().wait_for_log_line("sessions are told to end").await;
    assert_eq!(refusal(&stack.upgrade(&link)).await, refused(503, "draining"));
    let answer = stack.edge.inspect(&json!({ "token": link.token })).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["x-porthole-reason"]), (503, &"draining".parse().unwrap()));
    assert!(stack.agent.process().wait(PATIENCE).await.unwrap().success());
    assert_eq!(refusal(&stack.upgrade(&link)).await, refused(502, "agent_unreachable"));
    stack.agent.start_again().await;

    // The link has outlived that.
    assert_eq!(stack.upgrade(&link).open().await.binary().await, GREETING);
    assert_eq!(console.connections(), 2);
}

#[tokio::test]
async fn an_edge_that_stops_gives_up_what_is_on_its_way() {
    let console = BusyConsole::listen().await;
    let stack = Stack::builder().agent(console.configured()).start().await;
    let link = stack.mint(NAME).await;
    let request = stack.edge.upgrade(&link.url).bound(&secret());
    let idle = request.connect().await.unwrap();
    let on_its_way = tokio::spawn(async move { refusal(&request).await });
    console.wait_until_knocked_at().await;

    assert!(stack.edge.process().signal(Signal::SIGTERM));
    let unready = async || stack.edge.admin_fetch("/readyz").await.unwrap().status() == 503;
    eventually(PATIENCE, "the edge to be unready", unready).await;
    stack.upgrade(&link).connect().await.expect_err("nobody new is let in");
    let console = console.answer();
    assert_eq!(on_its_way.await.unwrap(), refused(503, "draining"));
    assert!(stack.edge.process().wait(PATIENCE).await.unwrap().success(), "an idle connection keeps no edge");
    drop(idle);
    eventually(PATIENCE, "the console to be left", async || stack.agent.sessions().await.is_empty()).await;
    console.abort();
}
