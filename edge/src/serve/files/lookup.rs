//! Opening a file below the root. Blocking.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::freshness::Stamp;
use super::packed;

/// An opened file.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: File,
    pub(super) length: u64,
    pub(super) stamp: Stamp,
    /// It is the packed copy.
    pub(super) packed: bool,
}

/// Opens a file, or, if that is wanted and there is one, its packed copy.
pub(super) fn find(root: &Path, relative: &Path, packed: bool) -> io::Result<Option<Found>> {
    let Some(plain) = open(root, relative)? else { return Ok(None) };
    if packed && let Some(copy) = open(root, &packed::path_of(relative))? {
        return Ok(Some(Found { packed: true, ..copy }));
    }
    Ok(Some(plain))
}

/// Opens it, if it is a plain file and stays below the root when every symbolic link is followed.
fn open(root: &Path, relative: &Path) -> io::Result<Option<Found>> {
    let root = root.canonicalize()?;
    let path = match root.join(relative).canonicalize() {
        Ok(path) => path,
        Err(error) if absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    // Asked before opening too: opening a pipe would wait for its writer.
    if !path.starts_with(&root) || !path.metadata()?.is_file() {
        return Ok(None);
    }
    let file = File::open(&path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Ok(None);
    }
    let stamp = Stamp { seconds: meta.mtime(), nanoseconds: meta.mtime_nsec(), length: meta.len() };
    Ok(Some(Found { file, length: meta.len(), stamp, packed: false }))
}

fn absent(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    [NotFound, NotADirectory, InvalidFilename].contains(&error.kind())
}
