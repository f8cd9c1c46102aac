//! What the page gets over by itself: restarts of ours, and networks that come and go. The session stays the same.

use porthole_tests::browser::{Condition, Line, Window};
use porthole_tests::wait::{PATIENCE, eventually};
use serde_json::Value;

use crate::support::Seat;

/// Longer than all waits of the page up to its longest together.
const RECONNECTS: std::time::Duration = std::time::Duration::from_secs(90);

/// What the browser itself says of an edge that is not there.
const AWAY: &[(&str, &str)] = &[
    ("/api/console", "net::ERR_CONNECTION_"),
    ("/api/console", "net::ERR_SOCKET_NOT_CONNECTED"),
    ("/api/console", "net::ERR_EMPTY_RESPONSE"),
    ("/api/console", "status of 502"),
    ("/api/console", "status of 503"),
    ("/websockify", "WebSocket connection to"),
];

/// The one session.
async fn session(seat: &Seat) -> Value {
    let mut sessions = seat.stack.agent.sessions().await;
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    sessions.remove(0)
}

/// Checks that the page is back, in the session that it had.
async fn goes_on(seat: &Seat, before: &Value) {
    seat.browser.until_within(RECONNECTS, "connected").await;
    assert_eq!(seat.browser.notice().await, None);
    seat.works('z').await;
    eventually(PATIENCE, "one connection", async || session(seat).await["open"] != 2).await;
    let after = session(seat).await;
    assert_eq!(after["id"], before["id"], "{before} {after}");
    seat.browser.assert_quiet(AWAY).await;
}

/// Whether all that the status line says stands somewhere on the page where nothing cuts it off.
async fn can_be_read(seat: &Seat) -> bool {
    let script = "
        const whole = (element) => {
            const { top, left, right, bottom, width } = element.getBoundingClientRect();
            const inside = top >= 0 && left >= 0 && right <= innerWidth && bottom <= innerHeight;
            return width > 1 && inside && element.scrollWidth <= Math.ceil(width);
        };
        const seen = [...document.querySelectorAll('body *')].filter((element) => element.children.length === 0
            && element.checkVisibility({ visibilityProperty: true }) && whole(element));
        const sentences = document.querySelector('#status').innerText.split(/(?<=\\.) /);
        return sentences.length === 2 && sentences.every((words) =>
            seen.some((element) => element.innerText?.includes(words)))";
    seat.browser.get(script, &[]).await
}

#[tokio::test]
async fn an_edge_that_restarts_is_waited_for() {
    let mut seat = Seat::connected("edge-restarts").await;
    let before = session(&seat).await;
    let drained = seat.stack.edge.stop().await;
    assert!(drained.success(), "{drained}");
    seat.browser.until("reconnecting").await;
    let status = seat.browser.status().await;
    assert!(status.contains("Reconnecting"), "{status}");
    assert!(seat.browser.is_shown("#now").await, "a way to try at once");
    seat.browser.show("reconnecting").await;
    for window in [Window::PHONE, Window::WIDE] {
        seat.browser.resize(window).await;
        eventually(PATIENCE, format!("the words to be seen whole in {window:?}"), async || can_be_read(&seat).await)
            .await;
    }
    seat.stack.edge.start_again().await;
    goes_on(&seat, &before).await;
}

#[tokio::test]
async fn an_edge_that_was_killed_is_waited_for_or_asked_at_once() {
    let mut seat = Seat::connected("edge-killed").await;
    let before = session(&seat).await;
    seat.stack.edge.crash();
    seat.browser.until_because("reconnecting", "connection_lost").await;
    // The longer it is away, the longer are the waits.
    eventually(PATIENCE, "a long wait", async || {
        let status = seat.browser.status().await;
        status.split_whitespace().filter_map(|word| word.parse::<u32>().ok()).any(|seconds| seconds >= 4)
    })
    .await;
    seat.browser.show("gateway_unreachable").await;
    seat.stack.edge.start_again().await;
    seat.browser.click("#now").await;
    goes_on(&seat, &before).await;
}

#[tokio::test]
async fn an_agent_that_restarts_is_waited_for() {
    let mut seat = Seat::connected("agent-restarts").await;
    let before = session(&seat).await;
    seat.stack.agent.stop().await;
    seat.browser.until("reconnecting").await;
    seat.browser.show("agent_stopping").await;
    seat.stack.agent.start_again().await;
    goes_on(&seat, &before).await;

    // Killed, it tells nobody.
    let before = session(&seat).await;
    seat.stack.agent.crash();
    seat.browser.until("reconnecting").await;
    seat.stack.agent.start_again().await;
    goes_on(&seat, &before).await;
}

#[tokio::test]
async fn a_network_that_was_cut_costs_no_session() {
    let seat = Seat::new("cut").await;
    let Seat { browser, stack, guest } = &seat;
    let line = Line::to(stack.edge.address()).await;
    browser.open(&line.link(&stack.mint(guest).await.url)).await;
    browser.until("connected").await;
    seat.sees_the_guest().await;
    let before = session(&seat).await;

    line.set(Condition::Cut);
    browser.until_because("reconnecting", "connection_lost").await;
    browser.show("connection_lost").await;
    line.set(Condition::Sound);
    goes_on(&seat, &before).await;

    // The edge knows nothing of this one: for it the old connection lives, and the new one takes its place.
    line.set(Condition::HalfCut);
    browser.until("reconnecting").await;
    assert_eq!(stack.agent.sessions().await.len(), 1);
    line.set(Condition::Sound);
    goes_on(&seat, &before).await;
}
