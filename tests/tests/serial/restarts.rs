//! The agent ends, however, and comes again: what its next run makes of a port that was in use.

use porthole_tests::agent::Minted;
use porthole_tests::guest::{Guest, Serial};
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::manager::Manager;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use serde_json::{Value, json};

use crate::faults::{come_back, rest, secret};
use crate::support::{Viewer, counted, serial};

/// Somebody who watches a guest count, and comes back whenever the agent does.
struct Watching {
    link: Minted,
    secret: String,
    viewer: Viewer,
    start: Value,
    text: Vec<u8>,
    /// What was said to its connections before this one.
    said: Vec<Value>,
}

impl Watching {
    async fn of(stack: &Stack, guest: &Guest) -> Self {
        let (link, secret) = (stack.mint(serial(guest)).await, secret());
        let mut viewer = Viewer::bound(stack, &link, &secret).await;
        let start = viewer.begins().await["start"].clone();
        // What the guest said of itself may have been before the agent came, and is nowhere then but in a log.
        viewer.types("hello\r").await;
        let text = viewer.reads("you said: hello\r\n> ").await.into_bytes();
        Self { link, secret, viewer, start, text, said: Vec::new() }
    }

    /// Reads on until a text has come, if it has not before.
    async fn reads(&mut self, text: &str) {
        if String::from_utf8_lossy(&self.text).contains(text) {
            return;
        }
        let read = self.viewer.reads(text).await;
        self.text.extend(read.into_bytes());
    }

    async fn comes_back(&mut self, stack: &Stack) {
        self.text.extend(rest(&mut self.viewer).await);
        self.said.append(&mut self.viewer.said);
        self.viewer = come_back(stack, &self.link, &self.secret).await;
        let from = self.text.len();
        self.viewer.asks(&json!({ "type": "history", "start": self.start, "from": from })).await;
        assert_eq!(
            self.viewer.hears("at").await,
            json!({ "type": "at", "start": self.start, "offset": from }),
            "it goes on"
        );
    }

    fn told_of(&self, why: &str) -> usize {
        let said = self.said.iter().chain(&self.viewer.said);
        said.filter(|said| said["type"] == "skipped" && said["why"] == why).count()
    }
}

async fn killed_and_kept(ports: Serial) {
    let manager = Manager::start().await;
    let command = manager.command();
    let libvirt = PrivateLibvirt::shared().await;
    let mut stack = Stack::builder().libvirt(&libvirt).agent(move |agent| agent.under(command)).start().await;
    let guest = libvirt.guest("kept").serials([ports]).managed().start().await;
    let mut watching = Watching::of(&stack, &guest).await;
    // What a port said before the agent came.
    let lost_before = watching.told_of("lost");
    watching.viewer.types("count 20000\r").await;
    for seen in ["\r\n100\r\n", "\r\n3000\r\n", "\r\n7000\r\n"] {
        watching.reads(seen).await;
        stack.agent.crash();
        stack.agent.start_again().await;
        watching.comes_back(&stack).await;
    }
    // A stop in order is no other.
    watching.reads("\r\n11000\r\n").await;
    stack.agent.stop().await;
    stack.agent.start_again().await;
    watching.comes_back(&stack).await;
    watching.reads("counted 20000").await;
    let text = String::from_utf8(watching.text.clone()).unwrap();
    counted(text.split_once("you said: count 20000").unwrap().1.trim_end_matches("counted 20000"), 1, 20000);
    assert_eq!(watching.told_of("lost"), lost_before, "{:?} {:?}", watching.said, watching.viewer.said);
    watching.viewer.types("still here\r").await;
    watching.reads("you said: still here").await;
}

#[tokio::test]
async fn sockets_that_wait_with_the_manager_lose_nothing_without_a_log() {
    killed_and_kept(Serial::UnixUnlogged).await;
}

#[tokio::test]
async fn so_do_those_on_a_tcp_port() {
    killed_and_kept(Serial::Tcp(porthole_tests::ports::free_port())).await;
}

#[tokio::test]
async fn a_socket_that_waits_is_dropped_when_its_guest_was_started_anew() {
    let manager = Manager::start().await;
    let command = manager.command();
    let libvirt = PrivateLibvirt::shared().await;
    let mut stack = Stack::builder().libvirt(&libvirt).agent(move |agent| agent.under(command)).start().await;
    let guest = libvirt.guest("other").serials([Serial::UnixUnlogged]).managed().start().await;
    let mut watching = Watching::of(&stack, &guest).await;
    watching.viewer.types("before\r").await;
    watching.reads("you said: before").await;
    stack.agent.crash();
    guest.destroy().await;
    guest.boot().await.unwrap();
    stack.agent.start_again().await;
    let link = stack.mint(serial(&guest)).await;
    let mut viewer = Viewer::v1(&stack, &link).await;
    assert_ne!(viewer.begins().await["start"], watching.start, "its offsets are others now");
    viewer.types("after\r").await;
    let text = viewer.reads("you said: after").await;
    assert!(!text.contains("before"), "{text}");
}

#[tokio::test]
async fn a_flood_is_joined_to_its_log_with_a_gap_at_most_where_a_byte_may_be_doubled() {
    let libvirt = PrivateLibvirt::shared().await;
    let mut stack = Stack::on(&libvirt).await;
    let guest = libvirt.guest("joined").managed().start().await;
    let mut watching = Watching::of(&stack, &guest).await;
    watching.viewer.types("count 60000\r").await;
    for seen in ["\r\n500\r\n", "\r\n8000\r\n", "\r\n16000\r\n"] {
        watching.reads(seen).await;
        stack.agent.crash();
        let said = guest.serial_log(0).len();
        eventually(PATIENCE, "the guest to go on", async || guest.serial_log(0).len() > said + 3000).await;
        stack.agent.start_again().await;
        watching.comes_back(&stack).await;
        // Past the place where one may be: of what was before a gap the next run has nothing.
        let behind = watching.viewer.reads_bytes(2000).await;
        watching.text.extend(behind);
    }
    watching.reads("counted 60000").await;
    let text = String::from_utf8(watching.text.clone()).unwrap();
    let numbers = text.split_once("you said: count 60000").unwrap().1.trim_end_matches("counted 60000");
    let gaps = watching.told_of("lost");
    let numbers: Vec<&str> = numbers.lines().filter(|line| !line.is_empty()).collect();
    // A byte that may be one twice is left out, and that is told: a digit, or half of a line's end.
    assert_eq!(watching.told_of("not_kept"), 0, "{:?} {:?}", watching.said, watching.viewer.said);
    let wrong: Vec<(usize, &str)> =
        (1..).zip(numbers.iter().copied()).filter(|(at, said)| *said != at.to_string()).collect();
    println!("{gaps} gaps told, wrong: {wrong:?}");
    assert!(numbers.len() == 60000 && wrong.len() <= gaps, "{gaps} gaps told; {wrong:?} of {}", numbers.len());
}
