//! Nearly every test here ends with [`Browser::assert_quiet`]. These show that it would notice.

use porthole_tests::browser::{Browser, Site};
use porthole_tests::wait::{PATIENCE, eventually};

use crate::support::Seat;

/// Waits until the console has a line with both words.
async fn until_complaint(browser: &Browser, about: &str, says: &str) {
    eventually(PATIENCE, format!("a complaint about {about}"), async || {
        let complaints = browser.complaints().await;
        complaints.iter().any(|complaint| complaint.message.contains(about) && complaint.message.contains(says))
    })
    .await;
}

const INLINE_SCRIPT: &str = "document.head.append(Object.assign(document.createElement('script'), { text: 'top' }))";

#[tokio::test]
async fn what_a_page_may_not_do_is_refused_and_noticed() {
    let seat = Seat::connected("noticed").await;
    let browser = &seat.browser;
    browser.assert_quiet(&[]).await;
    browser.run(INLINE_SCRIPT, &[]).await.unwrap();
    until_complaint(browser, "CSP violation", "script-src-elem").await;
    browser.run("document.body.setAttribute('style', 'color: red')", &[]).await.unwrap();
    until_complaint(browser, "CSP violation", "style-src-attr").await;
    browser.run("fetch('https://elsewhere.test/').catch(() => {})", &[]).await.unwrap();
    until_complaint(browser, "CSP violation", "https://elsewhere.test/").await;
    browser.run("setTimeout(() => { throw new Error('a fault of ours') })", &[]).await.unwrap();
    until_complaint(browser, "a fault of ours", "Error").await;
}

#[tokio::test]
async fn it_is_noticed_in_a_frame_of_another_site_too() {
    let site = Site::reserve("dashboard.test").await;
    let allowed = vec![site.origin()];
    let settings =
        |stack: porthole_tests::stack::Builder| stack.edge(|edge| edge.set("public.frame_ancestors", allowed));
    let seat = Seat::with("noticed", settings, |browser| browser).await;
    let link = seat.stack.mint(&seat.guest).await.url;
    let origin = site.show(&seat.stack.pki, &format!("<iframe src='{link}'></iframe>")).await;
    seat.browser.open(&origin).await;
    seat.browser.enter_frame("iframe").await;
    seat.browser.until("connected").await;
    seat.browser.run(INLINE_SCRIPT, &[]).await.unwrap();
    until_complaint(&seat.browser, "script-src", "violat").await;
}
