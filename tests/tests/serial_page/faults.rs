//! What must lose or double nothing.

use porthole_tests::guest::Serial;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::ports::free_port;
use porthole_tests::wait::{PATIENCE, eventually};

use crate::support::{Person, counted, serial, stack};

/// What the browser itself says of an edge that is not there.
const AWAY: &[(&str, &str)] = &[
    ("/api/console", "net::ERR_CONNECTION_"),
    ("/api/console", "net::ERR_SOCKET_NOT_CONNECTED"),
    ("/api/console", "net::ERR_EMPTY_RESPONSE"),
    ("/api/console", "status of 502"),
    ("/api/console", "status of 503"),
    ("/websockify", "WebSocket connection to"),
];

#[tokio::test]
async fn an_edge_that_is_killed_in_mid_stream_costs_no_byte() {
    let libvirt = PrivateLibvirt::shared().await;
    let mut stack = stack(&libvirt).await;
    let guest = libvirt.guest("edge-killed").managed().start().await;
    let mia = Person::at(&stack, serial(&guest, "mia")).await;
    mia.reads("TINYGUEST READY COM1").await;
    mia.types("count 9000").await;
    mia.reads("\n20\n").await;
    stack.edge.crash();
    mia.0.until_because("reconnecting", "connection_lost").await;
    let broken_off = mia.text().await;
    assert!(!broken_off.contains("counted 9000"), "the edge was killed too late to show anything");
    mia.0.show("serial-reconnecting").await;
    stack.edge.start_again().await;
    mia.0.until_within(6 * PATIENCE, "connected").await;
    let text = mia.reads("counted 9000").await;
    counted(&text, 9000);
    assert!(text.starts_with(&broken_off), "what was there is there still");
    mia.types("and on").await;
    mia.reads("you said: and on").await;
    mia.0.assert_quiet(AWAY).await;
}

#[tokio::test]
async fn a_guest_that_is_switched_off_is_said_in_words() {
    let libvirt = PrivateLibvirt::shared().await;
    let stack = stack(&libvirt).await;
    let guest = libvirt.guest("off").managed().start().await;
    let mia = Person::at(&stack, serial(&guest, "mia")).await;
    mia.types("last words").await;
    mia.reads("you said: last words").await;
    guest.destroy().await;
    mia.0.until_because("ended", "destroyed").await;
    let notice = mia.0.notice().await.expect("a notice");
    assert!(notice.title.contains("switched off"), "{notice:?}");
    // What it said last can be read still.
    mia.0.click("#notice [data-action=close]").await;
    mia.reads("you said: last words").await;
    mia.0.show("serial-destroyed").await;
    // Chromium's own words: a window that the person has opened is theirs to close.
    mia.0.assert_quiet(&[("/assets/serial", "Scripts may close only the windows")]).await;
}

/// Numbers with a space behind each digit, so that no two bytes in a row are equal: QEMU logs some bytes twice, and what
/// may be one of these is shown with a gap.
fn spaced(text: &str, from: usize, to: usize) {
    let mut numbers = text.lines().filter_map(|line| {
        let digits: String = line.split(' ').collect();
        line.ends_with(' ').then(|| digits.parse::<usize>().ok()).flatten()
    });
    for expected in from..=to {
        assert_eq!(numbers.next(), Some(expected), "in {text:?}");
    }
    assert_eq!(numbers.next(), None);
}

#[tokio::test]
async fn an_agent_that_is_killed_in_mid_stream_costs_no_byte_of_a_port_with_a_log() {
    let libvirt = PrivateLibvirt::shared().await;
    let mut stack = stack(&libvirt).await;
    let guest = libvirt.guest("agent-killed").linux().managed().start().await;
    let mia = Person::at(&stack, serial(&guest, "mia")).await;
    mia.reads(":~#").await;
    mia.types("for i in $(seq 1 150); do echo $i | sed 's/./& /g'; usleep 30000; done; echo 'all ''said'").await;
    mia.reads("\n2 0 \n").await;
    stack.agent.crash();
    mia.0.until("reconnecting").await;
    let broken_off = mia.text().await;
    assert!(!broken_off.contains("all said"), "the agent was killed too late to show anything");
    // Meanwhile the guest goes on, and nobody listens.
    let said = guest.serial_log(0).len();
    eventually(PATIENCE, "the guest to go on", async || guest.serial_log(0).len() > said + 60).await;
    stack.agent.start_again().await;
    mia.0.until_within(6 * PATIENCE, "connected").await;
    let text = mia.reads("all said").await;
    spaced(&text, 1, 150);
    assert!(text.starts_with(&broken_off), "what was there is there still");
    assert!(!text.contains("missing here") && !text.contains("started again"), "{text}");
    mia.types("echo 'still ''here'").await;
    mia.reads("still here").await;
    mia.0.assert_quiet(AWAY).await;
}

#[tokio::test]
async fn an_agent_that_is_killed_in_mid_stream_leaves_a_gap_that_is_told_in_a_port_without_a_log() {
    let libvirt = PrivateLibvirt::shared().await;
    let mut stack = stack(&libvirt).await;
    let guest = libvirt.guest("unlogged").serials([Serial::UnixUnlogged]).managed().start().await;
    let mia = Person::at(&stack, serial(&guest, "mia")).await;
    mia.types("count 9000").await;
    mia.reads("\n20\n").await;
    stack.agent.crash();
    mia.0.until("reconnecting").await;
    let broken_off = mia.text().await;
    stack.agent.start_again().await;
    mia.0.until_within(6 * PATIENCE, "connected").await;
    mia.types("and on").await;
    let text = mia.reads("you said: and on").await;
    assert!(text.starts_with(&broken_off), "what was there is there still: {text}");
    let behind = &text[broken_off.len()..];
    let told = behind.find("Something may be missing here").expect("the gap is told");
    // Nothing from before the gap comes again behind it.
    assert!(!behind[told..].contains("\n20\n") && !behind[told..].contains("TINYGUEST"), "{behind}");
    mia.0.show("serial-gap").await;
    mia.0.assert_quiet(AWAY).await;
}

#[tokio::test]
async fn a_guest_that_reboots_is_seen_to_and_one_that_was_stopped_is_opened_anew() {
    let libvirt = PrivateLibvirt::shared().await;
    let stack = stack(&libvirt).await;
    let guest = libvirt.guest("again").managed().start().await;
    let mia = Person::at(&stack, serial(&guest, "mia")).await;
    mia.types("before").await;
    mia.reads("you said: before").await;
    mia.types("reboot").await;
    eventually(PATIENCE, "its greeting again", async || mia.text().await.matches("TINYGUEST READY COM1").count() == 2)
        .await;
    mia.types("same session").await;
    mia.reads("you said: same session").await;

    guest.shutdown().await;
    mia.0.until_because("ended", "shut_off").await;
    let notice = mia.0.notice().await.expect("a notice");
    assert!(!notice.actions.contains(&"reconnect".to_owned()), "its link is void: {notice:?}");
    guest.wait_for_state("shut off").await;
    guest.boot().await.unwrap();
    // A link is good for one start of a guest; a new one shows the new start, and nothing of the last.
    mia.opens(&stack, serial(&guest, "mia")).await;
    mia.0.until("connected").await;
    let text = mia.reads("TINYGUEST READY COM1").await;
    assert!(!text.contains("you said"), "{text}");
    mia.types("after").await;
    mia.reads("you said: after").await;
    mia.0.assert_quiet(&[]).await;
}

#[tokio::test]
async fn a_break_is_sent_where_the_port_speaks_telnet_and_not_offered_elsewhere() {
    let libvirt = PrivateLibvirt::shared().await;
    let stack = stack(&libvirt).await;
    let ports = [Serial::Telnet(free_port()), Serial::Unix];
    let guest = libvirt.guest("break").serials(ports).managed().start().await;
    let mia = Person::at(&stack, serial(&guest, "mia")).await;
    mia.types("before").await;
    mia.reads("you said: before").await;
    assert!(!mia.text().await.contains("<break>"));
    mia.0.click_action("break").await;
    mia.reads("<break>").await;
    // The keyboard is the guest's still.
    mia.types("after").await;
    let text = mia.reads("you said: after").await;
    assert_eq!(text.matches("<break>").count(), 1, "{text}");
    mia.opens(&stack, serial(&guest, "mia").field("index", 1)).await;
    mia.0.until("connected").await;
    assert!(!mia.0.is_shown("button[data-action=break]").await);
    mia.0.assert_quiet(&[]).await;
}
