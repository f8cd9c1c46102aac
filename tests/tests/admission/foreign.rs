//! Tokens at the wrong door: a directory that leads to another agent, keys of another node, and peers that are no edge.

use porthole_shared::names::{NodeId, NodeName};
use porthole_shared::token::Claims;
use porthole_shared::tunnel::{CONSOLE_PATH, INSPECT_PATH};
use porthole_tests::agent::{Agent, Mint};
use porthole_tests::edge::Node;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use porthole_tests::ws::{Answer, Upgrade};
use uuid::Uuid;

use crate::support::{Console, Forge, GREETING, NAME, echo_stack, refusal, refused};

#[tokio::test]
async fn a_token_opens_nothing_on_another_node() {
    let (stack, _console) = echo_stack().await;
    let other_console = Console::listen().await;
    let other = stack.another_agent("compute-2").await.unwrap();
    let other = other_console.configured()(other).start().await.unwrap();
    let other_console = other_console.echo();
    let (link, forge) = (stack.mint(Mint::of(NAME).policy("reusable")).await, Forge::of(&stack.agent));
    let upgrade = || stack.upgrade(&link);
    assert_eq!(upgrade().open().await.binary().await, GREETING);

    // The directory leads to another agent: mutual TLS is with the node's name, so it is as if nobody were there.
    stack.edge.write_nodes(&[Node::new("compute-1", other.tunnel())]).unwrap();
    let answer = async || match upgrade().send().await.unwrap() {
        Answer::Opened(_) => None,
        refused @ Answer::Refused { .. } => Some(refused.refusal()),
    };
    let unreachable = async || answer().await == Some(refused(502, "agent_unreachable"));
    eventually(PATIENCE, "the directory to be read", unreachable).await;
    assert!(stack.edge.log().contains("NotValidForName"), "{}", stack.edge.log());

    // Not in it at all.
    stack.edge.write_nodes(&[Node::from(&other)]).unwrap();
    let unknown = async || answer().await == Some(refused(404, "unknown_node"));
    eventually(PATIENCE, "the directory to be read again", unknown).await;

    // The key of one node signs for another: that node's own keys are what counts.
    let node = NodeId::derived_from(&"compute-2".parse::<NodeName>().unwrap());
    let claiming = forge.sign(&Claims { node, ..forge.claims() });
    let request = stack.edge.upgrade(&format!("{}/?token={claiming}", stack.edge.url()));
    assert_eq!(refusal(&request).await, refused(401, "bad_signature"));

    // Both: each opens its own.
    stack.edge.write_nodes(&[Node::from(&stack.agent), Node::from(&other)]).unwrap();
    let opens = async || answer().await.is_none();
    eventually(PATIENCE, "the directory to be right again", opens).await;
    let others = other.mint(NAME).await;
    assert_eq!(other_console.connections(), 0);
    assert_eq!(stack.upgrade(&others).open().await.binary().await, GREETING);
    assert_eq!(other_console.connections(), 1);

    // An edge whose own directory is wrong is told by the agent.
    assert_eq!(tunnel(&stack, &other, CONSOLE_PATH, &link.token).await, refused(421, "wrong_node"));
    assert_eq!(tunnel(&stack, &other, CONSOLE_PATH, &claiming).await, refused(401, "bad_signature"));
    assert_eq!(tunnel(&stack, &stack.agent, CONSOLE_PATH, &others.token).await, refused(421, "wrong_node"));
    assert_eq!(tunnel(&stack, &other, CONSOLE_PATH, "a.b.c").await, refused(401, "bad_signature"));
    assert_eq!(tunnel(&stack, &other, CONSOLE_PATH, "rubbish").await, refused(400, "bad_request"));
    assert_eq!(tunnel(&stack, &other, INSPECT_PATH, &others.token).await, refused(405, "method_not_allowed"));
    assert_eq!(tunnel(&stack, &other, "/v1/status", &others.token).await, refused(404, "no_such_page"));
    assert_eq!(other_console.connections(), 1);
}

#[tokio::test]
async fn only_edges_are_heard_on_the_tunnel() {
    let (stack, console) = echo_stack().await;
    let link = stack.mint(Mint::of(NAME).policy("reusable")).await;
    let edge = stack.pki.edge("edge-2").await.unwrap();
    let as_edge =
        tunnel_request(&stack, &stack.agent, CONSOLE_PATH, &link.token).identity(&edge.certificate, &edge.key);
    let mut session = as_edge.open().await;
    assert_eq!(session.binary().await, GREETING, "the positive control");
    assert_eq!(stack.agent.sessions().await[0]["edge"], "edge-2", "the name is the certificate's");

    let (agent, public) = (stack.pki.agent("compute-1").await.unwrap(), stack.pki.public().await.unwrap());
    for (what, files) in [("an agent", agent), ("the public certificate", public)] {
        let request = as_edge.clone().identity(&files.certificate, &files.key);
        let error = request.send().await.expect_err(what);
        assert!(!format!("{error:#}").contains("101"), "{what}: {error:#}");
    }
    let nobody = tunnel_request(&stack, &stack.agent, CONSOLE_PATH, &link.token);
    nobody.send().await.expect_err("nobody");
    assert_eq!(console.connections(), 1);
}

/// A raw request to an agent, as an edge makes it.
fn tunnel_request(stack: &Stack, agent: &Agent, path: &str, token: &str) -> Upgrade {
    Upgrade::to(&format!("https://{}{path}", agent.tunnel()))
        .ca(&stack.pki.ca())
        .protocols(&["binary"])
        .header("Authorization", &format!("Bearer {token}"))
        .header("Porthole-Client-Address", "192.0.2.1:40000")
        .header("Porthole-Edge-Instance", &Uuid::new_v4().to_string())
}

async fn tunnel(stack: &Stack, agent: &Agent, path: &str, token: &str) -> (u16, String) {
    let edge = stack.pki.edge("edge-1").await.unwrap();
    let request = tunnel_request(stack, agent, path, token).identity(&edge.certificate, &edge.key);
    request.send().await.unwrap().refusal()
}
