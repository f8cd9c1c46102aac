//! One window, one console: reloads, tabs, the address bar, the history, and browsers that keep nothing.

use porthole_tests::browser::{Builder, Condition, Line};
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::wait::{PATIENCE, eventually};

use crate::support::Seat;

/// Checks that neither the address nor anything that the page's history keeps holds a token.
async fn no_token_in_sight(seat: &Seat) {
    let browser = &seat.browser;
    let address = browser.address().await;
    assert!(!address.contains("token") && !address.contains("eyJ"), "{address}");
    let kept: String = browser.get("return JSON.stringify(history.state) + document.cookie", &[]).await;
    assert_eq!(kept, "null");
    let entries = browser.devtools("Page.getNavigationHistory", serde_json::json!({})).await.unwrap();
    let entries = entries["entries"].as_array().unwrap();
    let urls: Vec<&str> = entries.iter().filter_map(|entry| entry["url"].as_str()).collect();
    assert!(urls.iter().all(|url| !url.contains("token")), "{urls:?}");
}

#[tokio::test]
async fn a_reload_keeps_the_console_and_the_address_shows_no_token() {
    let seat = Seat::connected("reload").await;
    let Seat { browser, stack, .. } = &seat;
    no_token_in_sight(&seat).await;
    let session = stack.agent.sessions().await.remove(0);
    for key in ['a', 'b'] {
        browser.reload().await;
        browser.until("connected").await;
        seat.works(key).await;
        no_token_in_sight(&seat).await;
    }
    let sessions = stack.agent.sessions().await;
    assert_eq!((sessions.len(), &sessions[0]["id"]), (1, &session["id"]));

    // Away and back.
    browser.open(&format!("{}/", stack.edge.url())).await;
    assert_eq!(browser.state().await, "index");
    browser.back().await;
    browser.until("connected").await;
    no_token_in_sight(&seat).await;
    seat.works('c').await;
    // A browser that keeps the page for the way back closes its WebSocket, and says so.
    let kept = "Page entered Back-Forward Cache";
    browser.assert_quiet(&[("/websockify", kept), ("/vendor/novnc/", "WebSocket on-error event")]).await;
}

#[tokio::test]
async fn links_in_the_ways_of_other_clouds_open() {
    let seat = Seat::new("nova").await;
    let Seat { browser, stack, guest } = &seat;
    let base = stack.edge.url();
    for (number, page) in ["vnc.html", "vnc_auto.html", "console"].into_iter().enumerate() {
        let token = stack.mint(guest).await.token;
        let query = if number == 0 { format!("token={token}") } else { format!("path=websockify%3Ftoken%3D{token}") };
        browser.open(&format!("{base}/{page}?{query}&title=x")).await;
        browser.until("connected").await;
        seat.sees_the_guest().await;
        no_token_in_sight(&seat).await;
        assert_eq!(browser.address().await, format!("{base}/{page}?title=x"), "what else the address says stays");
    }
    browser.assert_quiet(&[]).await;
}

#[tokio::test]
async fn two_tabs_do_not_mix() {
    let seat = Seat::connected("tabs").await;
    let Seat { browser, stack, guest } = &seat;
    let libvirt = PrivateLibvirt::shared().await;
    let other = libvirt.guest("other").start().await;
    other.show_quadrants().await;
    let first = browser.tab().await;
    let link = stack.mint(&other).await;
    let second = browser.new_tab().await;
    browser.open(&link.url).await;
    for _ in 0..2 {
        for (tab, guest) in [(&second, &other), (&first, guest)] {
            browser.switch_to(tab).await;
            browser.until("connected").await;
            assert_eq!(browser.title().await, guest.name());
            let quadrants = guest.name() == other.name();
            eventually(PATIENCE, "the right screen", async || {
                browser.picture().await.is_ok_and(|seen| seen.width > 0 && seen.is_quadrants() == quadrants)
            })
            .await;
            browser.reload().await;
        }
    }
    browser.switch_to(&first).await;
    browser.until("connected").await;
    seat.works('a').await;
    assert_eq!(stack.agent.sessions().await.len(), 2);

    // The link of one tab, pasted into a third: refused there, and nothing happens here.
    browser.new_tab().await;
    browser.open(&link.url).await;
    browser.until_because("refused", "not_yours").await;
    assert_eq!(stack.agent.sessions().await.len(), 2);
    browser.switch_to(&second).await;
    browser.until("connected").await;
    browser.assert_quiet(&[("/api/console", "status of 403")]).await;
}

#[tokio::test]
async fn a_browser_that_may_keep_nothing_works_until_it_is_reloaded() {
    let seat = Seat::with("no-storage", |stack| stack, Builder::without_storage).await;
    let Seat { browser, stack, guest } = &seat;
    let line = Line::to(stack.edge.address()).await;
    browser.open(&line.link(&stack.mint(guest).await.url)).await;
    browser.until("connected").await;
    let forbidden = "try { return sessionStorage.length } catch (error) { return error.name }";
    assert_eq!(browser.get::<String>(forbidden, &[]).await, "SecurityError", "the setting works");
    no_token_in_sight(&seat).await;
    line.set(Condition::Cut);
    browser.until("reconnecting").await;
    line.set(Condition::Sound);
    browser.until("connected").await;
    seat.works('a').await;

    browser.reload().await;
    browser.until_because("refused", "no_link").await;
    browser.assert_quiet(&[("/api/console", "net::ERR_"), ("/websockify", "WebSocket connection to")]).await;
}
