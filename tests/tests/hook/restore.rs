//! Guests with consoles of Porthole's that come from the file they were saved to.

use crate::support::{SERIAL, ports_of};
use crate::two::Two;

#[tokio::test]
async fn a_saved_guest_whose_ports_were_taken_gets_others() {
    let two = Two::start().await;
    let (uuid, host) = (two.guest("tcp").await, &two.hosts[0]);
    let (name, before) = (uuid.to_string(), two.assert_works(uuid, 0).await);
    host.virsh(&["managedsave", &name]).await.expect("it is saved");
    two.wait_for_ports(uuid, 0, &before).await;
    host.virsh(&["start", &name]).await.expect("it goes on");
    assert_eq!(two.assert_works(uuid, 0).await, before, "nobody wanted them meanwhile");

    host.virsh(&["managedsave", &name]).await.expect("it is saved");
    let _theirs = two.take(0, &before[1..2]);
    host.virsh(&["start", &name]).await.expect("it goes on");
    let after = two.assert_works(uuid, 0).await;
    let kept: Vec<_> = after.iter().filter(|port| before.contains(port)).collect();
    assert_eq!((after.len(), kept), (1 + SERIAL, vec![&before[0], &before[2]]), "by device, and only where it must");
    two.wait_for_ports(uuid, 0, &after).await;
    two.wait_until_settled(uuid, 0, &after).await;
    host.virsh(&["destroy", &name]).await.expect("it stops");
    host.virsh(&["start", &name]).await.expect("it starts");
    assert_eq!(two.assert_works(uuid, 0).await, after);
}

#[tokio::test]
async fn a_restore_of_a_guest_that_runs_takes_nothing_from_it() {
    let two = Two::start().await;
    let (uuid, host) = (two.guest("tcp").await, &two.hosts[0]);
    let before = two.assert_works(uuid, 0).await;
    two.wait_for_ports(uuid, 0, &before).await;
    let (name, file) = (uuid.to_string(), host.directory().join("saved").to_string_lossy().into_owned());
    let defined = host.virsh(&["dumpxml", "--inactive", &name]).await.expect("its definition");
    host.virsh(&["save", &name, &file]).await.expect("it is saved");
    host.virsh(&["restore", &file]).await.expect("it goes on");
    assert_eq!(two.assert_works(uuid, 0).await, before);

    // libvirt asks the hook before it looks.
    for _ in 0..2 {
        let refused = format!("{:#}", host.virsh(&["restore", &file]).await.expect_err("it runs"));
        assert!(refused.contains("already active"), "{refused}");
        let now = ports_of(two.agent(0), uuid).await;
        assert!(before.iter().all(|port| now.contains(port)), "{before:?} {now:?}");
    }
    two.wait_for_ports(uuid, 0, &before).await;
    two.wait_until_settled(uuid, 0, &before).await;
    assert_eq!(host.virsh(&["dumpxml", "--inactive", &name]).await.expect("its definition"), defined);
    assert_eq!(two.assert_works(uuid, 0).await, before);
}
