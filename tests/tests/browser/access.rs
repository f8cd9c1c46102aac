//! For everybody: the keyboard alone, light and dark, phones.

use porthole_tests::browser::{Browser, Key, Window};

use crate::support::Seat;

#[tokio::test]
async fn the_keyboard_alone_reaches_everything() {
    let seat = Seat::connected("keyboard").await;
    let browser = &seat.browser;
    assert_eq!(browser.focused().await, "canvas");
    // Tab is the guest's; the chord is the page's, and leaves no key held in the guest.
    browser.press(&[Key::TAB]).await;
    browser.press(&Key::WAY_OUT).await;
    browser.tab_through_the_toolbar().await;
    assert_eq!(browser.focused().await, "canvas", "after the last button comes the screen again");
    browser.write("m").await;
    seat.hears("\tm").await;

    // A panel: in, through it, out.
    browser.press(&Key::WAY_OUT).await;
    assert_eq!(browser.focused().await, "[data-action=keys]");
    browser.show("toolbar").await;
    browser.press(&[Key::ENTER]).await;
    assert_eq!(browser.focused().await, "[data-keys=ctrl-alt-del]");
    assert!(browser.focus_is_seen().await);
    browser.press(&[Key::ENTER]).await;
    seat.hears("\tm␡").await;
    browser.press(&[Key::ESCAPE]).await;
    assert_eq!(browser.focused().await, "[data-action=keys]");
    assert!(!browser.is_shown("#keys").await);

    // A notice takes the focus, and its button is pressed by Enter.
    while browser.focused().await != "[data-action=disconnect]" {
        browser.press(&[Key::TAB]).await;
    }
    browser.press(&[Key::SPACE]).await;
    browser.until("ended").await;
    assert_eq!(browser.focused().await, "[data-action=reconnect]");
    browser.press(&[Key::ENTER]).await;
    browser.until("connected").await;
    assert_eq!(browser.focused().await, "canvas");
    seat.works('n').await;
    browser.assert_quiet(&[]).await;
}

/// The brightness of the toolbar's ground, 0 to 255.
async fn brightness(browser: &Browser) -> f64 {
    let script = "return getComputedStyle(document.querySelector('#bar')).backgroundColor.match(/\\d+/g).slice(0, 3)
        .reduce((sum, part) => sum + Number(part) / 3, 0)";
    browser.get(script, &[]).await
}

#[tokio::test]
async fn the_page_is_light_or_dark_as_the_person_likes() {
    let seat = Seat::connected("theme").await;
    let browser = &seat.browser;
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        let ground = brightness(browser).await;
        assert_eq!(ground > 128.0, scheme == "light", "{scheme}: {ground}");
        browser.show(&format!("connected-{scheme}")).await;
    }
    // Chosen by the button, and kept over a reload.
    browser.click_action("theme").await;
    assert!(brightness(browser).await > 128.0);
    browser.reload().await;
    browser.until("connected").await;
    assert!(brightness(browser).await > 128.0);
    browser.click_action("theme").await;
    assert!(brightness(browser).await < 128.0);
    browser.assert_quiet(&[]).await;
}

/// The buttons of the toolbar that are not wholly in the window, or too small for a finger.
async fn out_of_reach(browser: &Browser, smallest: u32) -> Vec<String> {
    let script = "return [...document.querySelectorAll('#bar button')]
        .filter((button) => button.checkVisibility())
        .filter((button) => {
            const { top, left, right, bottom, width, height } = button.getBoundingClientRect();
            const inside = top >= 0 && left >= 0 && right <= innerWidth && bottom <= innerHeight;
            return !inside || width < arguments[0] || height < arguments[0];
        })
        .map((button) => `${button.dataset.action} ${JSON.stringify(button.getBoundingClientRect())}`)";
    browser.get(script, &[smallest.into()]).await
}

#[tokio::test]
async fn a_phone_has_a_keyboard_of_its_own() {
    let seat = Seat::with("phone", |stack| stack, |browser| browser.window(Window::PHONE)).await;
    let browser = &seat.browser;
    seat.connect().await;
    let none: [String; 0] = [];
    assert_eq!(out_of_reach(browser, 24).await, none);
    let bare = "return [...document.querySelectorAll('#bar button')].filter((button) =>
        !button.innerText.trim() || !(button.title || button.querySelector('span') === null)).length";
    assert_eq!(
        browser.get::<usize>(bare, &[]).await,
        0,
        "each button has a name, and where there is an icon a tooltip"
    );
    let sideways = "return document.scrollingElement.scrollWidth > innerWidth";
    assert!(!browser.get::<bool>(sideways, &[]).await, "the page is wider than the phone");
    browser.touch("#bar [data-action=keyboard]").await;
    assert_eq!(browser.focused().await, "#touch");
    // What a phone's keyboard does: it writes into the field, without telling of keys.
    for part in ["Un", "ame", " -a"] {
        browser.devtools("Input.insertText", serde_json::json!({ "text": part })).await.unwrap();
    }
    seat.hears("Uname -a").await;
    browser.press(&[Key::ENTER]).await;
    seat.hears("Uname -a\n").await;
    browser.touch("#bar [data-action=keys]").await;
    browser.touch("#keys [data-keys=ctrl-alt-del]").await;
    seat.hears("Uname -a\n␡").await;
    browser.assert_quiet(&[]).await;
}

#[tokio::test]
async fn every_control_is_in_sight_on_windows_of_all_sizes() {
    let seat = Seat::connected("sizes").await;
    let browser = &seat.browser;
    let none: [String; 0] = [];
    for (width, height) in [(1920, 1080), (1280, 800), (1024, 700), (721, 500), (600, 400), (390, 844), (320, 560)] {
        browser.resize(Window { width, height, touch: width < 500 }).await;
        assert_eq!(out_of_reach(browser, 24).await, none, "{width} by {height}");
    }
    browser.assert_quiet(&[]).await;
}
