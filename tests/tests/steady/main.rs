//! What it costs to carry a fixed amount, in system calls: counted, not timed. Reads and writes that become small show
//! here, whatever the machine is doing; allocations are counted by the daemons' own tests of this name.

use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use porthole_tests::agent::Mint;
use porthole_tests::process::{Lifetime, Process};
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, within};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use uuid::Uuid;

const MIB: usize = 1 << 20;

/// How much goes through before anything is counted, and how much while it is.
const WARM: usize = 4 * MIB;
const COUNTED: usize = 64 * MIB;

/// Pieces of 64 KiB are 16 reads and 16 writes for a MiB, with as many looks at the sockets at most. Pieces of 4 KiB, which
/// is what streams over TLS read, would be over 500.
const CALLS_PER_MIB: usize = 160;

/// A console that has so many bytes to say.
async fn flood(bytes: usize) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let chunk = vec![b'f'; 64 * 1024];
        for _ in 0..bytes.div_ceil(chunk.len()) {
            stream.write_all(&chunk).await.unwrap();
        }
        // Until the session ends.
        let _closed = stream.readable().await;
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mebibyte_costs_few_system_calls() {
    // As much again is on its way when the counting ends.
    let console = flood(2 * (WARM + COUNTED)).await;
    let stack = Stack::builder()
        .agent(move |agent| agent.external(Uuid::new_v4(), "flood", "tcp", console).set("log.level", "info"))
        .edge(|edge| edge.set("log.level", "info"))
        .start()
        .await;
    let link = stack.agent.mint(Mint::of("flood").kind("tcp")).await;
    let mut client = stack.upgrade(&link).open().await;
    let mut read = async |bytes: usize| {
        within(4 * PATIENCE, "the flood", async {
            let mut read = 0;
            while read < bytes {
                read += client.binary().await.len();
            }
        })
        .await;
    };
    read(WARM).await;
    let daemons = [("edge", stack.edge.process().pid()), ("agent", stack.agent.process().pid())];
    let mut counting = Vec::new();
    for (name, pid) in daemons {
        let table = stack.directory().join(format!("{name}.calls"));
        let mut strace = Command::new("strace");
        strace.args(["--follow-forks", "--summary-only", "--attach", &pid.to_string(), "--output"]).arg(&table);
        let log = stack.directory().join(format!("{name}.strace"));
        let strace = Process::spawn("strace", &strace, &log, Lifetime::Attached, Stdio::null()).unwrap();
        strace.wait_for_log_line("attached").await;
        counting.push((name, strace, table));
    }
    read(COUNTED).await;
    for (name, strace, table) in counting {
        strace.signal(Signal::SIGINT);
        let _interrupted = strace.wait(PATIENCE).await.unwrap();
        let table = std::fs::read_to_string(table).unwrap();
        let last = table.lines().rfind(|line| line.ends_with("total")).unwrap_or_else(|| panic!("{table}"));
        let calls: usize = last.split_whitespace().nth(3).unwrap().parse().unwrap();
        let each = calls / (COUNTED / MIB);
        assert!(each > 0 && each <= CALLS_PER_MIB, "{each} calls for a MiB through the {name}:\n{table}");
    }
}
