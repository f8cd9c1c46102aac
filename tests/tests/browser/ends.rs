//! Sessions that end for good: the page says why, and does not fight it.

use std::time::Duration;

use porthole_shared::reason::Reason;
use porthole_tests::browser::Browser;
use porthole_tests::libvirt::{Migration, PrivateLibvirt};
use porthole_tests::stack::Stack;
use porthole_tests::wait::throughout;

use crate::support::{Seat, says};

/// Longer than the page's first wait, were it to reconnect.
const WHILE: Duration = Duration::from_secs(2);

/// Waits for the end, and checks that it is told and stays.
async fn ended(seat: &Seat, reason: Reason) {
    let browser = &seat.browser;
    browser.until_because("ended", reason.code()).await;
    says(browser, reason, seat.guest.name()).await;
    browser.show(reason.code()).await;
    throughout(WHILE, "the end", async || browser.state().await == "ended").await;
}

#[tokio::test]
async fn a_killed_session_stays_ended() {
    let seat = Seat::connected("killed").await;
    let sessions = seat.stack.agent.sessions().await;
    seat.stack.agent.kill_session(sessions[0]["id"].as_str().unwrap()).await.unwrap();
    ended(&seat, Reason::Killed).await;
    assert_eq!(seat.browser.notice().await.unwrap().actions, ["close"], "its link is withdrawn");
    assert_eq!(seat.stack.agent.sessions().await.len(), 0);
    seat.browser.assert_quiet(&[]).await;
}

#[tokio::test]
async fn a_guest_that_stops_ends_the_session_and_its_link() {
    let seat = Seat::connected("stops").await;
    let Seat { browser, guest, stack, .. } = &seat;
    for reason in [Reason::ShutOff, Reason::Destroyed] {
        if reason == Reason::ShutOff {
            guest.shutdown().await;
        } else {
            guest.destroy().await;
        }
        ended(&seat, reason).await;
        assert_eq!(browser.notice().await.unwrap().actions, ["close"], "its link is void");
        guest.boot().await.unwrap();
        browser.open(&stack.mint(guest).await.url).await;
        browser.until("connected").await;
        seat.works('a').await;
    }
    browser.assert_quiet(&[]).await;
}

#[tokio::test]
async fn a_guest_that_moves_ends_the_session_and_its_link() {
    let (here, there) = tokio::join!(PrivateLibvirt::start(), PrivateLibvirt::start());
    // Both hosts have the same files, and so the same socket for a serial port.
    let guest = here.guest("moves").serials([]).start().await;
    let stack = Stack::builder().libvirt(&here).pages().start().await;
    let browser = Browser::builder(&stack.edge).start().await;
    let seat = Seat { browser, stack, guest };
    seat.connect().await;
    let migration = Migration::begin(&here, seat.guest.uuid(), &there, &["--p2p", "--persistent"]).await;
    migration.begun.await.expect("it has begun");
    migration.go.send(()).expect("it goes on");
    ended(&seat, Reason::Migrated).await;
    migration.command.await.expect("virsh ends").expect("it has moved");
    assert_eq!(seat.browser.notice().await.unwrap().actions, ["close"], "its link is void");
    seat.browser.assert_quiet(&[]).await;
}

#[tokio::test]
async fn a_session_ends_at_its_longest_duration() {
    let longest = |stack: porthole_tests::stack::Builder| stack.agent(|agent| agent.set("sessions.longest", "4s"));
    let seat = Seat::with("limit", longest, |browser| browser).await;
    seat.connect().await;
    ended(&seat, Reason::LimitReached).await;
    seat.browser.assert_quiet(&[]).await;
}

#[tokio::test]
async fn a_tab_that_was_duplicated_takes_over_from_the_first() {
    let seat = Seat::connected("duplicated").await;
    let browser = &seat.browser;
    let first = browser.tab().await;
    // A tab that a page opens itself begins with a copy of what that one keeps, as a duplicated tab does.
    browser.run("open(location.href)", &[]).await.unwrap();
    let second = browser.tabs().await.into_iter().find(|tab| *tab != first).expect("the second tab");
    browser.switch_to(&second).await;
    browser.until("connected").await;
    seat.works('b').await;
    browser.switch_to(&first).await;
    ended(&seat, Reason::Superseded).await;

    // The person decides: back to the first, and the second is told.
    browser.click("#notice [data-action=reconnect]").await;
    browser.until("connected").await;
    seat.works('a').await;
    browser.switch_to(&second).await;
    browser.until_because("ended", "superseded").await;
    assert_eq!(seat.stack.agent.sessions().await.len(), 1);
    browser.assert_quiet(&[]).await;
}

#[tokio::test]
async fn who_disconnects_may_come_back() {
    let seat = Seat::connected("left").await;
    let browser = &seat.browser;
    browser.click_action("disconnect").await;
    browser.until_because("ended", "left").await;
    assert_eq!(seat.stack.agent.sessions().await.len(), 0);
    browser.show("left").await;
    browser.click("#notice [data-action=reconnect]").await;
    browser.until("connected").await;
    seat.works('a').await;
    browser.assert_quiet(&[]).await;
}
