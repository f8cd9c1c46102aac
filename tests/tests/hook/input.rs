//! Whatever the hook is given.

use std::io::Read as _;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::Instant;

use porthole_tests::places;
use tempfile::TempDir;

use crate::support::{LONGEST, NAMESPACE, hook};

/// Settings that lead to nobody, and refuse or let come what is managed.
fn nobody(incoming: &str) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let (config, spool) = (dir.path().join("hook.toml"), dir.path().join("spool"));
    std::fs::create_dir(&spool).unwrap();
    let text = format!(
        "socket = '{}'\nspool = '{}'\nincoming_without_agent = '{incoming}'\n",
        dir.path().join("none.sock").display(),
        spool.display()
    );
    std::fs::write(&config, text).unwrap();
    let path = config.to_string_lossy().into_owned();
    (dir, path)
}

const OPERATIONS: [&str; 10] = [
    "prepare",
    "start",
    "started",
    "stopped",
    "release",
    "migrate",
    "restore",
    "reconnect",
    "attach",
    "later-invented",
];

fn inputs() -> Vec<Vec<u8>> {
    let managed = format!("<domain><metadata><consoles xmlns='{NAMESPACE}'/></metadata></domain>");
    vec![
        Vec::new(),
        b"\0\xff<domain".to_vec(),
        "<domain>".repeat(200_000).into_bytes(),
        vec![b'x'; 5 * 1024 * 1024],
        b"<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><domain><uuid>&b;</uuid></domain>".to_vec(),
        managed.into_bytes(),
    ]
}

#[tokio::test]
async fn without_an_agent_it_ends_soon_and_well() {
    let (_dir, config) = nobody("unchanged");
    for operation in OPERATIONS {
        for input in inputs() {
            let (output, took) = hook(&config, &["-o\n--help", operation, "begin", "-"], &input).await;
            assert!(output.status.success() && output.stdout.is_empty(), "{operation}: {output:?}");
            assert!(took < LONGEST, "{operation}: {took:?}");
            assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1, "{operation}");
        }
    }
}

#[tokio::test]
async fn managed_domains_stay_away_without_an_agent_if_that_is_configured() {
    let (_dir, config) = nobody("refuse");
    for operation in OPERATIONS {
        let mut refused = Vec::new();
        for (number, input) in inputs().iter().enumerate() {
            let (output, _) = hook(&config, &["web-01", operation, "begin", "-"], input).await;
            if !output.status.success() {
                let said = String::from_utf8(output.stderr).unwrap();
                assert!(said.contains("web-01 cannot be given console ports of this host"), "{said}");
                refused.push(number);
            }
        }
        let expected: &[usize] = if ["migrate", "restore"].contains(&operation) { &[5] } else { &[] };
        assert_eq!(refused, expected, "{operation}");
    }
}

#[tokio::test]
async fn bad_settings_harm_no_guest() {
    let (dir, config) = nobody("sometimes");
    let (output, _) = hook(&config, &["web-01", "prepare", "begin", "-"], b"<domain/>").await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("hook.toml") && said.contains("line 3"), "{said}");
    drop(dir);
}

#[test]
fn input_that_does_not_end_and_an_agent_that_says_nothing_are_not_waited_for() {
    let (dir, config) = nobody("unchanged");
    let silent = UnixListener::bind(dir.path().join("none.sock")).unwrap();
    let spawn = || {
        let mut command = Command::new(places::binary("porthole-hook").unwrap());
        command.args(["--config", &config, "web-01", "stopped", "end", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for (words, closed) in [("does not come to an end", false), ("does not answer within", true)] {
        let (began, mut hook) = (Instant::now(), spawn());
        let kept = hook.stdin.take().filter(|_| !closed);
        let status = hook.wait().unwrap();
        assert!(status.success() && began.elapsed() < LONGEST, "{status} {:?}", began.elapsed());
        let mut said = String::new();
        hook.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(said.contains(words), "{said}");
        drop(kept);
    }
    assert_eq!(std::fs::read_dir(dir.path().join("spool")).unwrap().count(), 2, "both are told later");
    drop(silent);
}
