//! Instructions, as callgrind counts them.

use std::path::Path;
use std::process::Command;

use super::MIB;
use super::carrying::Carrying;

const WARM: usize = MIB;
const COUNTED: usize = 8 * MIB;

/// For a KiB: down, and up in a frame of its own. It took 10,030 and 10,120 in an edge, 4,930 and 6,680 in an agent, to
/// one in a hundred the same each time; as built for tests, on a processor with AES and AVX2.
const MOST: [(&str, u64, u64); 2] = [("edge", 11_000, 11_000), ("agent", 5_500, 7_500)];

fn control(directory: &Path, what: &str, pid: i32) {
    let mut control = Command::new("callgrind_control");
    let output = control.args([what, &pid.to_string()]).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// How many there were since the last dump; this one is the daemon's so manieth.
fn instructions(directory: &Path, daemon: &str, pid: i32, number: usize) -> u64 {
    control(directory, "--dump", pid);
    let dump = std::fs::read_to_string(directory.join(format!("{daemon}.{number}"))).unwrap();
    let totals = dump.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap();
    totals.trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kibibyte_costs_few_instructions() {
    let directory = tempfile::tempdir().unwrap();
    let mut carrying = Carrying::start(|daemon| {
        let dump = format!("--callgrind-out-file={}", directory.path().join(daemon).display());
        ["valgrind", "--tool=callgrind", &dump].map(str::to_owned).into()
    })
    .await;
    let pids = carrying.daemons().map(|(daemon, process)| (daemon, process.pid()));
    let count = |number| pids.map(|(daemon, pid)| instructions(directory.path(), daemon, pid, number));
    carrying.down(WARM).await;
    carrying.up(WARM).await;
    count(1);
    carrying.down(COUNTED).await;
    let down = count(2);
    carrying.up(COUNTED).await;
    let up = count(3);
    for (place, (daemon, most_down, most_up)) in MOST.into_iter().enumerate() {
        let [down, up] = [down, up].map(|counts| counts[place] / (COUNTED as u64 / 1024));
        println!("{daemon}: {down} down, {up} up");
        assert!((1..=most_down).contains(&down) && (1..=most_up).contains(&up), "{daemon}: {down} down, {up} up");
    }
}
