//! A guest's end makes its links void; what is no end does not.

use porthole_tests::agent::Mint;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};

use crate::support::{closed, refusal, view};

#[tokio::test]
async fn a_guest_that_was_switched_off_takes_its_links_with_it() {
    let libvirt = PrivateLibvirt::shared().await;
    let (guest, other) = (libvirt.guest("ends").start().await, libvirt.guest("stays").start().await);
    let stack = Stack::on(&libvirt).await;
    let (used, unused) = (stack.mint(&guest).await, stack.mint(&guest).await);
    let elsewhere = stack.mint(&other).await;
    let mut viewer = view(&stack, &used).await;
    guest.destroy().await;
    assert_eq!(viewer.stream().closed().await, closed(4411, "destroyed"));
    eventually(PATIENCE, "the link to be void", async || {
        refusal(&stack, &unused).await == (409, "destroyed".to_owned())
    })
    .await;
    // Also once the guest runs again: a new start is asked for anew.
    guest.boot().await.unwrap();
    assert_eq!(refusal(&stack, &unused).await, (409, "destroyed".to_owned()));
    let mut viewer = view(&stack, &stack.mint(&guest).await).await;
    assert_eq!(viewer.full_frame().await.unwrap(), guest.screenshot().await.unwrap());
    view(&stack, &elsewhere).await.full_frame().await.unwrap();
}

#[tokio::test]
async fn a_reboot_and_a_definition_that_goes_void_nothing_while_the_guest_runs() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("goes-on").start().await;
    let stack = Stack::on(&libvirt).await;
    let (used, later) = (stack.mint(&guest).await, stack.mint(Mint::of(guest.name()).ttl(600)).await);
    let mut viewer = view(&stack, &used).await;
    guest.command("reboot").await;
    guest.wait_until_ready().await.unwrap();
    guest.virsh("undefine", &[]).await.unwrap();
    // It may still be drawing what it begins with.
    eventually(PATIENCE, "the screen after the reboot", async || {
        viewer.full_frame().await.unwrap() == guest.screenshot().await.unwrap()
    })
    .await;
    assert_eq!(view(&stack, &later).await.full_frame().await.unwrap(), guest.screenshot().await.unwrap());
    guest.destroy().await;
    assert_eq!(viewer.stream().closed().await, closed(4411, "destroyed"));
}
