//! The folder that the keys and certificates lie in, and how they get there: whole, or not at all.
//!
//! ```text
//! DIR/ca.pem ca.key            the CA
//! DIR/agents/NODE/             cert.pem key.pem ca.pem
//! DIR/edges/NAME/              cert.pem key.pem ca.pem
//! DIR/clients/NAME/            cert.pem key.pem ca.pem
//! DIR/public/                  cert.pem key.pem
//! DIR/.lock                    held by whoever writes
//! DIR/.new-…/                  files being made; swept by the next who writes
//! ```
//!
//! A certificate and its key are made in a folder of their own, synced, and put in place by one rename (a renewal: by
//! one exchange), so that nobody, not even after a power cut, meets one without the other. Keys are created 0600 inside
//! of a 0700 folder. What is *in* the files is not this module's business.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use tempfile::TempDir;

/// What the folders of files in the making start with.
const STAGING_PREFIX: &str = ".new-";

/// How often, and how many times, a held lock is tried: ten seconds in all. A run takes milliseconds.
const LOCK_PERIOD: Duration = Duration::from_millis(20);
const LOCK_TRIES: u32 = 500;

/// Files cannot be read or put in place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// A step on a file failed.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// The step.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else writes, and does not end.
    #[error("another `porthole pki` holds {}", path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// Anybody may write to the folder.
    #[error("{} can be written by every user, so its CA could be anybody's", path.display())]
    Open {
        /// The folder.
        path: PathBuf,
    },
    /// There is something already.
    #[error("{} is there already", path.display())]
    Occupied {
        /// What is there.
        path: PathBuf,
    },
}

/// Makes an error of a step.
fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |source| FolderError::Io { what, path, source }
}

/// Who may read a file, apart from its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visibility {
    /// A key: nobody (0600).
    Secret,
    /// A certificate: whoever gets into the folder (0644).
    Open,
}

/// A file to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content<'a> {
    /// Its name in its folder.
    pub(crate) name: &'static str,
    /// Who may read it.
    pub(crate) visibility: Visibility,
    /// What is in it.
    pub(crate) text: &'a str,
}

/// The folder, locked for writing until this is dropped.
#[derive(Debug)]
pub(crate) struct LockedFolder {
    root: PathBuf,
    _lock: File,
}

impl LockedFolder {
    /// Makes the folder (0700) if there is none, and locks it.
    pub(crate) fn create(root: &Path) -> Result<Self, FolderError> {
        if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            // The parent is nobody's secret: agents read their configuration from /etc/porthole.
            fs::create_dir_all(parent).map_err(failed("create", parent))?;
        }
        make_private_folder(root)?;
        Self::open(root)
    }

    /// Locks the folder, and sweeps up what a killed run left.
    pub(crate) fn open(root: &Path) -> Result<Self, FolderError> {
        let meta = fs::metadata(root).map_err(failed("open", root))?;
        if meta.mode() & 0o002 != 0 {
            return Err(FolderError::Open { path: root.to_owned() });
        }
        let path = root.join(".lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open", &path))?;
        hold(&lock, &path)?;
        let folder = Self { root: root.to_owned(), _lock: lock };
        folder.sweep()?;
        Ok(folder)
    }

    /// Puts new files into a new folder below this one; refuses if it is there.
    pub(crate) fn place(&self, below: &Path, files: &[Content<'_>]) -> Result<PathBuf, FolderError> {
        let target = self.root.join(below);
        if fs::symlink_metadata(&target).is_ok() {
            return Err(FolderError::Occupied { path: target });
        }
        let staged = stage(&self.root, files, None)?;
        let parent = self.parent_of(&target)?;
        fs::rename(staged.path(), &target).map_err(failed("create", &target))?;
        // It has another name now; there is nothing to remove.
        let _moved = staged.keep();
        sync_folder(&parent)?;
        Ok(target)
    }

    /// Puts new files in the place of a folder's, in one step. Owner, group and the group's right to read stay as they
    /// were, as do files that are not among these.
    pub(crate) fn replace(&self, below: &Path, files: &[Content<'_>]) -> Result<PathBuf, FolderError> {
        let named = self.root.join(below);
        // It may be a link to another file system: what is exchanged is what it leads to, and beside that.
        let target = fs::canonicalize(&named).map_err(failed("open", &named))?;
        let linked = fs::symlink_metadata(&named).map_err(failed("open", &named))?.is_symlink();
        let beside = target.parent().filter(|_| linked).unwrap_or(&self.root);
        let staged = stage(beside, files, Some(&target))?;
        link_strangers(&target, staged.path(), files)?;
        match exchange(staged.path(), &target) {
            // The staged folder now holds the old files, and goes with them.
            Ok(()) => sync_folder(target.parent().unwrap_or(&self.root))?,
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => replace_each(staged.path(), &target, files)?,
            Err(errno) => return Err(failed("replace", &target)(errno.into())),
        }
        Ok(named)
    }

    /// Puts files beside each other into this folder itself; refuses if one is there, and leaves none if one fails.
    pub(crate) fn place_here(&self, files: &[Content<'_>]) -> Result<(), FolderError> {
        let staged = stage(&self.root, files, None)?;
        let mut placed: Vec<PathBuf> = Vec::new();
        for file in files {
            let target = self.root.join(file.name);
            // A link, unlike a rename, never takes the place of another file.
            if let Err(error) = fs::hard_link(staged.path().join(file.name), &target) {
                for earlier in &placed {
                    fs::remove_file(earlier).map_err(failed("remove", earlier))?;
                }
                return Err(if error.kind() == io::ErrorKind::AlreadyExists {
                    FolderError::Occupied { path: target }
                } else {
                    failed("create", &target)(error)
                });
            }
            placed.push(target);
        }
        sync_folder(&self.root)
    }

    /// Puts one file in the place of another, in this folder (an empty path) or one below.
    pub(crate) fn replace_file(&self, below: &Path, file: Content<'_>) -> Result<(), FolderError> {
        let target = self.root.join(below);
        let staged = stage(&self.root, &[file], Some(&target))?;
        replace_each(staged.path(), &target, &[file])
    }

    /// Whoever holds the lock is the only one who writes, so every staging folder is a killed run's.
    fn sweep(&self) -> Result<(), FolderError> {
        for entry in fs::read_dir(&self.root).map_err(failed("list", &self.root))? {
            let entry = entry.map_err(failed("list", &self.root))?;
            if entry.file_name().to_string_lossy().starts_with(STAGING_PREFIX) {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(())
    }

    /// The folder above a target, made if it is not there.
    fn parent_of(&self, target: &Path) -> Result<PathBuf, FolderError> {
        let parent = target.parent().unwrap_or(&self.root);
        make_private_folder(parent)?;
        Ok(parent.to_owned())
    }
}

/// Makes the files, complete and synced, in a folder of their own. With `like`, they get the owners and the group's
/// rights of that folder and its files.
fn stage(beside: &Path, files: &[Content<'_>], like: Option<&Path>) -> Result<TempDir, FolderError> {
    let staged = tempfile::Builder::new()
        .prefix(STAGING_PREFIX)
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(beside)
        .map_err(failed("create a folder in", beside))?;
    for file in files {
        let path = staged.path().join(file.name);
        let mode = match file.visibility {
            Visibility::Secret => 0o600,
            Visibility::Open => 0o644,
        };
        let mut handle =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).map_err(failed("create", &path))?;
        handle.write_all(file.text.as_bytes()).map_err(failed("write", &path))?;
        if let Some(like) = like {
            take_after(&handle, &like.join(file.name)).map_err(failed("set the owner of", &path))?;
        }
        handle.sync_all().map_err(failed("write", &path))?;
    }
    let handle = File::open(staged.path()).map_err(failed("open", staged.path()))?;
    if let Some(like) = like {
        take_after(&handle, like).map_err(failed("set the owner of", staged.path()))?;
    }
    handle.sync_all().map_err(failed("write", staged.path()))?;
    Ok(staged)
}

fn make_private_folder(path: &Path) -> Result<(), FolderError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other.map_err(failed("create", path)),
    }
}

fn hold(lock: &File, path: &Path) -> Result<(), FolderError> {
    for _ in 0..LOCK_TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => sleep(LOCK_PERIOD),
            Err(TryLockError::Error(source)) => return Err(failed("lock", path)(source)),
        }
    }
    Err(FolderError::Busy { path: path.to_owned() })
}

/// A renewed file belongs to whom the old one did: a service that reads its key through a group must not lose it.
fn take_after(handle: &File, old: &Path) -> io::Result<()> {
    let Ok(old) = fs::metadata(old) else { return Ok(()) };
    let new = handle.metadata()?;
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        fchown(handle, Some(old.uid()), Some(old.gid()))?;
    }
    // Read and, for folders, enter: bits 040 and 010. Nothing for others.
    let for_group = if new.is_dir() { 0o050 } else { 0o040 };
    let mode = new.mode() & 0o777 | old.mode() & for_group;
    if mode != new.mode() & 0o777 {
        handle.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn exchange(one: &Path, other: &Path) -> Result<(), Errno> {
    renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE)
}

/// Where the file system cannot exchange folders: file by file, the key first.
/// A reader in between finds a certificate that does not fit its key, keeps what it has, and looks again.
fn replace_each(staged: &Path, target: &Path, files: &[Content<'_>]) -> Result<(), FolderError> {
    let (keys, others): (Vec<&Content<'_>>, Vec<&Content<'_>>) =
        files.iter().partition(|file| file.visibility == Visibility::Secret);
    for file in keys.into_iter().chain(others) {
        let path = target.join(file.name);
        fs::rename(staged.join(file.name), &path).map_err(failed("replace", &path))?;
    }
    sync_folder(target)
}

/// Gives files that are not ours a second name in the new folder, so that they outlive the old one.
fn link_strangers(old: &Path, new: &Path, files: &[Content<'_>]) -> Result<(), FolderError> {
    for entry in fs::read_dir(old).map_err(failed("list", old))? {
        let name = entry.map_err(failed("list", old))?.file_name();
        if !files.iter().any(|file| *file.name == name) {
            // Fails for a folder, before anything has changed.
            fs::hard_link(old.join(&name), new.join(&name)).map_err(failed("keep", &old.join(&name)))?;
        }
    }
    Ok(())
}

fn sync_folder(path: &Path) -> Result<(), FolderError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed("sync", path))
}

#[cfg(test)]
mod tests;
