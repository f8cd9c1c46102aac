//! libvirtd stops, is killed and hangs: sessions do not notice, new ones wait for it no longer than they may.

use std::time::Duration;

use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};

use crate::support::{closed, ended, handshake, row, timed, view};

async fn connected(stack: &Stack) {
    eventually(PATIENCE, "the agent to find libvirt again", async || {
        stack.agent.status().await["libvirt"] == "connected"
    })
    .await;
}

#[tokio::test]
async fn sessions_do_not_notice_that_libvirtd_restarts() {
    let libvirt = PrivateLibvirt::start().await;
    let guest = libvirt.guest("stays").start().await;
    let doomed = libvirt.guest("doomed").start().await;
    let stack = Stack::on(&libvirt).await;
    let (link, mut viewer) = view(&stack, &guest).await;
    let (doomed_link, mut doomed_viewer) = view(&stack, &doomed).await;
    let unused = stack.mint(&guest).await;
    assert_eq!(viewer.full_frame().await.unwrap(), guest.screenshot().await.unwrap());

    // While it is away: live sessions go on, new ones are refused with the reason.
    libvirt.stop_daemon().await;
    assert_eq!(viewer.full_frame().await.unwrap().width, 720);
    eventually(PATIENCE, "the agent to notice", async || stack.agent.status().await["libvirt"] == "connecting").await;
    let refused = stack.agent.try_mint(&guest).await.unwrap_err();
    assert_eq!((refused.status, refused.code.as_str()), (503, "hypervisor_down"));
    let refused = stack.upgrade(&unused).send().await.unwrap().refusal();
    assert_eq!(refused, (503, "hypervisor_down".to_owned()));
    // Nobody is there to say why this one stops.
    doomed.kill_qemu();
    assert_eq!(doomed_viewer.stream().closed().await, closed(4410, "console_closed"));
    ended(&stack.agent, &doomed_link, "console_closed").await;
    viewer.full_frame().await.unwrap();

    libvirt.start_daemon().await;
    connected(&stack).await;
    let mut second = handshake(stack.upgrade(&unused).open().await).await;
    for viewer in [&mut viewer, &mut second] {
        assert_eq!(viewer.full_frame().await.unwrap(), guest.screenshot().await.unwrap());
    }

    // Again, by SIGKILL.
    libvirt.kill_daemon().await;
    assert_eq!(viewer.full_frame().await.unwrap().width, 720);
    libvirt.start_daemon().await;
    guest.show_quadrants().await;
    for viewer in [&mut viewer, &mut second] {
        eventually(PATIENCE, "the quadrants", async || viewer.full_frame().await.unwrap().is_quadrants()).await;
    }
    connected(&stack).await;
    let (third_link, mut third) = view(&stack, &guest).await;
    assert!(third.full_frame().await.unwrap().is_quadrants());
    let session = row(&stack.agent, &link).await;
    assert_eq!((session.open, session.connections, session.ended), (1, 1, None));

    // The new connection to libvirt brings events, too.
    guest.shutdown().await;
    for viewer in [&mut viewer, &mut second, &mut third] {
        assert_eq!(viewer.stream().closed().await, closed(4411, "shut_off"));
    }
    for link in [&link, &unused, &third_link] {
        ended(&stack.agent, link, "shut_off").await;
    }
}

#[tokio::test]
async fn a_libvirtd_that_hangs_holds_nobody_up_for_long() {
    let libvirt = PrivateLibvirt::start().await;
    let guest = libvirt.guest("hangs").start().await;
    let stack = Stack::builder().libvirt(&libvirt).agent(|agent| agent.set("libvirt.keepalive", "1s")).start().await;
    let (_, mut viewer) = view(&stack, &guest).await;
    let (unused, other) = (stack.mint(&guest).await, stack.mint(&guest).await);

    libvirt.pause_daemon();
    let (answer, after) = timed(stack.upgrade(&unused).send()).await;
    let (status, reason) = answer.unwrap().refusal();
    assert!(matches!((status, reason.as_str()), (502, "unreachable") | (503, "hypervisor_down")), "{status} {reason}");
    assert!(after < Duration::from_secs(8), "{after:?}");
    viewer.full_frame().await.unwrap();
    // It does not answer keepalives: that is noticed, and said at once from then on.
    eventually(PATIENCE, "the agent to notice", async || stack.agent.status().await["libvirt"] == "connecting").await;
    let (answer, after) = timed(stack.upgrade(&unused).send()).await;
    assert_eq!(answer.unwrap().refusal(), (503, "hypervisor_down".to_owned()));
    assert!(after < Duration::from_secs(2), "{after:?}");
    viewer.full_frame().await.unwrap();

    libvirt.resume_daemon();
    connected(&stack).await;
    for link in [&unused, &other] {
        let mut viewer = handshake(stack.upgrade(link).open().await).await;
        assert_eq!(viewer.full_frame().await.unwrap(), guest.screenshot().await.unwrap());
    }
    guest.destroy().await;
    assert_eq!(viewer.stream().closed().await, closed(4411, "destroyed"));
}
