//! A database that takes nothing: no port changes hands, whoever asks is told what to do, and what was given is still
//! there afterwards.

use std::net::SocketAddr;

use http::Method;
use porthole_tests::agent::AgentBuilder;
use porthole_tests::disk::{SmallDisk, fill};
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use serde_json::Value;
use uuid::Uuid;

use crate::support::{allocate, ports, ports_of};

/// A stack whose agent keeps its state there.
async fn stack_on(disk: &SmallDisk) -> Stack {
    let within = disk.enter();
    let settings = move |agent: AgentBuilder| alone(agent).set("node.state_dir", "/mnt/state").under(within);
    Stack::builder().agent(settings).start().await
}

/// Without libvirt, it wants something to show.
fn alone(agent: AgentBuilder) -> AgentBuilder {
    agent.external(Uuid::new_v4(), "raw", "tcp", SocketAddr::from(([127, 0, 0, 1], 9)))
}

async fn release(stack: &Stack, domain: Uuid) -> (u16, Value) {
    let answer = stack.agent.api(Method::DELETE, &format!("/v1/ports/{domain}"), None).await;
    let (status, answer) = answer.expect("an answer");
    (status.as_u16(), answer)
}

fn assert_told(answer: &(u16, Value), status: u16, code: &str, words: &str) {
    let (got, problem) = answer;
    assert_eq!((*got, &problem["code"]), (status, &Value::from(code)), "{problem}");
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(detail.contains("no port has changed hands") && detail.contains(words), "{detail}");
}

#[tokio::test]
async fn without_room_no_port_changes_hands_and_with_room_they_do_again() {
    let disk = SmallDisk::new().await;
    let stack = stack_on(&disk).await;
    let (first, filler) = (Uuid::new_v4(), disk.path().join("filler"));
    assert_eq!(allocate(&stack.agent, first, &["serial-0", "vnc-0"]).await.0, 200);

    fill(&filler);
    // What SQLite has room for in its files is used first.
    let mut given = vec![first];
    let refused = loop {
        let domain = Uuid::new_v4();
        let answer = allocate(&stack.agent, domain, &["serial-0", "serial-1", "serial-2", "vnc-0"]).await;
        if answer.0 != 200 {
            assert_eq!(ports_of(&stack.agent, domain).await, [], "none of its ports is there");
            break answer;
        }
        given.push(domain);
        assert!(given.len() < 1000, "the disk is never full");
    };
    assert_told(&refused, 507, "disk_full", "make some");
    let before = ports(&stack.agent).await;
    assert_eq!(before.len(), 2 + 4 * (given.len() - 1), "those who were told so have theirs");
    assert_told(&release(&stack, first).await, 507, "disk_full", "make some");
    assert_eq!(ports(&stack.agent).await, before);

    std::fs::remove_file(&filler).expect("the filler");
    eventually(PATIENCE, "a release", async || release(&stack, first).await.0 == 200).await;
    let again = allocate(&stack.agent, Uuid::new_v4(), &["serial-0"]).await;
    assert_eq!(again.0, 200, "{}", again.1);
}

#[tokio::test]
async fn on_a_read_only_disk_it_does_not_start_and_says_why_and_nothing_is_lost() {
    let disk = SmallDisk::new().await;
    let mut stack = stack_on(&disk).await;
    let domain = Uuid::new_v4();
    assert_eq!(allocate(&stack.agent, domain, &["serial-0", "vnc-0"]).await.0, 200);
    let before = ports(&stack.agent).await;
    stack.agent.crash();

    disk.remount("ro").await;
    let said = stack.agent.try_start_again().await.expect_err("it does not start").to_string();
    for words in ["/mnt/state", "Read-only file system", "[node] state_dir needs a file system that can be written"] {
        assert!(said.contains(words), "{words:?} is not in: {said}");
    }
    disk.remount("rw").await;
    stack.agent.start_again().await;
    assert_eq!(ports(&stack.agent).await, before);
}

#[tokio::test]
async fn where_the_kernel_makes_the_disk_read_only_nothing_changes_and_after_its_repair_all_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("disk.img");
    let disk = SmallDisk::ext4(&image).await;
    let mut stack = stack_on(&disk).await;
    let domain = Uuid::new_v4();
    assert_eq!(allocate(&stack.agent, domain, &["serial-0", "vnc-0"]).await.0, 200);
    let before = ports(&stack.agent).await;

    // As ext4 does when its disk fails; a mere remount Linux refuses while somebody has files open for writing there. What
    // was not on the disk by then is lost, as in a crash of the host.
    disk.run("sync -f /mnt && mount -o remount,abort /mnt && ! touch /mnt/file").await;
    let other = Uuid::new_v4();
    // Whoever writes first hears that the disk fails; then SQLite has looked at the file again.
    let refused = allocate(&stack.agent, other, &["serial-0", "vnc-0"]).await;
    let detail = refused.1["detail"].as_str().expect("a detail");
    assert!(refused.0 == 500 && detail.contains("no port has changed hands"), "{refused:?}");
    assert!(detail.contains("`findmnt -T` says"), "{detail}");
    let again = allocate(&stack.agent, other, &["serial-0", "vnc-0"]).await;
    assert_told(&again, 500, "database_read_only", "see whether its file system is mounted so");
    assert_told(&release(&stack, domain).await, 500, "database_read_only", "see whether its file system is mounted so");
    assert_eq!(ports(&stack.agent).await, before, "it can be asked all the same");
    let readiness = stack.agent.admin_fetch("/readyz").await.expect("an answer");
    assert_eq!(readiness.status(), 503);
    assert!(
        readiness.body().starts_with(b"not ready\nthe database cannot be written: the database in"),
        "{readiness:?}"
    );

    // Repaired, it is mounted anew, and the agent started anew: what it has open is of the mount before.
    stack.agent.stop().await;
    let image = image.to_string_lossy();
    disk.run(&format!("umount /mnt && {{ e2fsck -f -y {image} || [ $? -le 1 ]; }} >&2 && mount -o loop {image} /mnt"))
        .await;
    stack.agent.start_again().await;
    assert_eq!(ports(&stack.agent).await, before);
    assert_eq!(allocate(&stack.agent, other, &["serial-0", "vnc-0"]).await.0, 200);
}

#[tokio::test]
async fn a_damaged_database_is_said_to_be_so_and_not_written_to() {
    let mut stack = Stack::builder().agent(alone).start().await;
    let domain = Uuid::new_v4();
    assert_eq!(allocate(&stack.agent, domain, &["serial-0", "vnc-0"]).await.0, 200);
    let before = ports(&stack.agent).await;
    assert!(stack.agent.stop().await.success());
    let file = stack.agent.database();
    let good = std::fs::read(&file).expect("the database");

    // In the middle: what is there can be opened, and the table of ports cannot be read.
    let serial = domain.to_string();
    let place = good.windows(serial.len()).position(|bytes| bytes == serial.as_bytes()).expect("the domain's row");
    let page = place / 4096 * 4096;
    let mut torn = good.clone();
    torn[page..page + 4096].fill(0xa5);
    std::fs::write(&file, &torn).expect("the database");
    stack.agent.start_again().await;
    let (status, answer) = stack.agent.api(Method::GET, "/v1/ports", None).await.expect("an answer");
    assert_told(&(status.as_u16(), answer), 500, "database_damaged", "move porthole.db");
    let other = allocate(&stack.agent, Uuid::new_v4(), &["serial-0"]).await;
    assert_told(&other, 500, "database_damaged", "put a backup in their place");
    assert!(stack.agent.stop().await.success());

    // At its head: it is no database any more.
    let mut other = good.clone();
    other[..16].copy_from_slice(b"no database here");
    std::fs::write(&file, &other).expect("the database");
    let said = stack.agent.try_start_again().await.expect_err("it does not start").to_string();
    for words in ["porthole.db", "is damaged: stop the agent, move porthole.db", "file is not a database"] {
        assert!(said.contains(words), "{words:?} is not in: {said}");
    }
    assert_eq!(std::fs::read(&file).expect("the database"), other, "nobody has touched it");

    // A backup is as good as before.
    std::fs::write(&file, good).expect("the database");
    stack.agent.start_again().await;
    assert_eq!(ports(&stack.agent).await, before);
}
