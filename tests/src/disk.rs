//! File systems for an agent's state that a test can fill, make read-only or break.
//!
//! Each is mounted at [`PLACE`] in a mount namespace of its own, which ends with its holder, and that with the test. What
//! is to see it is run by `nsenter` ([`SmallDisk::enter`]).

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

/// Where it is mounted, for those who are in its namespace.
pub const PLACE: &str = "/mnt";

/// A file system of a few megabytes.
#[derive(Debug)]
pub struct SmallDisk {
    holder: Child,
}

impl SmallDisk {
    /// In memory, of two megabytes.
    pub async fn new() -> Self {
        Self::mounted(&format!("mount -t tmpfs -o size=2m,mode=0755 none {PLACE}")).await
    }

    /// An ext4 in that file, which will have 16 megabytes.
    pub async fn ext4(image: &Path) -> Self {
        let file = std::fs::File::create(image).expect("a file");
        file.set_len(16 << 20).expect("room");
        let image = image.to_string_lossy();
        Self::mounted(&format!("mkfs.ext4 -q -F {image} && mount -o loop {image} {PLACE}")).await
    }

    async fn mounted(how: &str) -> Self {
        let script = format!("{how} && echo mounted && exec cat");
        let mut holder = Command::new("unshare")
            .args(["--mount", "sh", "-c", &script])
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

    /// What runs a command in its namespace: for [`AgentBuilder::under`](crate::agent::AgentBuilder::under).
    pub fn enter(&self) -> [String; 2] {
        ["nsenter".to_owned(), format!("--mount=/proc/{}/ns/mnt", self.process())]
    }

    /// Its files, from this process's point of view.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{PLACE}", self.process()))
    }

    /// Mounts it anew with these options.
    pub async fn remount(&self, options: &str) {
        self.run(&format!("mount -o remount,{options} {PLACE}")).await;
    }

    /// Runs a command of the shell's in its namespace.
    pub async fn run(&self, command: &str) {
        let [program, namespace] = self.enter();
        let status = Command::new(program).args([&namespace, "sh", "-c", command]).status().await.expect("nsenter");
        assert!(status.success(), "{command}: {status}");
    }

    fn process(&self) -> u32 {
        self.holder.id().expect("it runs")
    }
}

/// Writes until there is no room.
pub fn fill(file: &Path) {
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
