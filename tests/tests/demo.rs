//! `make demo`: what it prints is true, and it ends with nothing left.

use std::io::Write as _;
use std::process::{ChildStdin, Command, Stdio};

use nix::sys::signal::Signal;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::process::{Identity, Lifetime, Process, run_briefly};
use porthole_tests::rfb;
use porthole_tests::wait::{PATIENCE, eventually, eventually_some};
use porthole_tests::ws::Upgrade;
use serde_json::Value;
use tempfile::TempDir;

#[tokio::test]
async fn a_demo_prints_links_that_open_and_ends_with_ctrl_c() {
    let demo = Demo::start();
    let (mut input, links) = (demo.process.take_input().unwrap(), || demo.links());
    demo.process.wait_for_log_line("?token=").await;
    let first = links().remove(0);
    let described = demo.described();
    let ca = described["edge"]["ca"].as_str().unwrap();
    let open = async |link: &str| Upgrade::to(link).ca(ca.as_ref()).protocols(&["binary"]).send().await.unwrap();

    let mut viewer = rfb::Client::handshake(open(&first).await.opened()).await.unwrap();
    assert!(viewer.full_frame().await.unwrap().width > 0);
    assert_eq!(open(&first).await.refusal().1, "used");

    // What it says to type in another terminal.
    let said = demo.process.log();
    let settings = said.lines().find_map(|line| line.trim().strip_prefix("export ")).unwrap();
    let typed = format!("export {settings}; porthole sessions --json");
    let sessions = Command::new("bash").args(["-c", &typed]).output().unwrap();
    let sessions: Value = serde_json::from_slice(&sessions.stdout).unwrap();
    assert_eq!(sessions["sessions"][0]["name"], "demo", "{sessions}");

    // Enter gives another link, for which a guest that was shut off starts again.
    let libvirt = PrivateLibvirt::find(&demo.directory.path().join("libvirt")).unwrap();
    libvirt.virsh(&["destroy", "demo"]).await.unwrap();
    enter(&mut input, "");
    let second = eventually_some(PATIENCE, "a second link", async || links().get(1).cloned()).await;
    assert!(demo.process.log().contains("demo was shut off, and starts again"));
    open(&second).await.opened();
    enter(&mut input, "no-such-guest");
    eventually(PATIENCE, "words", async || demo.process.log().contains("no console \"no-such-guest\"")).await;

    // Not twice in one directory.
    assert!(!run_briefly(&mut stack("demo", &demo.directory), PATIENCE));

    let daemons = ["agent", "edge"].map(|daemon| described[daemon]["pid"].as_i64().unwrap());
    let daemons = daemons.map(|pid| Identity::of(pid.try_into().unwrap()).unwrap());
    let host = Identity::of(libvirt.daemon_pid().unwrap()).unwrap();
    demo.process.signal(Signal::SIGINT);
    demo.process.signal(Signal::SIGINT);
    demo.ended().await;
    assert!(daemons.into_iter().chain([host]).all(|process| !process.is_alive()));
}

#[tokio::test]
async fn a_demo_that_is_stopped_while_it_starts_leaves_nothing() {
    let demo = Demo::start();
    let host = demo.directory.path().join("libvirt/host.log");
    eventually(PATIENCE, "the first of it to start", async || host.exists()).await;
    demo.process.signal(Signal::SIGHUP);
    demo.ended().await;
    assert!(PrivateLibvirt::find(&demo.directory.path().join("libvirt")).is_none());
}

#[tokio::test]
async fn a_demo_ends_with_make_down() {
    let demo = Demo::start();
    demo.process.wait_for_log_line("?token=").await;
    assert!(demo.down());
    demo.ended().await;
    assert!(demo.process.log().contains("`make down` has ended the stack"));
}

/// One in a directory of its own. Down, whatever becomes of the test.
struct Demo {
    process: Process,
    directory: TempDir,
    _log: TempDir,
}

impl Demo {
    fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("ph-").tempdir_in("/tmp").unwrap();
        let log = tempfile::tempdir().unwrap();
        let command = stack("demo", &directory);
        let file = log.path().join("demo.log");
        let process = Process::spawn("demo", &command, &file, Lifetime::Attached, Stdio::piped()).unwrap();
        Self { process, directory, _log: log }
    }

    fn described(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.directory.path().join("stack.json")).unwrap()).unwrap()
    }

    fn links(&self) -> Vec<String> {
        let said = self.process.log();
        said.lines().map(str::trim).filter(|line| line.contains("?token=")).map(str::to_owned).collect()
    }

    async fn ended(&self) {
        let status = self.process.wait(2 * PATIENCE).await.unwrap();
        assert!(status.success(), "{status}; it said:\n{}", self.process.log());
        assert!(self.process.log().ends_with("Nothing is left running.\n"));
        let left: Vec<_> =
            std::fs::read_dir(&self.directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"]);
    }

    fn down(&self) -> bool {
        run_briefly(&mut stack("down", &self.directory), 2 * PATIENCE)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.process.kill();
        self.down();
    }
}

fn stack(command: &str, directory: &TempDir) -> Command {
    let mut stack = Command::new(env!("CARGO_BIN_EXE_stack"));
    stack.arg(command).arg(directory.path());
    stack
}

fn enter(input: &mut ChildStdin, text: &str) {
    writeln!(input, "{text}").unwrap();
}
