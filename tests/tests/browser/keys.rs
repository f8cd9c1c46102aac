//! What a person types reaches the guest, and only then.

use porthole_tests::agent::Mint;
use porthole_tests::browser::Key;

use crate::support::{Seat, until_status};

#[tokio::test]
async fn keys_reach_the_guest() {
    let seat = Seat::connected("keys").await;
    let browser = &seat.browser;
    // The screen has the focus without a click.
    browser.write("ls /Tmp; echo \"A+b\"").await;
    browser.press(&[Key::ENTER]).await;
    let mut expected = "ls /Tmp; echo \"A+b\"\n".to_owned();
    seat.hears(&expected).await;
    seat.sees_the_guest().await;

    // The menu presses what a browser would keep for itself.
    browser.click_action("keys").await;
    browser.show("keys").await;
    browser.click("#keys [data-keys=ctrl-alt-del]").await;
    expected.push('␡');
    seat.hears(&expected).await;
    browser.click("#keys [data-keys=escape]").await;
    expected.push('\u{1b}');
    seat.hears(&expected).await;
    // One that is held stays down until it is pressed again.
    browser.click("#held [data-keys=shift]").await;
    browser.click("#single [data-keys=return]").await;
    browser.click("#held [data-keys=shift]").await;
    expected.push('\n');
    seat.hears(&expected).await;
    browser.click_action("keys").await;
    assert!(!browser.is_shown("#keys").await);

    browser.click("#screen canvas").await;
    seat.works('z').await;
    browser.assert_quiet(&[]).await;
}

#[tokio::test]
async fn view_only_sends_nothing() {
    let seat = Seat::connected("view-only").await;
    let browser = &seat.browser;
    seat.works('a').await;
    browser.click_action("view-only").await;
    until_status(browser, "Connected, view only").await;
    browser.show("view-only").await;
    browser.click("#screen canvas").await;
    browser.write("secret").await;
    assert!(!browser.get::<bool>("return !document.querySelector('[data-action=keys]').disabled", &[]).await);
    browser.click_action("view-only").await;
    until_status(browser, "Connected").await;
    browser.click("#screen canvas").await;
    // What comes after it has come, so that what was typed before it was sent nowhere.
    browser.write("b").await;
    seat.hears("ab").await;

    // A link may say so.
    let url = format!("{}&view_only=1", seat.stack.mint(&seat.guest).await.url);
    browser.open(&url).await;
    browser.until("connected").await;
    until_status(browser, "Connected, view only").await;
    browser.click("#screen canvas").await;
    browser.write("secret").await;
    browser.click_action("view-only").await;
    until_status(browser, "Connected").await;
    browser.click("#screen canvas").await;
    browser.write("c").await;
    seat.hears("abc").await;
    browser.assert_quiet(&[]).await;
}

#[tokio::test]
async fn a_link_that_only_watches_takes_no_keys() {
    let seat = Seat::new("watches").await;
    let Seat { browser, stack, guest } = &seat;
    browser.open(&stack.mint(Mint::from(guest).field("read_only", true)).await.url).await;
    browser.until("connected").await;
    until_status(browser, "Connected, read-only").await;
    assert!(!browser.is_shown("#hint").await, "nothing is said of keys that go to the guest");
    browser.show("read-only").await;
    browser.click("#screen canvas").await;
    browser.write("secret").await;
    let usable = "return [...document.querySelectorAll('#bar button')]
        .filter((button) => button.checkVisibility() && !button.disabled).map((button) => button.dataset.action)";
    let usable: Vec<String> = browser.get(usable, &[]).await;
    for action in ["keys", "keyboard", "view-only"] {
        assert!(!usable.iter().any(|usable| usable == action), "{action} can be used: {usable:?}");
    }
    // The screen lives, and what comes later by another way is all that the guest has heard.
    guest.send_keys(&["KEY_A"]).await;
    seat.hears("a").await;
    seat.sees_the_guest().await;
    browser.assert_quiet(&[]).await;
}

#[tokio::test]
async fn a_text_is_typed_as_keys() {
    let seat = Seat::connected("clipboard").await;
    let browser = &seat.browser;
    browser.click_action("clipboard").await;
    browser.click("#clipboard-text").await;
    // Into the panel, not to the guest.
    let text = "Pass-Word: {[1+2]} | ~/x\nnext";
    browser.write("Pass-Word: {[1+2]} | ~/x").await;
    browser.press(&[Key::ENTER]).await;
    browser.write("next").await;
    assert_eq!(seat.heard(), "");
    browser.show("clipboard").await;
    browser.click("#clipboard [data-action=clipboard-type]").await;
    seat.hears(text).await;
    browser.press(&[Key::ESCAPE]).await;
    assert!(!browser.is_shown("#clipboard").await, "Escape closes the panel");
    browser.assert_quiet(&[]).await;
}
