//! Guests with consoles of Porthole's that move between two hosts, each with a network of its own.

use nix::sys::signal::Signal;
use porthole_tests::agent::Mint;
use porthole_tests::libvirt::Migration;
use porthole_tests::wait::{PATIENCE, eventually};

use crate::support::{SERIAL, ports_of};
use crate::two::Two;

#[tokio::test]
async fn consoles_on_ports_work_on_the_new_host_and_after_a_cold_start_there() {
    let two = Two::start().await;
    let uuid = two.guest("tcp").await;
    let before = two.assert_works(uuid, 0).await;
    assert_eq!(before.len(), 1 + SERIAL);
    two.assert_listens_on_own_address(uuid, 0, &["--inactive"]).await;
    two.migrate(uuid, 0, &["--p2p", "--persistent", "--undefinesource"]).await.expect("it moves");
    let after = two.assert_works(uuid, 1).await;
    assert_eq!(after, before, "nobody had them there");
    two.wait_until_nothing_is_left(0).await;
    two.wait_for_ports(uuid, 1, &after).await;
    two.wait_until_settled(uuid, 1, &after).await;
    two.assert_listens_on_own_address(uuid, 1, &["--inactive"]).await;

    let name = uuid.to_string();
    two.hosts[1].virsh(&["destroy", &name]).await.expect("it stops");
    two.hosts[1].virsh(&["start", &name]).await.expect("it starts");
    assert_eq!(two.assert_works(uuid, 1).await, after);
    two.wait_for_ports(uuid, 1, &after).await;
}

#[tokio::test]
async fn it_goes_there_and_back_ten_times_and_leaves_nothing_behind() {
    let two = Two::start().await;
    let [tcp, sealed] = [two.guest("tcp").await, two.guest("sealed").await];
    let mut before = two.assert_works(tcp, 0).await;
    for round in 0..10 {
        let (from, to) = (round % 2, 1 - round % 2);
        // By the hosts themselves, or by whoever asks for it.
        let how: &[&str] = if round % 4 < 2 { &["--p2p", "--persistent"] } else { &["--persistent"] };
        let how = [how, &["--undefinesource"]].concat();
        let taken = two.take(to, &before);
        for uuid in [tcp, sealed] {
            two.migrate(uuid, from, &how).await.unwrap_or_else(|error| panic!("round {round}: {error:#}"));
        }
        let ports = two.assert_works(tcp, to).await;
        assert!(ports.len() == 1 + SERIAL && ports.iter().all(|port| !before.contains(port)), "{before:?} {ports:?}");
        assert_eq!(two.assert_works(sealed, to).await, Vec::<u16>::new(), "round {round}");
        two.wait_until_nothing_is_left(from).await;
        two.wait_for_ports(tcp, to, &ports).await;
        two.wait_until_settled(tcp, to, &ports).await;
        drop(taken);
        before = ports;
    }
    for uuid in [tcp, sealed] {
        two.hosts[0].virsh(&["undefine", &uuid.to_string()]).await.expect("it is undefined");
        two.hosts[0].virsh(&["destroy", &uuid.to_string()]).await.expect("it stops");
    }
    two.wait_until_nothing_is_left(0).await;
}

#[tokio::test]
async fn a_migration_that_is_refused_leaves_the_guest_where_it_is() {
    // A range that has no room for a screen and two serial ports.
    let two = Two::with(|agent| agent.set("ports.serial", "14990:14991")).await;
    let uuid = two.guest("tcp").await;
    let before = two.assert_works(uuid, 0).await;
    let how = ["--p2p", "--persistent", "--undefinesource"];
    let refused = format!("{:#}", two.migrate(uuid, 0, &how).await.expect_err("there is no room"));
    let expected = "porthole: the domain cannot be given consoles of this host: of the 1 ports of [ports] serial";
    assert!(refused.contains(expected), "{refused}");
    assert_eq!(two.assert_works(uuid, 0).await, before);
    two.wait_for_ports(uuid, 0, &before).await;
    assert_eq!(ports_of(two.agent(1), uuid).await, Vec::<u16>::new());
}

#[tokio::test]
async fn a_migration_that_breaks_off_leaves_the_guest_where_it_is() {
    let two = Two::start().await;
    let uuid = two.guest("tcp").await;
    let before = two.assert_works(uuid, 0).await;
    for by_kill in [false, true] {
        let migration = Migration::begin(&two.hosts[0], uuid, &two.hosts[1], &["--p2p", "--persistent"]).await;
        migration.begun.await.expect("it has begun");
        assert_eq!(ports_of(two.agent(1), uuid).await.len(), before.len(), "the other host has made room");
        if by_kill {
            two.hosts[1].emulator(uuid).await.signal(Signal::SIGKILL);
        } else {
            two.hosts[0].virsh(&["domjobabort", &uuid.to_string()]).await.expect("it is aborted");
        }
        drop(migration.go);
        migration.command.await.expect("virsh ends").expect_err("it has failed");
        assert_eq!(two.assert_works(uuid, 0).await, before);
        two.wait_for_ports(uuid, 0, &before).await;
        two.wait_for_ports(uuid, 1, &[]).await;
    }
}

#[tokio::test]
async fn without_an_agent_there_what_needs_no_port_moves_and_the_rest_stays() {
    let mut two = Two::start().await;
    let (tcp, sealed) = (two.guest("tcp").await, two.guest("sealed").await);
    let before = two.assert_works(tcp, 0).await;
    two.there.crash();
    let how = ["--p2p", "--persistent", "--undefinesource"];
    let refused = format!("{:#}", two.migrate(tcp, 0, &how).await.expect_err("its address is not there"));
    assert!(!refused.contains("porthole:"), "QEMU says so: {refused}");
    assert_eq!(two.assert_works(tcp, 0).await, before);
    two.migrate(sealed, 0, &how).await.expect("it moves");
    two.there.start_again().await;
    eventually(PATIENCE, "the guest to be opened", async || two.there.try_mint(Mint::of(sealed)).await.is_ok()).await;
    two.hosts[1].virsh(&["destroy", &sealed.to_string()]).await.expect("it stops");
}
