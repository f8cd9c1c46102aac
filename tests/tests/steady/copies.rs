//! Bytes copied in the daemons' own memory, from one buffer to another.

use std::path::Path;

use super::MIB;
use super::carrying::Carrying;

const WARM: usize = 2 * MIB;
const COUNTED: usize = 32 * MIB;

/// How often a byte may be copied, in hundredths: down, and up. For each record rustls takes a buffer of its own, which
/// bytes are copied into and out of: 4.4 times in an edge, which has TLS on both sides, twice in an agent on the way down.
/// On the way up an agent joins frames besides: 3.3 times.
const MOST: [(&str, u64, u64); 2] = [("edge", 480, 480), ("agent", 220, 370)];

fn copied(directory: &Path, daemon: &str) -> u64 {
    let bytes = std::fs::read(directory.join(daemon)).unwrap();
    u64::from_ne_bytes(bytes.try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_is_copied_a_few_times() {
    let directory = tempfile::tempdir().unwrap();
    let library = directory.path().join("copies.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/steady/copies.c");
    let mut compiler = std::process::Command::new("cc");
    compiler.args(["-O2", "-Wall", "-Werror", "-fno-builtin", "-shared", "-fPIC", "-o"]).arg(&library).arg(source);
    assert!(compiler.status().unwrap().success());
    let mut carrying = Carrying::start(|daemon| {
        let counter = directory.path().join(daemon);
        let preload = format!("LD_PRELOAD={}", library.display());
        vec!["env".to_owned(), preload, format!("COPIES={}", counter.display())]
    })
    .await;
    carrying.down(WARM).await;
    carrying.up(WARM).await;
    let counted = |daemon: &str| copied(directory.path(), daemon);
    let before = MOST.map(|(daemon, ..)| counted(daemon));
    carrying.down(COUNTED).await;
    let between = MOST.map(|(daemon, ..)| counted(daemon));
    carrying.up(COUNTED).await;
    let after = MOST.map(|(daemon, ..)| counted(daemon));
    let times = |bytes: u64| bytes * 100 / COUNTED as u64;
    for (place, (daemon, most_down, most_up)) in MOST.into_iter().enumerate() {
        let down = times(between[place] - before[place]);
        let up = times(after[place] - between[place]);
        println!("{daemon}: {down} % down, {up} % up");
        assert!((1..=most_down).contains(&down) && (1..=most_up).contains(&up), "{daemon}: {down} % down, {up} % up");
    }
}
