//! libvirtd's probe of QEMU takes seconds, and its result holds until libvirt or QEMU changes (libvirt checks that):
//! a new private libvirtd is given what an earlier one found out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::places;

const BELOW_CACHE: &str = "qemu/capabilities";

/// Gives the directory's host what is known.
pub(super) fn restore(directory: &Path) {
    if let Some(known) = known() {
        let _nothing_known = copy(&known, &directory.join("cache").join(BELOW_CACHE));
    }
}

/// Keeps what the directory's host found out, if that is new.
pub(super) fn keep(directory: &Path) {
    let found = directory.join("cache").join(BELOW_CACHE);
    let Some(known) = known() else { return };
    if contents(&found) == contents(&known) {
        return;
    }
    // Whole or not at all: another test may be reading.
    let new = known.with_extension(uuid::Uuid::new_v4().simple().to_string());
    if copy(&found, &new).is_ok() {
        let old = new.with_extension("old");
        let _none = fs::rename(&known, &old);
        let _lost_the_race = fs::rename(&new, &known);
        let _none = fs::remove_dir_all(&old);
        known.ancestors().take(2).for_each(places::give_to_owner);
        for (name, _) in contents(&known) {
            places::give_to_owner(&known.join(name));
        }
    }
    let _none = fs::remove_dir_all(&new);
}

fn known() -> Option<PathBuf> {
    Some(places::cache().ok()?.join("capabilities"))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let files = contents(from);
    if files.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    fs::create_dir_all(to)?;
    files.into_iter().try_for_each(|(name, bytes)| fs::write(to.join(name), bytes))
}

fn contents(directory: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<_> =
        entries.filter_map(|entry| Some((entry.file_name(), fs::read(entry.path()).ok()?))).collect();
    files.sort();
    files
}
