//! System calls: reads and writes that become small show here.

use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use porthole_tests::process::{Lifetime, Process};
use porthole_tests::wait::PATIENCE;

use super::MIB;
use super::carrying::Carrying;

/// How much goes through before anything is counted, and how much while it is.
const WARM: usize = 4 * MIB;
const COUNTED: usize = 64 * MIB;

/// Pieces of 64 KiB are 16 reads and 16 writes for a MiB, with as many looks at the sockets at most. Pieces of 4 KiB, which
/// is what streams over TLS read, would be over 500.
const CALLS_PER_MIB: usize = 160;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mebibyte_costs_few_system_calls() {
    let mut carrying = Carrying::start(|_| Vec::new()).await;
    carrying.down(WARM).await;
    let mut counting = Vec::new();
    for (name, daemon) in carrying.daemons() {
        let table = carrying.stack.directory().join(format!("{name}.calls"));
        let mut strace = Command::new("strace");
        strace
            .args(["--follow-forks", "--summary-only", "--attach", &daemon.pid().to_string(), "--output"])
            .arg(&table);
        let log = carrying.stack.directory().join(format!("{name}.strace"));
        let strace = Process::spawn("strace", &strace, &log, Lifetime::Attached, Stdio::null()).unwrap();
        strace.wait_for_log_line("attached").await;
        counting.push((name, strace, table));
    }
    carrying.down(COUNTED).await;
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
