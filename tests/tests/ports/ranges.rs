//! Ranges that cannot be: said before anything starts, and by `--check-config`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use porthole_tests::places;
use porthole_tests::stack::Stack;
use uuid::Uuid;

/// Whether the agent is content with the file, and what it says.
fn run(arguments: &[&str], config: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(places::binary("porthole-agent").expect("the agent is built"));
    command.args(arguments).arg("--config").arg(config).stdin(Stdio::null());
    command.env_remove("RUST_BACKTRACE").env_remove("RUST_LIB_BACKTRACE");
    let output = command.output().expect("the agent runs");
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8"))
}

#[tokio::test]
async fn what_is_wrong_with_a_range_is_said_at_the_start_and_when_asked() {
    let external = |agent: porthole_tests::agent::AgentBuilder| {
        agent.external(Uuid::new_v4(), "raw", "tcp", SocketAddr::from(([127, 0, 0, 1], 9)))
    };
    let mut stack = Stack::builder().agent(external).start().await;
    assert!(stack.agent.stop().await.success());
    let good = std::fs::read_to_string(stack.agent.config_path()).expect("its configuration");
    let file = stack.directory().join("ranges.toml");
    let kernel = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("the kernel's range");
    let first: u32 = kernel.split_whitespace().next().and_then(|first| first.parse().ok()).expect("a number");
    let ephemeral = format!("graphics = \"{first}:{}\"", first + 10);
    for (lines, words) in [
        ("serial = \"20000:10000\"", &["20000:10000 is reversed", "ranges.toml", "line"][..]),
        ("serial = \"10000:10000\"", &["10000:10000 is empty"]),
        ("serial = \"60000:70000\"", &["beyond port 65535"]),
        ("serial = \"10000:20001\"", &["[ports] serial (10000:20001) and graphics (20000:30000) overlap"]),
        ("serial = \"many\"", &["not a range of ports: write \"FIRST:STOP\""]),
        (&ephemeral, &["[ports] graphics", "outgoing connections", "allow_ephemeral = true"]),
    ] {
        std::fs::write(&file, format!("{good}\n[ports]\n{lines}\n")).expect("a file");
        for arguments in [&["--check-config"][..], &[]] {
            let (code, said) = run(arguments, &file);
            assert_eq!(code, Some(1), "{lines}: {said}");
            for word in words {
                assert!(said.contains(word), "{lines}: {word:?} is not in: {said}");
            }
        }
    }
    std::fs::write(&file, format!("{good}\n[ports]\n{ephemeral}\nallow_ephemeral = true\n")).expect("a file");
    let (code, said) = run(&["--check-config"], &file);
    assert_eq!(code, Some(0), "{said}");
}
