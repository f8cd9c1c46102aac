//! One writer, many watchers, in words.

use porthole_tests::libvirt::PrivateLibvirt;

use crate::support::{Person, serial, stack};

#[tokio::test]
async fn a_second_person_is_refused_with_the_holders_name_and_comes_in_when_it_is_free() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("held").managed().start().await;
    let stack = stack(&libvirt).await;
    let mia = Person::at(&stack, serial(&guest, "mia")).await;
    let tom = Person::new(&stack).await;
    tom.opens(&stack, serial(&guest, "tom")).await;
    tom.0.until_because("refused", "in_use").await;
    let notice = tom.0.notice().await.expect("a notice");
    assert_eq!(notice.title, "mia has this console open.");
    assert!(notice.next.contains("from ") && notice.next.contains("since"), "{notice:?}");
    tom.0.show("serial-in-use").await;

    mia.0.click_action("disconnect").await;
    assert_eq!(mia.0.until("ended").await, "left");
    tom.0.click("#notice [data-action=reconnect]").await;
    tom.0.until("connected").await;
    tom.is_told("You write.").await;
    tom.types("tom was here").await;
    tom.reads("you said: tom was here").await;
    for person in [&mia, &tom] {
        person.0.assert_quiet(&[]).await;
    }
}

#[tokio::test]
async fn a_link_that_may_takes_over_and_the_first_is_told() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("force").managed().start().await;
    let stack = stack(&libvirt).await;
    let mia = Person::at(&stack, serial(&guest, "mia")).await;
    mia.reads("TINYGUEST READY COM1").await;
    mia.types("mia").await;
    mia.reads("you said: mia").await;
    let tom = Person::at(&stack, serial(&guest, "tom").field("force", true)).await;
    mia.0.until_because("ended", "taken_over").await;
    mia.0.show("serial-taken-over").await;
    tom.reads("you said: mia").await;
    tom.types("tom").await;
    tom.reads("you said: tom").await;

    // He steps back, and somebody else writes; then it is for him to take.
    tom.0.click_action("role").await;
    tom.is_told("You watch. Nobody writes.").await;
    mia.0.click("#notice [data-action=reconnect]").await;
    mia.0.until("connected").await;
    tom.is_told("You watch. mia writes.").await;
    assert_eq!(tom.0.text_of("[data-action=role]").await, "Take over");
    tom.0.show("serial-watching").await;
    tom.types("not heard").await;
    tom.0.click_action("role").await;
    tom.is_told("You write.").await;
    mia.0.until_because("ended", "taken_over").await;
    tom.types("again").await;
    let text = tom.reads("you said: again").await;
    assert!(!text.contains("not heard"), "{text}");
    for person in [&mia, &tom] {
        person.0.assert_quiet(&[]).await;
    }
}

#[tokio::test]
async fn a_watcher_sees_all_and_types_nothing() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("watch").managed().start().await;
    let stack = stack(&libvirt).await;
    let eve = Person::at(&stack, serial(&guest, "eve").field("read_only", true)).await;
    eve.is_told("You watch. Nobody writes.").await;
    let mia = Person::at(&stack, serial(&guest, "mia")).await;
    eve.is_told("You watch. mia writes.").await;
    mia.is_told("You write. 1 other watches.").await;
    assert!(!eve.0.is_shown("[data-action=role]").await, "nothing that the link does not allow");
    eve.types("from eve").await;
    mia.types("from mia").await;
    eve.reads("you said: from mia").await;
    assert!(!mia.text().await.contains("from eve"));
    mia.0.click_action("disconnect").await;
    eve.is_told("You watch. Nobody writes.").await;
    for person in [&mia, &eve] {
        person.0.assert_quiet(&[]).await;
    }
}
