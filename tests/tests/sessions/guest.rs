//! Each way in which a guest stops ends its sessions with that reason; what does not stop it ends none.

use porthole_tests::agent::Minted;
use porthole_tests::guest::Guest;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::rfb;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use porthole_tests::ws::WsClient;

use crate::support::{closed, ended, row, view};

#[tokio::test]
async fn a_guest_that_stops_ends_its_sessions_and_says_how() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("stops").panic_device().start().await;
    let other = libvirt.guest("bystander").start().await;
    let stack = Stack::on(&libvirt).await;
    let mut bystander = view(&stack, &other).await;

    stops(&stack, &guest, &mut bystander, "destroyed", async || guest.destroy().await).await;
    stops(&stack, &guest, &mut bystander, "shut_off", async || guest.shutdown().await).await;
    stops(&stack, &guest, &mut bystander, "shut_off", async || guest.command("poweroff").await).await;
    stops(&stack, &guest, &mut bystander, "crashed", async || guest.command("panic").await).await;
    // The emulator itself dies: libvirt's event says "failed".
    stops(&stack, &guest, &mut bystander, "failed", async || guest.kill_qemu()).await;
    stops(&stack, &guest, &mut bystander, "saved", async || {
        guest.virsh("managedsave", &[]).await.unwrap();
    })
    .await;
}

/// Ends a running guest with two viewers, checks what they and others see, and starts it again.
async fn stops(
    stack: &Stack,
    guest: &Guest,
    bystander: &mut (Minted, rfb::Client<WsClient>),
    reason: &str,
    stop: impl AsyncFnOnce(),
) {
    let mut viewers = [view(stack, guest).await, view(stack, guest).await];
    let unused = stack.mint(guest).await;
    stop().await;
    for (link, viewer) in &mut viewers {
        assert_eq!(viewer.stream().closed().await, closed(4411, reason));
        ended(&stack.agent, link, reason).await;
    }
    guest.wait_for_state("shut off").await;
    eventually(PATIENCE, format!("the link to be void ({reason})"), async || {
        stack.upgrade(&unused).send().await.unwrap().refusal() == (409, reason.to_owned())
    })
    .await;
    let refused = stack.agent.try_mint(guest).await.unwrap_err();
    assert_eq!((refused.status, refused.code.as_str()), (409, "not_running"), "after {reason}");

    let (link, viewer) = bystander;
    viewer.full_frame().await.unwrap_or_else(|error| panic!("the other guest's session after {reason}: {error:#}"));
    assert_eq!(row(&stack.agent, link).await.ended, None);

    // Once it runs again, a new link opens it.
    guest.boot().await.unwrap();
    let (_, mut viewer) = view(stack, guest).await;
    assert_eq!(viewer.full_frame().await.unwrap(), guest.screenshot().await.unwrap());
}

#[tokio::test]
async fn a_reboot_a_reset_and_a_pause_end_nothing() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("reboots").start().await;
    let stack = Stack::on(&libvirt).await;
    let (link, mut viewer) = view(&stack, &guest).await;

    guest.show_quadrants().await;
    assert!(viewer.full_frame().await.unwrap().is_quadrants());
    guest.command("reboot").await;
    guest.wait_until_ready().await.unwrap();
    assert_eq!(viewer.full_frame().await.unwrap(), guest.screenshot().await.unwrap());

    guest.show_quadrants().await;
    guest.virsh("reset", &[]).await.unwrap();
    guest.wait_until_ready().await.unwrap();
    assert_eq!(viewer.full_frame().await.unwrap(), guest.screenshot().await.unwrap());

    guest.show_quadrants().await;
    guest.suspend().await;
    assert!(viewer.full_frame().await.unwrap().is_quadrants());
    let mut second = stack.view(&guest).await;
    assert!(second.full_frame().await.unwrap().is_quadrants(), "a paused guest's console opens");
    guest.resume().await;
    viewer.type_key('p').await.unwrap();
    eventually(PATIENCE, "the typed key on COM1", async || guest.serial_log(0).contains("Kp")).await;

    let row = row(&stack.agent, &link).await;
    assert_eq!((row.open, row.connections, row.ended), (1, 1, None));
}
