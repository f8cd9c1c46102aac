//! Where the agent's state lies, for nobody else to read, and for one agent at a time.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// It cannot be made, or a file in it.
    #[error("cannot use {}{}", path.display(), hint(source))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others could put their own database there.
    #[error("{} may be written by others (mode {mode:03o}): run `chmod go-w` on it", path.display())]
    WritableByOthers {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another agent has it.
    #[error("another agent uses {}: give each its own [node] state_dir", path.display())]
    Taken {
        /// The directory.
        path: PathBuf,
    },
}

/// What to do, where that can be told.
fn hint(source: &io::Error) -> &'static str {
    let is = |errno: Errno| source.raw_os_error() == Some(errno as i32);
    if is(Errno::EROFS) {
        " ([node] state_dir needs a file system that can be written: `findmnt -T` says how it is mounted, the kernel's log \
         says why)"
    } else if is(Errno::ENOSPC) {
        " (there is no room on the disk of [node] state_dir: make some)"
    } else if is(Errno::EACCES) {
        " ([node] state_dir and what is in it must belong to the agent's user)"
    } else {
        ""
    }
}

/// A state directory that is this agent's until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    database: PathBuf,
    _lock: Flock<File>,
}

impl Place {
    /// Makes the directory (0700) and the database's file (0600) where they are missing, and locks the directory.
    pub(super) fn take(dir: &Path) -> Result<Self, PlaceError> {
        let of = |path: &Path| {
            let path = path.to_owned();
            move |source| PlaceError::Io { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(of(dir))?;
        let mode = std::fs::metadata(dir).map_err(of(dir))?.permissions().mode() & 0o777;
        if mode & 0o022 != 0 {
            return Err(PlaceError::WritableByOthers { path: dir.to_owned(), mode });
        }
        let lock = private_file(&dir.join("agent.lock")).map_err(of(&dir.join("agent.lock")))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_file, errno)| {
            if errno == Errno::EWOULDBLOCK {
                PlaceError::Taken { path: dir.to_owned() }
            } else {
                PlaceError::Io { path: dir.join("agent.lock"), source: errno.into() }
            }
        })?;
        // SQLite gives its journal files the mode of the database.
        let database = dir.join("porthole.db");
        private_file(&database)
            .and_then(|file| file.set_permissions(Permissions::from_mode(0o600)))
            .map_err(of(&database))?;
        Ok(Self { database, _lock: lock })
    }

    pub(super) fn database(&self) -> &Path {
        &self.database
    }
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
