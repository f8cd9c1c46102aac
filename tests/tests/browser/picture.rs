//! What the page shows is what the guest shows.

use porthole_tests::wait::{PATIENCE, eventually};

use crate::support::Seat;

#[tokio::test]
async fn the_page_shows_what_the_guest_shows() {
    let seat = Seat::new("picture").await;
    let Seat { browser, stack, guest } = &seat;
    browser.open(&stack.mint(guest).await.url).await;
    assert_eq!(browser.until("connected").await, "");
    seat.sees_the_guest().await;
    assert_eq!(browser.title().await, guest.name());
    assert_eq!(browser.status().await, "Connected");
    assert_eq!(browser.text_of("#name").await, guest.name());
    assert_eq!(browser.notice().await, None);
    let marks: usize = browser.get("return performance.getEntriesByName('porthole:connected').length", &[]).await;
    assert_eq!(marks, 1);
    browser.show("connected").await;

    // Another size and other colours, then single characters.
    guest.show_quadrants().await;
    eventually(PATIENCE, "the quadrants", async || browser.picture().await.is_ok_and(|seen| seen.is_quadrants())).await;
    browser.show("quadrants").await;
    guest.command("reboot").await;
    guest.wait_until_ready().await.unwrap();
    seat.sees_the_guest().await;
    seat.works('x').await;
    seat.sees_the_guest().await;
    browser.assert_quiet(&[]).await;
}

#[tokio::test]
async fn the_screen_fits_the_window_or_is_one_to_one() {
    let seat = Seat::connected("scale").await;
    let browser = &seat.browser;
    let size = async || {
        let script = "const { width, height } = document.querySelector('#screen canvas').getBoundingClientRect();
            const stage = document.querySelector('#stage').getBoundingClientRect();
            return [width, height, stage.width, stage.height].map(Math.round)";
        browser.get::<[usize; 4]>(script, &[]).await
    };
    let shown = seat.guest.screenshot().await.unwrap();
    eventually(PATIENCE, "the screen to fill the window", async || {
        let [width, height, wide, high] = size().await;
        (width == wide && height <= high) || (height == high && width <= wide)
    })
    .await;
    browser.click_action("scale").await;
    eventually(PATIENCE, "the screen one to one", async || {
        let [width, height, ..] = size().await;
        (width, height) == (shown.width, shown.height)
    })
    .await;
    browser.show("one-to-one").await;
    seat.sees_the_guest().await;

    // A link may say so.
    let url = format!("{}&resize=off", seat.stack.mint(&seat.guest).await.url);
    browser.open(&url).await;
    browser.until("connected").await;
    eventually(PATIENCE, "the screen one to one", async || size().await[..2] == [shown.width, shown.height]).await;
    browser.assert_quiet(&[]).await;
}
