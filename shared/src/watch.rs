//! Noticing that files changed, by looking at them every other second.
//!
//! Looking beats inotify here: certificates are replaced by renames, by swapped symbolic links and on network file
//! systems, and each of these shows in what the path leads to. What to do about a change is the caller's; a file that
//! is being written may be seen half-way, so the caller keeps what it has when the new content does not parse, and the
//! completed write is the next change.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

/// How often files are looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// What a path led to: device, inode, size, modification time (seconds, nanoseconds). `None`: nothing there.
type Print = Option<(u64, u64, u64, i64, i64)>;

/// Watches a few files.
#[derive(Debug)]
pub struct FileWatch {
    paths: Vec<PathBuf>,
    seen: Vec<Print>,
    period: Duration,
}

impl FileWatch {
    /// Remembers what the paths lead to now. To be made *before* the files are read, so that a change between reading
    /// and watching is not missed.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let paths: Vec<PathBuf> = paths.into_iter().collect();
        let seen = paths.iter().map(print).collect();
        Self { paths, seen, period: PERIOD }
    }

    /// Waits until a path leads to something other than when this was last told. At least a period passes each time, so
    /// that a file that somebody writes to without end is not read without end.
    pub async fn changed(&mut self) {
        loop {
            sleep(self.period).await;
            let now: Vec<Print> = self.paths.iter().map(print).collect();
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

fn print(path: &PathBuf) -> Print {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn notices_a_write_a_rename_and_a_swapped_link() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("a"), "1").unwrap();
        std::os::unix::fs::symlink(path("a"), path("link")).unwrap();
        let mut watch = FileWatch::new([path("link"), path("missing")]);
        watch.period = Duration::from_millis(5);

        std::fs::write(path("a"), "22").unwrap();
        watch.changed().await;
        std::fs::write(path("b"), "333").unwrap();
        std::fs::rename(path("b"), path("a")).unwrap();
        watch.changed().await;
        std::fs::write(path("c"), "4444").unwrap();
        std::fs::remove_file(path("link")).unwrap();
        std::os::unix::fs::symlink(path("c"), path("link")).unwrap();
        watch.changed().await;
        std::fs::write(path("missing"), "").unwrap();
        watch.changed().await;

        let nothing = tokio::time::timeout(Duration::from_millis(100), watch.changed()).await;
        assert!(nothing.is_err(), "nothing changed, yet a change was told");
    }
}
