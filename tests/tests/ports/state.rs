//! A database that takes nothing: no port changes hands, whoever asks is told what to do, and what was given is still
//! there afterwards.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use http::Method;
use porthole_tests::agent::AgentBuilder;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::support::{allocate, ports, ports_of};

/// A file system of two megabytes, in a mount namespace that ends with its holder, and its holder with this process.
struct SmallDisk {
    holder: Child,
}

impl SmallDisk {
    async fn new() -> Self {
        let script = "mount -t tmpfs -o size=2m,mode=0755 none /mnt && echo mounted && exec cat";
        let mut holder = Command::new("unshare")
            .args(["--mount", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("unshare");
        let mut said = [0; 8];
        holder.stdout.as_mut().expect("it is piped").read_exact(&mut said).await.expect("a mount");
        assert_eq!(&said, b"mounted\n");
        Self { holder }
    }

    fn mounts(&self) -> String {
        format!("--mount=/proc/{}/ns/mnt", self.holder.id().expect("it runs"))
    }

    /// From this process's point of view.
    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/mnt", self.holder.id().expect("it runs")))
    }

    async fn remount(&self, options: &str) {
        let mount = ["mount", "-o", &format!("remount,{options}"), "/mnt"].map(str::to_owned);
        let status = Command::new("nsenter").arg(self.mounts()).args(mount).status().await.expect("nsenter");
        assert!(status.success(), "{status}");
    }

    /// A stack whose agent keeps its state there.
    async fn stack(&self) -> Stack {
        let mounts = self.mounts();
        let settings = move |agent: AgentBuilder| {
            alone(agent).set("node.state_dir", "/mnt/state").under(["nsenter".to_owned(), mounts])
        };
        Stack::builder().agent(settings).start().await
    }
}

/// Without libvirt, it wants something to show.
fn alone(agent: AgentBuilder) -> AgentBuilder {
    agent.external(Uuid::new_v4(), "raw", "tcp", SocketAddr::from(([127, 0, 0, 1], 9)))
}

/// Writes until there is no room.
fn fill(file: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(file).expect("a file");
    // A smaller piece may still fit where a larger one does not.
    for piece in [64 * 1024, 4096, 1] {
        loop {
            match file.write(&vec![0; piece]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
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
    let stack = disk.stack().await;
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
    let mut stack = disk.stack().await;
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
