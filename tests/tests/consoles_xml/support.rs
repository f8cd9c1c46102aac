//! The filter, and files of domains.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::places;
use porthole_tests::wait::{PATIENCE, within};
use tokio::io::AsyncWriteExt as _;

/// Runs `porthole consoles …` with that on standard input, and gives what it prints.
pub(crate) async fn consoles(arguments: &[&str], input: &str) -> String {
    let mut command = tokio::process::Command::new(places::binary("porthole").expect("porthole is built"));
    command.arg("consoles").args(arguments).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("porthole starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).await.expect("porthole reads");
    drop(stdin);
    let output = within(PATIENCE, format!("porthole consoles {arguments:?}"), child.wait_with_output()).await;
    let output = output.expect("porthole ends");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Merges, and holds that merging again changes nothing.
pub(crate) async fn merged(arguments: &[&str], xml: &str) -> String {
    let all = [&["merge"], arguments].concat();
    let once = consoles(&all, xml).await;
    assert_eq!(consoles(&all, &once).await, once, "merging twice: {arguments:?}");
    once
}

/// A folder's path.
pub(crate) fn folder(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// Defines a domain; libvirt holds it against its schema first.
pub(crate) async fn define(libvirt: &PrivateLibvirt, xml: &str) -> anyhow::Result<()> {
    let file = write(libvirt, xml);
    libvirt.virsh(&["define", "--validate", &file.to_string_lossy()]).await.map(drop)
}

/// A file with that XML.
pub(crate) fn write(libvirt: &PrivateLibvirt, xml: &str) -> PathBuf {
    let file = libvirt.directory().join("domain.xml");
    fs::write(&file, xml).expect("a file");
    file
}
