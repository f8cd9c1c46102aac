//! What was said before.

use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::wait::{PATIENCE, eventually};

use crate::support::{Person, counted, serial, stack};

#[tokio::test]
async fn history_is_shown_at_once_after_a_reload_saved_and_searched() {
    let libvirt = PrivateLibvirt::shared().await;
    let stack = stack(&libvirt).await;
    let guest = libvirt.guest("history").managed().start().await;
    let mia = Person::at(&stack, serial(&guest, "mia")).await;
    mia.reads("TINYGUEST READY COM1").await;
    mia.types("count 3000").await;
    let before = mia.reads("counted 3000").await;
    counted(&before, 3000);

    mia.0.reload().await;
    mia.0.until("connected").await;
    let after = mia.reads("counted 3000").await;
    assert_eq!(after, before);
    mia.types("still here").await;
    mia.reads("you said: still here").await;

    mia.0.click_action("save").await;
    eventually(PATIENCE, "a file", async || mia.0.get::<usize>("return window.saved.length", &[]).await == 1).await;
    let saved: String = mia.0.get("return window.saved[0]", &[]).await;
    assert!(saved.contains("TINYGUEST READY COM1"), "{} bytes", saved.len());
    counted(&saved, 3000);
    // Nothing of it was shown twice.
    assert_eq!(mia.text().await.matches("counted 3000").count(), 1);
    mia.types("after it").await;
    mia.reads("you said: after it").await;

    mia.0.click_action("find").await;
    mia.0.write("you said: count").await;
    eventually(PATIENCE, "what was found", async || {
        mia.0.get::<String>("return document.querySelector('.xterm-rows').innerText", &[]).await.contains("said: count")
    })
    .await;
    mia.0.show("serial-find").await;
    mia.0.write(" nowhere").await;
    assert_eq!(mia.0.text_of("#find-note").await, "It is not there.");
    mia.0.assert_quiet(&[]).await;
}
