//! Noticing that files changed, by looking at them every other second.
//!
//! Looking beats inotify here: certificates are replaced by renames, by swapped symbolic links and on network file
//! systems, and each of these shows in what the path leads to. What to do about a change is the caller's. Half a file may
//! parse and mean something else, so a change is told once two looks in a row have seen the same. A writer that pauses
//! for longer may still be seen half-way: the caller keeps what it has when the new content does not parse, and says so;
//! then it is told again, after the completed write or after a while, whichever is first.

use std::error::Error;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::lifecycle::chain;

/// How often files are looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// After how long files that could not be used are tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// How often a change is looked at in the end, should it not come to rest: somebody writes without end.
const MOST_LOOKS: u32 = 5;

/// What a path led to: device, inode, size, modification time (seconds, nanoseconds). `None`: nothing there.
type Print = Option<(u64, u64, u64, i64, i64)>;

/// Watches a few files.
#[derive(Debug)]
pub struct FileWatch {
    paths: Vec<PathBuf>,
    seen: Vec<Print>,
    /// What the last look saw, if that was new, and the how-manieth in a row it was.
    restless: Option<(Vec<Print>, u32)>,
    period: Duration,
    again: Duration,
    due: Option<Instant>,
    complaint: Option<String>,
}

impl FileWatch {
    /// Remembers what the paths lead to now. To be made *before* the files are read, so that a change between reading
    /// and watching is not missed.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let paths: Vec<PathBuf> = paths.into_iter().collect();
        let seen = paths.iter().map(print).collect();
        Self { paths, seen, restless: None, period: PERIOD, again: AGAIN, due: None, complaint: None }
    }

    /// Waits until a path leads to something other than when this was last told, or until it is time to try again what
    /// [failed](Self::failed). At least a period passes each time, so
    /// that a file that somebody writes to without end is not read without end.
    pub async fn changed(&mut self) {
        loop {
            sleep(self.period).await;
            let now = self.paths.iter().map(print).collect();
            if self.notice(now) {
                self.due = None;
                self.forget();
                return;
            }
            if self.due.take_if(|due| *due <= Instant::now()).is_some() {
                return;
            }
        }
    }

    /// Whether what is seen now is a change to be told.
    fn notice(&mut self, now: Vec<Print>) -> bool {
        let looks = match self.restless.take() {
            _ if now == self.seen => return false,
            Some((before, looks)) if before == now || looks == MOST_LOOKS => {
                self.seen = now;
                return true;
            }
            before => before.map_or(0, |(_, looks)| looks),
        };
        self.restless = Some((now, looks + 1));
        false
    }

    /// The files cannot be used. The reason may be a passing one (no descriptor left, a file server that is away), so in
    /// a while they are told of again, changed or not. Gives the error's words for the log, once until the next change.
    pub fn failed(&mut self, error: &dyn Error) -> Option<String> {
        self.due = Some(Instant::now() + self.again);
        let words = Some(chain(error));
        if self.complaint == words {
            return None;
        }
        self.complaint.clone_from(&words);
        words
    }

    /// Somebody asks for the files to be read: what was said of them before is said again.
    pub fn forget(&mut self) {
        self.complaint = None;
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

    #[test]
    fn a_change_is_told_once_it_has_come_to_rest() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = FileWatch::new([dir.path().join("a")]);
        let size = |size: u64| vec![Some((1, 1, size, 0, 0))];
        let looks: Vec<bool> = [1, 2, 3, 3, 3].into_iter().map(|length| watch.notice(size(length))).collect();
        assert_eq!(looks, [false, false, false, true, false]);
        assert!(!watch.notice(size(4)) && !watch.notice(size(3)), "it is as it was");
        let told = (10..100).position(|length| watch.notice(size(length)));
        assert_eq!(told, Some(5), "somebody writes without end");
    }

    #[tokio::test]
    async fn what_failed_is_tried_again_and_complained_of_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "1").unwrap();
        let mut watch = FileWatch::new([path.clone()]);
        (watch.period, watch.again) = (Duration::from_millis(5), Duration::from_millis(20));
        let (one, other) = (std::fmt::Error, std::io::Error::from_raw_os_error(24));

        assert_eq!(watch.failed(&one), Some(chain(&one)));
        watch.changed().await;
        assert_eq!(watch.failed(&one), None, "it was said before");
        watch.changed().await;
        assert_eq!(watch.failed(&other), Some(chain(&other)));
        watch.forget();
        assert!(watch.failed(&other).is_some(), "somebody asked");
        std::fs::write(&path, "22").unwrap();
        watch.changed().await;
        assert!(watch.failed(&other).is_some(), "it is another file's failure");
        watch.changed().await;
        let nothing = tokio::time::timeout(Duration::from_millis(100), watch.changed()).await;
        assert!(nothing.is_err(), "what did not fail again was tried again");
    }
}
