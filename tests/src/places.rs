//! Where the built binaries, the guest and the caches are.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::unistd::{Gid, Uid};

/// The tests' guest, a kernel to boot. Built with this crate.
pub const GUEST_KERNEL: &str = env!("PORTHOLE_TEST_GUEST");

/// The workspace's root.
pub fn workspace() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// A product binary: `porthole-agent`, `porthole-edge` or `porthole`, as `cargo build` left it beside the test.
pub fn binary(name: &str) -> Result<PathBuf> {
    let path = build_directory()?.join(name);
    if !path.is_file() {
        bail!("{} is not built: `cargo build` first (tests do not build the binaries that they drive)", path.display());
    }
    Ok(path)
}

/// The Linux guest's kernel and initramfs, where `make guest` has built them (a user's own `CARGO_TARGET_DIR` too).
pub fn linux_guest() -> Result<(PathBuf, PathBuf)> {
    let target = build_directory()?;
    let directory = target.parent().unwrap_or(&target).join("guest/linux");
    let (kernel, initramfs) = (directory.join("vmlinuz"), directory.join("initrd.img"));
    if !kernel.is_file() || !initramfs.is_file() {
        bail!("there is no Linux guest in {}: `make guest` builds it", directory.display());
    }
    Ok((kernel, initramfs))
}

/// The console pages, where `make web` has built them.
pub fn pages() -> Option<PathBuf> {
    let pages = workspace().join("edge/web/dist");
    pages.join("vnc_auto.html").is_file().then_some(pages)
}

/// Who owns the workspace: whom files belong to that root leaves in it.
pub fn owner() -> Option<(Uid, Gid)> {
    let workspace = std::fs::metadata(workspace()).ok()?;
    Some((Uid::from_raw(workspace.uid()), Gid::from_raw(workspace.gid())))
}

/// Gives what root made in the workspace to the workspace's owner, who would else need sudo to remove it.
pub fn give_to_owner(path: &Path) {
    if nix::unistd::geteuid().is_root()
        && path.starts_with(workspace())
        && let Some((user, group)) = owner()
        && !user.is_root()
    {
        let _gone_already = std::os::unix::fs::lchown(path, Some(user.as_raw()), Some(group.as_raw()));
    }
}

/// What is worth keeping between runs and costs nothing to lose.
pub fn cache() -> Result<PathBuf> {
    let target = build_directory()?;
    Ok(target.parent().unwrap_or(&target).join("porthole-tests"))
}

/// Where the sockets of something in this directory belong: below it, unless paths there would be too long for
/// `sun_path` (108 bytes); then in a short one that the directory's name leads to.
pub fn sockets_directory(directory: &Path) -> PathBuf {
    let near = directory.join("s");
    if near.as_os_str().len() <= 64 {
        return near;
    }
    let mut hasher = DefaultHasher::new();
    directory.hash(&mut hasher);
    PathBuf::from(format!("/tmp/ph-{:016x}", hasher.finish()))
}

/// `target/debug`: the directory of the running executable, or the one above where cargo keeps test executables.
fn build_directory() -> Result<PathBuf> {
    let executable = std::env::current_exe().context("finding the running executable")?;
    let directory = executable.parent().context("the running executable has no directory")?;
    Ok(if directory.ends_with("deps") { directory.parent().unwrap_or(directory) } else { directory }.to_path_buf())
}
