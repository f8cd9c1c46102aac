//! An agent that is gone or hangs, and a libvirtd that hangs.

use std::time::Instant;

use nix::sys::signal::Signal;
use porthole_tests::guest::{Graphics, Listen};
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::ports::free_port;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use uuid::Uuid;

use crate::support::{LONGEST, hook, hooked, told, void_reason};

/// So many steps have room in the spool.
const MOST_WAITING: usize = 10_000;

/// How many steps wait for the agent.
fn waiting(libvirt: &PrivateLibvirt) -> usize {
    std::fs::read_dir(libvirt.hook_spool()).expect("the spool").count()
}

#[tokio::test]
async fn what_happened_while_the_agent_was_away_it_hears_later() {
    let (libvirt, mut stack) = hooked().await;
    let guest = libvirt.guest("alone").start().await;
    let link = stack.mint(guest.name()).await;
    stack.agent.crash();
    guest.destroy().await;
    assert_eq!(waiting(&libvirt), 2, "stopped and released");
    // It runs again before the agent does: libvirt shows nothing of what happened.
    guest.boot().await.expect("it starts without an agent");
    assert_eq!(waiting(&libvirt), 2, "what libvirt shows needs not be told later");

    stack.agent.start_again().await;
    eventually(PATIENCE, "the steps to be taken up", async || waiting(&libvirt) == 0).await;
    eventually(PATIENCE, "the link to be void", async || void_reason(&stack.agent, &link.id).await == "shut_off").await;
    stack.view(guest.name()).await;
}

#[tokio::test]
async fn what_stopped_while_the_agent_was_away_is_found_out_without_a_hook() {
    let libvirt = PrivateLibvirt::start().await;
    let mut stack = Stack::on(&libvirt).await;
    let (stays, stops) = (libvirt.guest("stays").start().await, libvirt.guest("stops").start().await);
    let links = [stack.mint(stays.name()).await, stack.mint(stops.name()).await];
    stack.agent.crash();
    stops.destroy().await;
    stack.agent.start_again().await;
    eventually(PATIENCE, "the link to be void", async || void_reason(&stack.agent, &links[1].id).await == "shut_off")
        .await;
    assert_eq!(void_reason(&stack.agent, &links[0].id).await, "");
    stops.boot().await.expect("it starts");
    stack.upgrade(&links[0]).open().await;
}

#[tokio::test]
async fn an_agent_that_hangs_keeps_no_guest_from_living() {
    let (libvirt, stack) = hooked().await;
    let guest = libvirt.guest("free").graphics([Graphics::vnc(Listen::Tcp(free_port()))]).define().await.unwrap();
    assert!(stack.agent.process().signal(Signal::SIGSTOP));
    let began = Instant::now();
    guest.boot().await.expect("it starts");
    // Three steps, each of which waits its time.
    assert!(began.elapsed() < LONGEST * 3 + PATIENCE / 3, "{:?}", began.elapsed());
    guest.destroy().await;
    assert_eq!(waiting(&libvirt), 2);
    assert!(stack.agent.process().signal(Signal::SIGCONT));
    guest.boot().await.expect("it starts");
    eventually(PATIENCE, "the steps to be taken up", async || waiting(&libvirt) == 0).await;
}

#[tokio::test]
async fn a_full_spool_holds_up_no_answer() {
    let (libvirt, stack) = hooked().await;
    let guest = libvirt.guest("quick").start().await;
    let xml = guest.live_xml().await.unwrap();
    let spool = libvirt.hook_spool();
    for number in 0..MOST_WAITING {
        let step = serde_json::json!({
            "step": {"name": "gone", "operation": "stopped", "sub_operation": "end", "extra": "-"},
            "uuid": Uuid::new_v4(),
        });
        std::fs::write(spool.join(format!("{number:020}-1.step")), step.to_string()).expect("the spool");
    }
    let config = libvirt.hook_config().to_string_lossy().into_owned();
    for operation in ["prepare", "started", "stopped"] {
        let (output, took) = hook(&config, &[guest.name(), operation, "begin", "-"], xml.as_bytes()).await;
        assert!(output.status.success() && output.stderr.is_empty(), "{operation}: {output:?}");
        assert!(took < LONGEST / 2, "{operation}: {took:?}");
    }
    eventually(PATIENCE, "the steps to be taken up", async || waiting(&libvirt) == 0).await;
    drop(stack);
}

#[tokio::test]
async fn what_found_no_room_in_the_spool_is_found_out_from_libvirt() {
    let (libvirt, mut stack) = hooked().await;
    let (stays, again) = (libvirt.guest("stays").start().await, libvirt.guest("again").start().await);
    let links = [stack.mint(stays.name()).await, stack.mint(again.name()).await];
    stack.agent.crash();
    for number in 0..MOST_WAITING {
        std::fs::write(libvirt.hook_spool().join(format!("{number:020}-1.step")), "").expect("the spool");
    }
    again.destroy().await;
    again.boot().await.expect("it starts without an agent");
    assert_eq!(waiting(&libvirt), MOST_WAITING + 1, "the mark that there were more");

    stack.agent.start_again().await;
    eventually(PATIENCE, "the link to be void", async || void_reason(&stack.agent, &links[1].id).await == "shut_off")
        .await;
    eventually(PATIENCE, "the steps to be taken up", async || waiting(&libvirt) == 0).await;
    assert_eq!(void_reason(&stack.agent, &links[0].id).await, "");
}

#[tokio::test]
async fn a_libvirtd_that_hangs_holds_up_no_answer() {
    let (libvirt, stack) = hooked().await;
    let guest = libvirt.guest("busy").start().await;
    let xml = guest.live_xml().await.unwrap();
    let config = libvirt.hook_config().to_string_lossy().into_owned();
    libvirt.pause_daemon();
    for operation in ["prepare", "start", "started", "reconnect", "attach", "migrate", "restore", "stopped", "release"]
    {
        let before = told(&stack.agent, operation).await;
        let (output, took) = hook(&config, &[guest.name(), operation, "begin", "-"], xml.as_bytes()).await;
        assert!(output.status.success() && output.stdout.is_empty(), "{operation}: {output:?}");
        assert!(took < LONGEST / 2, "{operation}: {took:?}");
        assert_eq!(told(&stack.agent, operation).await, before + 1, "{operation}");
    }
    libvirt.resume_daemon();
}
