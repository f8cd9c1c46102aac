//! Guests of a real libvirt.

use porthole_tests::guest::{Graphics, Listen, Serial};
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::ports::free_port;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use uuid::Uuid;

use crate::support::{allocate, porthole_ports, ports_of};

fn rows(ports: &[(u16, &str)], state: &str) -> Vec<(u64, String, String)> {
    let mut rows: Vec<_> =
        ports.iter().map(|(port, device)| (u64::from(*port), (*device).to_owned(), state.to_owned())).collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn what_guests_use_is_theirs_while_they_are_defined() {
    let libvirt = PrivateLibvirt::start().await;
    let (vnc, serial) = (free_port(), free_port());
    let guest = libvirt
        .guest("holds")
        .graphics([Graphics::vnc(Listen::Tcp(vnc))])
        .serials([Serial::Tcp(serial)])
        .kept()
        .start()
        .await;
    let settings =
        |agent: porthole_tests::agent::AgentBuilder| agent.set("ports.grace", "1s").set("ports.compare_every", "1s");
    let mut stack = Stack::builder().libvirt(&libvirt).agent(settings).start().await;
    let both = [(vnc, "vnc-0"), (serial, "serial-0")];
    let become_ = async |stack: &Stack, expected: Vec<(u64, String, String)>| {
        eventually(PATIENCE, format!("{expected:?}"), async || ports_of(&stack.agent, guest.uuid()).await == expected)
            .await;
    };
    become_(&stack, rows(&both, "leased")).await;
    let shown = porthole_ports(&stack.agent).await;
    assert!(shown.contains(guest.name()) && shown.contains(&vnc.to_string()), "{shown}");

    // It stays the guest's through the death of the agent, a restart of libvirtd, and while the guest is off.
    stack.agent.crash();
    stack.agent.start_again().await;
    assert_eq!(ports_of(&stack.agent, guest.uuid()).await, rows(&both, "leased"));
    libvirt.restart_daemon().await;
    guest.destroy().await;
    let other = Uuid::new_v4();
    let (status, given) = allocate(&stack.agent, other, &["vnc-0", "serial-0"]).await;
    assert_eq!(status, 200, "{given}");
    assert_eq!(ports_of(&stack.agent, other).await.iter().filter(|row| row.2 == "pending").count(), 2);
    eventually(PATIENCE, "libvirt to be there again", async || stack.agent.status().await["libvirt"] == "connected")
        .await;
    assert_eq!(ports_of(&stack.agent, guest.uuid()).await, rows(&both, "leased"), "a definition keeps its ports");

    // Without definition they are free, and those that wait for their domain are not.
    guest.virsh("undefine", &[]).await.unwrap();
    become_(&stack, Vec::new()).await;
    assert_eq!(ports_of(&stack.agent, other).await.len(), 2);
}
