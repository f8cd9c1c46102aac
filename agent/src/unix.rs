//! A unix socket of the agent's: put in place whole and with its final mode, taken away again by whoever put it there.
//!
//! What is spoken on it, and what whoever connects may do, is its user's: the API's, or the hook's.

mod peer;

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::fchownat;

pub(crate) use self::peer::Allowed;

/// The socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody answers there.
    #[error("another agent answers on {}: give each a socket of its own, by [{table}] socket", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
        /// Where it is configured.
        table: &'static str,
    },
    /// Nobody can tell whether somebody answers there.
    #[error("cannot tell whether an agent answers on {}: remove it if none does", path.display())]
    Unclear {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others could put their own socket there.
    #[error(
        "{} may be written to by others, who could put a socket of their own in our place: make it root's or the \
         agent's own (`chown`), and writable for nobody else (`chmod go-w`)", path.display()
    )]
    NotOurs {
        /// The directory.
        path: PathBuf,
    },
    /// Something else is there.
    #[error("{} is there and is no socket: remove it, or set another [{table}] socket", path.display())]
    NotASocket {
        /// What is there.
        path: PathBuf,
        /// Where the socket is configured.
        table: &'static str,
    },
    /// The group does not exist.
    #[error(
        "there is no group {group:?} on this host: make it (`groupadd --system {group}`), or leave [{table}] group out"
    )]
    NoSuchGroup {
        /// Its name.
        group: String,
        /// Where it is configured.
        table: &'static str,
    },
    /// The system refuses.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The bound socket; dropped, it is gone.
#[derive(Debug)]
pub struct Socket {
    pub(crate) listener: UnixListener,
    pub(crate) allowed: Allowed,
    path: PathBuf,
    inode: (u64, u64),
}

impl Socket {
    /// Takes the place of a dead agent's socket, never of a live one's.
    ///
    /// Root and the agent's own user may connect, and where a `group` is named, its members. `table` is that of the
    /// configuration.
    pub fn bind(path: &Path, group: Option<&str>, table: &'static str) -> Result<Self, BindError> {
        let io = |operation, source| BindError::Io { operation, path: path.to_owned(), source };
        let group = group.map(|group| find_group(group, table)).transpose()?;
        if let Some(dir) = path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o755).create(dir);
            made.map_err(|source| BindError::Io { operation: "make", path: dir.to_owned(), source })?;
            refuse_if_others_write(dir)?;
        }
        refuse_if_taken(path, table)?;
        // Bound to one side and renamed, so that nobody meets it half set up, nor a moment without one. In this directory
        // nobody else can put another file under that name meanwhile.
        let aside = path.with_extension("new");
        match std::fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io("replace", error)),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&aside).map_err(|error| io("listen on", error))?;
        if group.is_some() {
            let given = fchownat(AT_FDCWD, &aside, None, group, AtFlags::AT_SYMLINK_NOFOLLOW);
            given.map_err(|errno| io("give to its group", errno.into()))?;
        }
        let mode = if group.is_some() { 0o660 } else { 0o600 };
        std::fs::set_permissions(&aside, Permissions::from_mode(mode)).map_err(|error| io("set the mode of", error))?;
        let inode = inode(&aside).map_err(|error| io("look at", error))?;
        std::fs::rename(&aside, path).map_err(|error| io("put in place", error))?;
        Ok(Self { listener, allowed: Allowed::new(group), path: path.to_owned(), inode })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A later agent may have put its own there.
        if inode(&self.path).is_ok_and(|now| now == self.inode)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "the socket was not removed");
        }
    }
}

fn find_group(name: &str, table: &'static str) -> Result<nix::unistd::Gid, BindError> {
    let found = Allowed::group(name);
    let found = found.map_err(|source| BindError::Io { operation: "look up group", path: name.into(), source })?;
    found.ok_or_else(|| BindError::NoSuchGroup { group: name.to_owned(), table })
}

/// With a sticky bit (as `/tmp` has) others may add files, but not touch ours.
fn refuse_if_others_write(dir: &Path) -> Result<(), BindError> {
    let at = |source| BindError::Io { operation: "look at", path: dir.to_owned(), source };
    let meta = std::fs::metadata(dir).map_err(at)?;
    let owner_is_fine = meta.uid() == 0 || meta.uid() == nix::unistd::geteuid().as_raw();
    let mode_is_fine = meta.mode() & 0o022 == 0 || meta.mode() & 0o1000 != 0;
    if owner_is_fine && mode_is_fine { Ok(()) } else { Err(BindError::NotOurs { path: dir.to_owned() }) }
}

fn refuse_if_taken(path: &Path, table: &'static str) -> Result<(), BindError> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(BindError::Io { operation: "look at", path: path.to_owned(), source }),
        Ok(meta) if !meta.file_type().is_socket() => Err(BindError::NotASocket { path: path.to_owned(), table }),
        Ok(_) => match StdUnixStream::connect(path) {
            Ok(_somebody) => Err(BindError::InUse { path: path.to_owned(), table }),
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(()),
            Err(source) => Err(BindError::Unclear { path: path.to_owned(), source }),
        },
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(path: &Path, group: Option<&str>) -> Result<Socket, BindError> {
        Socket::bind(path, group, "api")
    }

    #[tokio::test]
    async fn a_dead_agents_socket_is_replaced_and_a_live_ones_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/agent.sock");
        let socket = bind(&path, None).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(matches!(bind(&path, None), Err(BindError::InUse { .. })));

        // An agent that was killed leaves its socket behind: here a listener that is closed without ceremony.
        drop(socket);
        assert!(!path.exists(), "an agent that ends takes its socket along");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let socket = bind(&path, Some("root")).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        StdUnixStream::connect(&path).unwrap();

        std::fs::remove_file(&path).unwrap();
        let later = bind(&path, None).unwrap();
        drop(socket);
        assert!(path.exists(), "the later agent's socket stays");
        drop(later);
    }

    #[tokio::test]
    async fn a_directory_that_others_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        for (mode, fine) in [(0o775, false), (0o757, false), (0o777, false), (0o1777, true), (0o2750, true)] {
            std::fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
            match bind(&path, None) {
                Ok(_) => assert!(fine, "{mode:o}"),
                Err(error) => assert!(!fine && error.to_string().contains("chmod go-w"), "{mode:o}: {error}"),
            }
        }
        if nix::unistd::geteuid().is_root() {
            let somebody = nix::unistd::Uid::from_raw(4242);
            nix::unistd::chown(dir.path(), Some(somebody), None).unwrap();
            assert!(matches!(bind(&path, None), Err(BindError::NotOurs { .. })));
        }
    }

    #[tokio::test]
    async fn a_socket_that_does_not_say_whether_it_lives_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        // Somebody's who speaks otherwise: connecting fails, and not because nobody is there.
        let _theirs = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let error = bind(&path, None).unwrap_err();
        assert!(matches!(error, BindError::Unclear { .. }), "{error}");
        assert!(path.exists());
    }

    #[tokio::test]
    async fn what_is_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path, None), Err(BindError::NotASocket { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        let error = bind(&dir.path().join("s"), Some("no-such-group")).unwrap_err();
        assert!(error.to_string().contains("groupadd"), "{error}");
    }
}
