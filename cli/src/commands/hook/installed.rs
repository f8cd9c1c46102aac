//! Where libvirt looks for hooks (<https://libvirt.org/hooks.html>): the script `qemu`, and those in `qemu.d`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The hook's program.
const PROGRAM: &str = "porthole-hook";

/// The most of a script that is read for the program's name.
const MOST: usize = 64 * 1024;

/// Whether the hook is there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Here, and it may be run.
    Yes(PathBuf),
    /// Here, and it may not be run.
    Idle(PathBuf),
    /// Nowhere.
    No(PathBuf),
}

impl Found {
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Yes(path) | Self::Idle(path) => Some(path),
            Self::No(_) => None,
        }
    }

    /// What keeps libvirt from running it.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::Yes(_) => None,
            Self::Idle(path) => Some(format!("{} is no file that may be executed (chmod +x)", path.display())),
            Self::No(hooks) => Some(format!("there is no {PROGRAM} in {}/qemu.d", hooks.display())),
        }
    }
}

/// Looks for it in libvirt's folder of hooks.
pub(super) fn look(hooks: &Path) -> Found {
    let mut candidates: Vec<PathBuf> =
        fs::read_dir(hooks.join("qemu.d")).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    candidates.sort();
    candidates.insert(0, hooks.join("qemu"));
    let ours = candidates.into_iter().filter(|path| runs_it(path));
    let mut idle = None;
    for path in ours {
        if fs::metadata(&path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0) {
            return Found::Yes(path);
        }
        idle.get_or_insert(path);
    }
    idle.map_or_else(|| Found::No(hooks.to_owned()), Found::Idle)
}

/// The program itself, by whatever name, or a script that names it.
fn runs_it(path: &Path) -> bool {
    let is_program = |path: &Path| path.file_name().is_some_and(|name| name == PROGRAM);
    if is_program(path) || fs::canonicalize(path).is_ok_and(|path| is_program(&path)) {
        return true;
    }
    let text = fs::read(path).unwrap_or_default();
    let start = text.get(..MOST.min(text.len())).unwrap_or_default();
    start.starts_with(b"#!") && String::from_utf8_lossy(start).contains(PROGRAM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn it_is_found_by_name_link_or_script() {
        let dir = tempfile::tempdir().unwrap();
        let (hooks, program) = (dir.path().join("hooks"), dir.path().join(PROGRAM));
        fs::create_dir_all(hooks.join("qemu.d")).unwrap();
        assert_eq!(look(&hooks), Found::No(hooks.clone()));
        fs::write(&program, "").unwrap();
        let link = hooks.join("qemu.d/50-consoles");
        symlink(&program, &link).unwrap();
        assert_eq!(look(&hooks), Found::Idle(link.clone()));
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(look(&hooks), Found::Yes(link));
        let script = hooks.join("qemu");
        fs::write(&script, "#!/bin/sh\nexec /usr/libexec/porthole-hook \"$@\"\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(look(&hooks), Found::Yes(script.clone()));
        fs::write(&script, "#!/bin/sh\nexec something-else\n").unwrap();
        assert_ne!(look(&hooks), Found::Yes(script));
    }
}
