//! In a page of another site: where `frame_ancestors` allows it, it works; elsewhere it shows nothing.

use porthole_tests::browser::{Builder, Site};
use porthole_tests::wait::{PATIENCE, eventually};

use crate::support::Seat;

/// A dashboard that shows a console.
fn dashboard(link: &str) -> String {
    format!(
        "<!doctype html><title>Dashboard</title><style>body {{ margin: 0; background: #345 }} \
         iframe {{ width: 1000px; height: 600px; border: 0; margin: 40px }}</style>\
         <iframe src='{link}' allow='fullscreen; clipboard-read; clipboard-write'></iframe>"
    )
}

async fn seat_in(site: &Site, browser: impl FnOnce(Builder) -> Builder) -> Seat {
    let allowed = vec!["'self'".to_owned(), site.origin()];
    Seat::with("frame", |stack| stack.edge(|edge| edge.set("public.frame_ancestors", allowed)), browser).await
}

async fn works_in_a_frame(site: Site, seat: &Seat) {
    let Seat { browser, stack, guest } = seat;
    let origin = site.show(&stack.pki, &dashboard(&stack.mint(guest).await.url)).await;
    browser.open(&format!("{origin}/servers/1")).await;
    browser.enter_frame("iframe").await;
    browser.until("connected").await;
    seat.sees_the_guest().await;
    browser.show("framed").await;
    browser.click("#screen canvas").await;
    seat.works('a').await;
    browser.assert_quiet(&[]).await;
}

#[tokio::test]
async fn a_site_that_is_allowed_shows_the_console() {
    let site = Site::reserve("dashboard.test").await;
    let seat = seat_in(&site, |browser| browser).await;
    works_in_a_frame(site, &seat).await;
}

#[tokio::test]
async fn a_frame_that_may_keep_nothing_works_too() {
    let site = Site::reserve("dashboard.test").await;
    let seat = seat_in(&site, Builder::without_storage).await;
    works_in_a_frame(site, &seat).await;
}

#[tokio::test]
async fn a_site_that_is_not_allowed_shows_nothing() {
    let (allowed, foreign) = (Site::reserve("dashboard.test").await, Site::reserve("evil.test").await);
    let seat = seat_in(&allowed, |browser| browser).await;
    let Seat { browser, stack, guest } = &seat;
    let link = stack.mint(guest).await;
    let origin = foreign.show(&stack.pki, &dashboard(&link.url)).await;
    browser.open(&origin).await;
    eventually(PATIENCE, "the browser to refuse", async || {
        let complaints = browser.complaints().await;
        complaints.iter().any(|complaint| complaint.message.contains("frame-ancestors"))
    })
    .await;
    browser.enter_frame("iframe").await;
    assert_eq!(browser.state().await, "", "no page of ours is in the frame");
    assert_eq!(stack.agent.sessions().await.len(), 0);

    // The link is as good as before.
    browser.leave_frames().await;
    browser.open(&link.url).await;
    browser.until("connected").await;
    seat.works('a').await;
}
