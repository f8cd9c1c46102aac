//! The harness itself: what the tests of the product stand on.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use nix::sys::signal::Signal;
use porthole_tests::edge::{Edge, Node};
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::pki::Pki;
use porthole_tests::process::{Identity, run_briefly};
use porthole_tests::rfb;
use porthole_tests::stack::Stack;
use porthole_tests::stream::Plain;
use porthole_tests::wait::{PATIENCE, eventually};
use porthole_tests::ws::{Closed, Event, Frame, Opcode, Upgrade};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{self, Message};

#[tokio::test]
async fn a_guest_boots_and_shows_its_screen() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("screen").start().await;
    assert_eq!(guest.state().await.unwrap(), "running");
    assert!(guest.serial_log(0).contains("TINYGUEST READY COM1"));
    guest.show_quadrants().await;

    let qemu = guest.qemu().unwrap();
    drop(guest);
    assert!(!qemu.is_alive());
}

#[tokio::test]
async fn the_rfb_client_sees_what_libvirt_sees() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("rfb").vnc_on_tcp().start().await;
    let stream = TcpStream::connect(("127.0.0.1", guest.graphics_port())).await.unwrap();
    let mut client = rfb::Client::handshake(Plain(stream)).await.unwrap();
    assert_eq!(client.name(), format!("QEMU ({})", guest.name()));
    let text = client.full_frame().await.unwrap();
    assert_eq!(text.difference(&guest.screenshot().await.unwrap()), 0, "{text:?}");
    assert!(!text.is_quadrants());

    client.type_key('p').await.unwrap();
    eventually(PATIENCE, "the typed key on COM1", async || guest.serial_log(0).contains("Kp")).await;

    guest.show_quadrants().await;
    let quadrants = client.full_frame().await.unwrap();
    assert!(quadrants.is_quadrants(), "{quadrants:?}");
}

#[tokio::test]
async fn a_libvirtd_restart_keeps_the_guest() {
    let libvirt = PrivateLibvirt::start().await;
    let guest = libvirt.guest("keeps").start().await;
    let (qemu, daemon) = (guest.qemu().unwrap(), libvirt.daemon_pid().unwrap());
    libvirt.restart_daemon().await;
    assert_ne!(libvirt.daemon_pid(), Some(daemon));
    assert!(qemu.is_alive());
    assert_eq!(guest.qemu(), Some(qemu));
    assert_eq!(guest.state().await.unwrap(), "running");
    libvirt.kill_daemon().await;
    libvirt.start_daemon().await;
    assert_eq!(guest.qemu(), Some(qemu));
}

#[tokio::test]
async fn a_guest_and_libvirtd_can_be_frozen() {
    let libvirt = PrivateLibvirt::start().await;
    let guest = libvirt.guest("frozen").start().await;
    let answers = async || tokio::time::timeout(Duration::from_millis(500), guest.screenshot()).await.is_ok();
    assert!(answers().await);
    guest.freeze();
    assert!(!answers().await);
    guest.thaw();
    eventually(PATIENCE, "the thawed guest to answer", answers).await;

    libvirt.pause_daemon();
    assert!(!answers().await);
    libvirt.resume_daemon();
    eventually(PATIENCE, "libvirtd to answer", answers).await;
}

#[tokio::test]
async fn a_guest_ends_in_each_way() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("ends").panic_device().start().await;
    let ended = async |reason: &str| {
        guest.wait_for_state("shut off").await;
        let state = guest.virsh("domstate", &["--reason"]).await.unwrap();
        assert_eq!(state.trim(), format!("shut off ({reason})"));
    };
    guest.shutdown().await;
    ended("shutdown").await;
    guest.boot().await.unwrap();
    guest.command("poweroff").await;
    ended("shutdown").await;
    guest.boot().await.unwrap();
    guest.destroy().await;
    ended("destroyed").await;
    guest.boot().await.unwrap();
    guest.command("panic").await;
    ended("crashed").await;
    guest.boot().await.unwrap();
    guest.kill_qemu();
    ended("crashed").await;
}

#[tokio::test]
async fn the_guest_obeys_on_its_serial_ports() {
    use porthole_tests::guest::Serial;
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("serial").serials(vec![Serial::Unix; 4]).start().await;
    for port in 0..4 {
        let greeting = format!("TINYGUEST READY COM{}", port + 1);
        eventually(PATIENCE, &greeting, async || guest.serial_log(port).contains(&greeting)).await;
        let mut serial = guest.serial(port).await;
        serial.say("hello\r").await;
        serial.read_until("you said: hello\r\n> ").await;
    }
    let mut flooded = guest.serial(1).await;
    flooded.say("flood\r").await;
    flooded.read_until("XYZ").await;

    // A flood on one port, read or not, stops no other.
    let mut serial = guest.serial(0).await;
    serial.say("count 3000\r").await;
    let counted = serial.read_until("counted 3000").await;
    let numbers: Vec<u32> = counted.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(numbers.iter().copied().eq(1..=3000), "{counted}");

    flooded.say("x").await;
    flooded.read_until("flood over\r\n> ").await;

    serial.say("reboot\r").await;
    serial.read_until("TINYGUEST READY COM1").await;
    assert_eq!(guest.state().await.unwrap(), "running");
}

#[tokio::test]
async fn two_hosts_live_side_by_side_and_a_guest_moves() {
    let (a, b) = tokio::join!(PrivateLibvirt::start(), PrivateLibvirt::start());
    let guest = a.guest("moves").serials([]).start().await;
    let port = porthole_tests::ports::free_port();
    let (destination, transport) = (b.uri(), format!("tcp://127.0.0.1:{port}"));
    guest.virsh("migrate", &["--live", "--p2p", &destination, &transport]).await.unwrap();
    assert_eq!(guest.state().await.unwrap(), "shut off");
    assert_eq!(b.virsh(&["domstate", guest.name()]).await.unwrap().trim(), "running");
}

#[tokio::test]
async fn nothing_is_left_of_a_host() {
    let libvirt = PrivateLibvirt::start().await;
    let guest = libvirt.guest("left").kept().start().await;
    let directory = libvirt.directory().to_owned();
    let daemon = Identity::of(libvirt.daemon_pid().unwrap()).unwrap();
    let qemu = guest.qemu().unwrap();
    drop((libvirt, guest));
    assert!(!daemon.is_alive() && !qemu.is_alive());
    assert!(!directory.exists());
}

#[tokio::test]
async fn an_edge_starts_stops_and_starts_again() {
    let directory = tempfile::Builder::new().prefix("ph-").tempdir_in("/tmp").unwrap();
    let pki = Pki::open(&directory.path().join("pki")).await.unwrap();
    let edge = Edge::builder(&directory.path().join("edge"), "edge-1", &pki).await.unwrap();
    let mut edge = edge.node(Node::new("compute-1", "127.0.0.1:1")).start().await.unwrap();
    assert_eq!(edge.fetch("/no-such-page").await.unwrap().status(), 404);
    let refused = edge.upgrade(&format!("{}/console", edge.url())).send().await.unwrap().refusal();
    assert_eq!(refused, (401, "missing_token".to_owned()));
    assert!(edge.process().open_descriptors() > 3 && edge.process().resident_memory() > 1 << 20);

    assert!(edge.stop().await.success());
    edge.fetch("/").await.unwrap_err();
    edge.start_again().await;
    edge.crash();
    edge.start_again().await;
    assert_eq!(edge.fetch("/no-such-page").await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_viewer_sees_the_guest_through_the_whole_stack() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("stack").start().await;
    guest.show_quadrants().await;
    let stack = Stack::on(&libvirt).await;
    let mut viewer = stack.view(&guest).await;
    assert!(viewer.full_frame().await.unwrap().is_quadrants());
    assert_eq!(stack.agent.sessions().await.len(), 1);
}

/// `make up` twice, with an accident in between, and `make down`.
#[tokio::test]
async fn a_trial_stack_is_kept_mended_and_ended() {
    let trial = TrialInADirectory(tempfile::Builder::new().prefix("ph-").tempdir_in("/tmp").unwrap());
    let first = trial.up();
    assert_eq!(trial.up(), first);
    let (agent, edge) = (identity(&first["agent"]), identity(&first["edge"]));
    let libvirt = PrivateLibvirt::find(&trial.0.path().join("libvirt")).unwrap();
    assert_eq!(libvirt.uri(), first["libvirt_uri"].as_str().unwrap());
    let daemon = Identity::of(libvirt.daemon_pid().unwrap()).unwrap();
    for domain in first["domains"].as_array().unwrap() {
        let state = libvirt.virsh(&["domstate", domain["uuid"].as_str().unwrap()]).await.unwrap();
        assert_eq!(state.trim(), "running");
    }

    agent.signal(Signal::SIGKILL);
    eventually(PATIENCE, "the agent's end", async || !agent.is_alive()).await;
    let mended = trial.up();
    let new_agent = identity(&mended["agent"]);
    assert_ne!(new_agent, agent);
    assert_eq!(mended["edge"], first["edge"]);
    assert!(edge.is_alive() && daemon.is_alive());

    assert!(trial.stack("down"));
    for process in [new_agent, edge, daemon] {
        assert!(!process.is_alive());
    }
    let left: Vec<_> = std::fs::read_dir(trial.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"]);
    assert!(trial.stack("down"), "once more is no error");
}

/// Down, whatever becomes of the test.
struct TrialInADirectory(tempfile::TempDir);

impl TrialInADirectory {
    fn stack(&self, command: &str) -> bool {
        let mut stack = std::process::Command::new(env!("CARGO_BIN_EXE_stack"));
        stack.arg(command).arg(self.0.path());
        run_briefly(&mut stack, 2 * PATIENCE)
    }

    fn up(&self) -> Value {
        assert!(self.stack("up"));
        serde_json::from_slice(&std::fs::read(self.0.path().join("stack.json")).unwrap()).unwrap()
    }
}

impl Drop for TrialInADirectory {
    fn drop(&mut self) {
        self.stack("down");
    }
}

fn identity(described: &Value) -> Identity {
    Identity::of(described["pid"].as_i64().unwrap().try_into().unwrap()).unwrap()
}

/// The WebSocket client of the tests against a server that others wrote.
#[tokio::test]
async fn the_websocket_client_speaks_with_tungstenite() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/console?token=t", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Binary(bytes) => socket.send(Message::Binary(bytes)).await.unwrap(),
                Message::Text(_) => {
                    let reason = tungstenite::protocol::CloseFrame { code: 4413.into(), reason: "killed".into() };
                    socket.close(Some(reason)).await.unwrap();
                }
                _ => {}
            }
        }
    });
    let mut client = Upgrade::to(&url).open().await;
    assert_eq!(client.head().status, 101);
    for length in [0, 200, 70_000] {
        client.send_binary(&vec![5; length]).await.unwrap();
        assert_eq!(client.binary().await.len(), length);
    }
    client.send_frame(&Frame::new(Opcode::Ping, b"?")).await.unwrap();
    assert_eq!(client.next().await.unwrap(), Event::Pong(b"?".to_vec()));
    client.send_text("end").await.unwrap();
    assert_eq!(client.closed().await, Closed { code: Some(4413), reason: "killed".to_owned() });
    assert_eq!(client.next().await.unwrap(), Event::End);
    server.await.unwrap();
}
