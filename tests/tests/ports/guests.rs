//! Guests of a real libvirt.

use porthole_tests::agent::AgentBuilder;
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

/// Compares often, and has the ports that tests' guests are given among its own.
fn quick(agent: AgentBuilder) -> AgentBuilder {
    agent.set("ports.grace", "1s").set("ports.compare_every", "1s").set("ports.graphics", "20000:32000")
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
    let mut stack = Stack::builder().libvirt(&libvirt).agent(quick).start().await;
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
    // It answers before it has found its guests again, and may then think that this one has ended by itself.
    guest.virsh("destroy", &[]).await.ok();
    guest.wait_for_state("shut off").await;
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

#[tokio::test]
async fn a_saved_guest_keeps_its_ports_and_a_transient_one_takes_them_along() {
    let libvirt = PrivateLibvirt::shared().await;
    let stack = Stack::builder().libvirt(&libvirt).agent(quick).start().await;
    let (kept, passing) = (free_port(), free_port());
    let guest = libvirt.guest("saved").graphics([Graphics::vnc(Listen::Tcp(kept))]).start().await;
    let of = async |uuid: Uuid| ports_of(&stack.agent, uuid).await;
    let (its, nothing) = (rows(&[(kept, "vnc-0")], "leased"), Vec::new());
    eventually(PATIENCE, "the guest's port", async || of(guest.uuid()).await == its).await;
    guest.suspend().await;
    guest.resume().await;
    guest.virsh("managedsave", &[]).await.expect("it is saved");
    guest.wait_for_state("shut off").await;

    // What comes later is told later: once this one is known, the other's end has been looked at.
    let uuid = Uuid::new_v4();
    let transient = libvirt.guest("transient").uuid(uuid).graphics([Graphics::vnc(Listen::Tcp(passing))]).serials([]);
    let file = libvirt.directory().join(format!("{uuid}.xml"));
    std::fs::write(&file, transient.xml().expect("its XML")).expect("a file");
    libvirt.virsh(&["create", &file.to_string_lossy()]).await.expect("it runs");
    let theirs = rows(&[(passing, "vnc-0")], "leased");
    eventually(PATIENCE, "the transient guest's port", async || of(uuid).await == theirs).await;
    assert_eq!(of(guest.uuid()).await, its);
    libvirt.virsh(&["destroy", &uuid.to_string()]).await.expect("it ends");
    eventually(PATIENCE, "its port to be free", async || of(uuid).await == nothing).await;
    assert_eq!(of(guest.uuid()).await, its);
    guest.virsh("start", &[]).await.expect("it goes on");
    assert_eq!(of(guest.uuid()).await, its);
}
