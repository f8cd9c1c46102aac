//! The command line itself: help, mistakes, completion, and what the binary is linked with.

use std::io::Read as _;
use std::process::Stdio;

use crate::run::{command, run};

#[test]
fn help_goes_to_standard_output_and_documents_exit_codes() {
    let help = run(&["--help"]).ok().stdout;
    for words in ["Exit codes:", "refused", "cannot be reached", "--json", "PORTHOLE_SOCKET", "porthole url"] {
        assert!(help.contains(words), "{words:?} is missing in: {help}");
    }
    assert!(run(&["url", "--help"]).ok().stdout.contains("porthole url web-01 --type spice"));
    assert!(run(&["--version"]).ok().stdout.starts_with("porthole 0"));
}

#[test]
fn mistakes_are_usage_errors_that_name_what_is_allowed() {
    for (arguments, words) in [
        (vec![], "Usage: porthole"),
        (vec!["frobnicate"], "frobnicate"),
        (vec!["url"], "NAME"),
        (vec!["url", "a/b"], "without control characters or `/`"),
        (vec!["url", "x", "--type", "rdp"], "spice-html5"),
        (vec!["url", "x", "--policy", "never"], "reusable"),
        (vec!["url", "x", "--ttl", "soon"], "number with a unit"),
        (vec!["url", "x", "--ttl", "10ms"], "a second at least"),
        (vec!["url", "x", "--index", "256"], "256"),
        (vec!["sessions", "kill", "7"], "use a UUID"),
        (vec!["status", "--timeout", "x"], "number with a unit"),
        (vec!["pki", "agent", "--node", "Compute_1"], "lower-case DNS name"),
        (vec!["pki", "public"], "--san"),
        (vec!["pki", "public", "--san", "https://x"], "neither a DNS name"),
        (vec!["pki", "init", "--days", "0"], "36500"),
    ] {
        run(&arguments).failed(2).saying(&[words]);
    }
}

#[test]
fn completion_is_there_for_three_shells() {
    for (shell, sign) in [("bash", "_porthole()"), ("zsh", "#compdef porthole"), ("fish", "complete -c porthole")] {
        let script = run(&["completion", shell]).ok().stdout;
        assert!(script.contains(sign) && script.contains("sessions"), "{shell}: {script}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    // More than a pipe holds, so that it is written to after the reader has gone.
    let mut child = command(&["completion", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn libvirt_is_not_linked() {
    let binary = std::fs::read(env!("CARGO_BIN_EXE_porthole")).unwrap();
    assert!(binary.windows(7).any(|window| window == b"libc.so"), "not a dynamically linked binary?");
    assert!(!binary.windows(10).any(|window| window == b"libvirt.so"));
}
