//! Each step of a guest's life.

use std::net::TcpListener;

use porthole_tests::agent::AgentBuilder;
use porthole_tests::guest::{Graphics, Listen};
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::ports::free_port;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};

use crate::support::{hooked, managed, porthole, told};

#[tokio::test]
async fn each_step_is_told() {
    let (libvirt, stack) = hooked().await;
    let pid_file = libvirt.directory().join("outer.pid");
    let remember = || std::fs::write(&pid_file, libvirt.daemon_pid().expect("it runs").to_string()).expect("a file");
    remember();
    let hooks = libvirt.directory().join("etc/hooks").to_string_lossy().into_owned();
    let pid_path = pid_file.to_string_lossy().into_owned();
    let asking = ["hook", "status", "--hooks", &hooks, "--pid-file", &pid_path];
    let (code, answer, words) = porthole(&stack.agent, &asking).await;
    assert_eq!((code, &answer["works"], &answer["calls"]), (1, &false.into(), &0.into()), "{answer}");
    assert!(words.contains("start a guest"), "{words}");

    let guest = libvirt.guest("told").start().await;
    for operation in ["prepare", "start", "started"] {
        assert_eq!(told(&stack.agent, operation).await, 1, "{operation}");
    }
    let (code, answer, words) = porthole(&stack.agent, &asking).await;
    assert_eq!((code, &answer["works"], &answer["calls"]), (0, &true.into(), &3.into()), "{answer} {words}");
    assert!(answer["installed"].as_str().expect("a path").ends_with("qemu.d/porthole"), "{answer}");

    let file = libvirt.directory().join("saved").to_string_lossy().into_owned();
    guest.virsh("save", &[&file]).await.expect("it is saved");
    libvirt.virsh(&["restore", &file]).await.expect("it is restored");
    libvirt.restart_daemon().await;
    guest.destroy().await;
    eventually(PATIENCE, "the last step to be told", async || told(&stack.agent, "release").await == 2).await;
    for (operation, count) in [("restore", 1), ("prepare", 2), ("started", 2), ("reconnect", 1), ("stopped", 2)] {
        assert_eq!(told(&stack.agent, operation).await, count, "{operation}");
    }
}

#[tokio::test]
async fn a_taken_port_is_named_before_qemu_stumbles_over_it() {
    let libvirt = PrivateLibvirt::builder().hooked().start().await.expect("a private libvirtd");
    // Whose a port is, the table knows of those in its ranges.
    let settings = |agent: AgentBuilder| agent.set("ports.graphics", "20000:32001");
    let stack = Stack::builder().libvirt(&libvirt).agent(settings).start().await;
    let port = free_port();
    let occupied = TcpListener::bind(("127.0.0.1", port)).expect("it is free");
    let guest = managed(&libvirt, "late", port).await;
    let refused = format!("{:#}", guest.boot().await.expect_err("its port is taken"));
    let expected = format!("porthole: port {port}, which vnc-0 of this domain needs, is taken by something that is no");
    assert!(refused.contains(&expected), "{refused}");
    assert_eq!(guest.state().await.unwrap(), "shut off");

    // Of others QEMU says so itself.
    let held = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let listen = Listen::Tcp(held.local_addr().expect("its address").port());
    let other = libvirt.guest("other").graphics([Graphics::vnc(listen)]);
    let refused = format!("{:#}", other.try_start().await.expect_err("the port is taken"));
    assert!(!refused.contains("porthole:"), "{refused}");
    drop(occupied);
    guest.boot().await.expect("it is free");

    // A guest's port, and that guest's name.
    let next = managed(&libvirt, "next", port).await;
    let named = async || {
        let refused = format!("{:#}", next.boot().await.expect_err("its port is taken"));
        refused.contains(&format!("is taken by domain {}", guest.name()))
    };
    eventually(PATIENCE, "the agent to know whose the port is", named).await;
    guest.destroy().await;
    next.boot().await.expect("it is free");
    assert!(told(&stack.agent, "prepare").await >= 4);
}

#[tokio::test]
async fn a_port_that_is_taken_on_another_address_keeps_no_guest_from_starting() {
    let (libvirt, stack) = hooked().await;
    let port = free_port();
    let elsewhere = [TcpListener::bind(("127.0.0.2", port)), TcpListener::bind(("::1", port))];
    let guest = managed(&libvirt, "beside", port).await;
    guest.boot().await.expect("it listens on 127.0.0.1");
    assert_eq!(told(&stack.agent, "prepare").await, 1);
    guest.destroy().await;
    drop(elsewhere);

    for address in ["127.0.0.1", "0.0.0.0"] {
        let taken = TcpListener::bind((address, port)).expect("it is free");
        let refused = format!("{:#}", guest.boot().await.expect_err("its port is taken"));
        assert!(refused.contains(&format!("porthole: port {port}")), "{address}: {refused}");
        drop(taken);
    }
    guest.boot().await.expect("it is free");
}
