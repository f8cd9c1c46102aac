//! What must lose or double nothing.

use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::wait::PATIENCE;

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
