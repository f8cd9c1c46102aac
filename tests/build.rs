//! Builds the tests' tiny guest, so that the harness has it without looking for it. (The Linux one, which needs a kernel
//! from elsewhere, is built by `make guest`.)
//!
//! The guest is for x86 only, as the tests are. On another machine the crate still builds; starting a guest then says
//! that its kernel is missing.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    for entry in std::fs::read_dir("guest").expect("guest").flatten().filter(|entry| entry.path().is_file()) {
        println!("cargo::rerun-if-changed={}", entry.path().display());
    }
    println!("cargo::rerun-if-env-changed=CC");
    #[expect(clippy::disallowed_methods, reason = "cargo tells a build script by the environment")]
    let (target, output) = (std::env::var("TARGET"), std::env::var("OUT_DIR"));
    let guest = PathBuf::from(output.expect("cargo sets OUT_DIR")).join("guest.elf");
    if target.is_ok_and(|target| target.starts_with("x86_64")) {
        let status = Command::new("sh").arg("guest/build.sh").arg(&guest).status().expect("sh");
        assert!(status.success(), "guest/build.sh failed: it needs gcc and binutils");
    }
    println!("cargo::rustc-env=PORTHOLE_TEST_GUEST={}", guest.display());
}
