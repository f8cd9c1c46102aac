//! For those without a mouse, and those who want larger characters.

use porthole_tests::browser::{Browser, Key};
use porthole_tests::libvirt::PrivateLibvirt;

use crate::support::{Person, serial, stack};

/// How high a line of the terminal is, in CSS pixels.
async fn line_height(browser: &Browser) -> f64 {
    let script = "return document.querySelector('.xterm-rows > div').getBoundingClientRect().height";
    browser.get(script, &[]).await
}

#[tokio::test]
async fn the_keyboard_alone_reaches_everything_and_makes_characters_larger() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("keyboard").managed().start().await;
    let stack = stack(&libvirt).await;
    let mia = Person::at(&stack, serial(&guest, "mia")).await;
    let browser = &mia.0;
    mia.reads("TINYGUEST READY COM1").await;
    let terminal = browser.focused().await;
    // Tab is the guest's; the chord is the page's.
    browser.press(&Key::WAY_OUT).await;
    browser.tab_through_the_toolbar().await;
    assert_eq!(browser.focused().await, terminal, "after the last button comes the terminal again");

    browser.press(&Key::WAY_OUT).await;
    while browser.focused().await != "[data-action=size]" {
        browser.press(&[Key::TAB]).await;
    }
    browser.press(&[Key::ENTER]).await;
    assert_eq!(browser.focused().await, "[data-action=smaller]");
    assert!(browser.focus_is_seen().await);
    let before = line_height(browser).await;
    for _ in 0..3 {
        browser.press(&[Key::ENTER]).await;
    }
    let smaller = line_height(browser).await;
    browser.press(&[Key::TAB]).await;
    for _ in 0..6 {
        browser.press(&[Key::ENTER]).await;
    }
    let larger = line_height(browser).await;
    assert!(smaller < before && before < larger, "{smaller}, {before}, {larger}");
    browser.press(&[Key::TAB]).await;
    browser.press(&[Key::ENTER]).await;
    assert!((line_height(browser).await - before).abs() < 0.6, "as fits, again");
    browser.press(&[Key::ESCAPE]).await;
    assert_eq!(browser.focused().await, "[data-action=size]");

    while browser.focused().await != terminal {
        browser.press(&[Key::TAB]).await;
    }
    mia.types("by keyboard").await;
    mia.reads("you said: by keyboard").await;
    browser.assert_quiet(&[]).await;
}
