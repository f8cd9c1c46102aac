//! Who may use the agent's API: the kernel says who is at the socket.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use porthole_tests::places;
use porthole_tests::stack::Stack;

use crate::support::{Console, Porthole};

/// `nobody` of every Linux, in no group but its own.
const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

/// A stack whose socket everybody gets to, as far as directories are concerned, and a binary that everybody may run.
async fn stack_in_the_open(group: Option<&'static str>) -> (Stack, Porthole) {
    let console = Console::listen().await;
    let with_group = move |agent: porthole_tests::agent::AgentBuilder| match group {
        Some(group) => agent.set("api.group", group),
        None => agent,
    };
    let stack = Stack::builder().agent(console.configured()).agent(with_group).start().await;
    for directory in stack.agent.socket().ancestors().skip(1).take_while(|above| *above != Path::new("/tmp")) {
        set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
    }
    let binary = stack.directory().join("porthole");
    std::fs::copy(places::binary("porthole").unwrap(), &binary).unwrap();
    let porthole = Porthole::of(&stack.agent).binary(binary);
    (stack, porthole)
}

#[tokio::test]
async fn root_may_and_others_may_not() {
    let (stack, root) = stack_in_the_open(None).await;
    let nobody = root.with_credentials(&NOBODY);
    assert!(root.print(&["status"]).await.contains("compute-1"));
    assert_eq!(std::fs::metadata(stack.agent.socket()).unwrap().mode() & 0o777, 0o600);
    let (_, message) = nobody.refused(&["status"], 3).await;
    assert!(message.to_lowercase().contains("permission denied"), "{message}");

    // Were the socket's mode wrong, the agent would still know who is there.
    set_permissions(stack.agent.socket(), Permissions::from_mode(0o666)).unwrap();
    for arguments in [&["status"][..], &["consoles"], &["url", "bmc-7"], &["sessions"], &["keys", "rotate"]] {
        let (code, message) = nobody.refused(arguments, 1).await;
        assert_eq!(code.as_deref(), Some("not_allowed"), "{arguments:?}: {message}");
        assert!(message.contains("65534"), "{message}");
    }
    let link = root.print(&["url", "bmc-7"]).await;
    assert!(link.starts_with("https://"), "{link}");

    // What the agent keeps is for nobody else to read.
    let state = stack.agent.database();
    assert_eq!(std::fs::metadata(&state).unwrap().mode() & 0o077, 0);
    assert_eq!(std::fs::metadata(state.with_file_name("keys")).unwrap().mode() & 0o077, 0);
}

#[tokio::test]
async fn a_group_may() {
    let (stack, root) = stack_in_the_open(Some("daemon")).await;
    let metadata = std::fs::metadata(stack.agent.socket()).unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o660);
    assert!(![0, 65534].contains(&metadata.gid()), "the group's own id");
    let member = root.with_credentials(&["--reuid=65534", &format!("--regid={}", metadata.gid()), "--clear-groups"]);
    assert!(member.print(&["status"]).await.contains("compute-1"));
    assert!(root.print(&["status"]).await.contains("compute-1"));
    root.with_credentials(&NOBODY).refused(&["status"], 3).await;
    set_permissions(stack.agent.socket(), Permissions::from_mode(0o666)).unwrap();
    let (code, _) = root.with_credentials(&NOBODY).refused(&["status"], 1).await;
    assert_eq!(code.as_deref(), Some("not_allowed"));
}
