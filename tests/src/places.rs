//! Where the built binaries, the guest and the caches are.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

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
