//! Links that are not good and consoles that are not there: said in words, with what to do next.

use porthole_shared::reason::Reason;
use porthole_tests::agent::Mint;
use porthole_tests::browser::Browser;
use porthole_tests::wait::{PATIENCE, eventually};
use serde_json::{Value, json};

use crate::support::{Seat, says};

/// What the browser itself says of a refused question.
const REFUSED: &str = "Failed to load resource: the server responded with a status of 4";

#[tokio::test]
async fn a_link_belongs_to_the_browser_that_opened_it_first() {
    let seat = Seat::new("reused").await;
    let Seat { browser, stack, guest } = &seat;
    let link = stack.mint(guest).await;
    browser.open(&link.url).await;
    browser.until("connected").await;

    let another = Browser::start(&stack.edge).await;
    another.open(&link.url).await;
    another.until_because("refused", "not_yours").await;
    says(&another, Reason::NotYours, "").await;
    assert_eq!(another.notice().await.unwrap().actions, ["close"], "trying again has no chance");
    assert!(!another.address().await.contains("token"), "the address is clean whatever the link is worth");
    another.show("not_yours").await;
    another.assert_quiet(&[("/api/console", REFUSED)]).await;

    seat.works('a').await;
    browser.assert_quiet(&[]).await;
}

#[tokio::test]
async fn links_that_are_no_good_are_refused_in_words() {
    let seat = Seat::new("refused").await;
    let Seat { browser, stack, guest } = &seat;
    let expired = stack.mint(Mint::from(guest).ttl(1)).await;
    let revoked = stack.mint(guest).await;
    stack.agent.revoke(&revoked.id).await.unwrap();
    let once = stack.mint(Mint::from(guest).policy("once")).await;
    drop(stack.upgrade(&once).open().await);
    let forged = {
        let url = stack.mint(guest).await.url;
        let (start, last) = url.split_at(url.len() - 8);
        format!("{start}{}", if last == "AAAAAAAA" { "BBBBBBBB" } else { "AAAAAAAA" })
    };
    eventually(PATIENCE, "the link to expire", async || {
        let answer = stack.edge.inspect(&json!({ "token": expired.token })).await.unwrap();
        serde_json::from_slice::<Value>(answer.body()).unwrap()["reason"] == "expired"
    })
    .await;

    let cases = [
        (&expired.url, Reason::Expired),
        (&revoked.url, Reason::Revoked),
        (&once.url, Reason::Used),
        (&forged, Reason::BadSignature),
    ];
    for (url, reason) in cases {
        browser.open(url).await;
        browser.until_because("refused", reason.code()).await;
        says(browser, reason, "").await;
        assert_eq!(browser.notice().await.unwrap().actions, ["close"], "{reason}");
        browser.show(reason.code()).await;
    }
    assert_eq!(stack.agent.sessions().await.len(), 0);
    browser.assert_quiet(&[("/api/console", REFUSED)]).await;
}

#[tokio::test]
async fn a_window_without_a_link_says_so() {
    let seat = Seat::new("no-link").await;
    let browser = &seat.browser;
    for page in ["vnc_auto.html", "vnc.html", "console"] {
        browser.open(&format!("{}/{page}", seat.stack.edge.url())).await;
        browser.until_because("refused", "no_link").await;
        let notice = browser.notice().await.unwrap();
        assert!(!notice.title.is_empty() && notice.next.contains("link"), "{notice:?}");
        assert_eq!(notice.actions, ["close"]);
    }
    browser.show("no_link").await;
    browser.assert_quiet(&[]).await;
}

#[tokio::test]
async fn a_guest_that_stopped_unseen_can_be_started_and_opened_with_a_new_link() {
    let mut seat = Seat::new("off").await;
    let link = seat.stack.mint(&seat.guest).await;
    // Its agent finds out when it is back.
    seat.stack.agent.stop().await;
    seat.guest.destroy().await;
    seat.stack.agent.start_again().await;
    let Seat { browser, guest, .. } = &seat;
    browser.open(&link.url).await;
    browser.until_because("refused", "shut_off").await;
    says(browser, Reason::ShutOff, "").await;
    browser.show("shut_off").await;

    guest.boot().await.unwrap();
    browser.open(&seat.stack.mint(guest).await.url).await;
    browser.until("connected").await;
    seat.works('a').await;
    assert_eq!(browser.notice().await, None);
    browser.assert_quiet(&[("/api/console", REFUSED)]).await;
}
