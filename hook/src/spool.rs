//! What the agent must hear although it does not run: a folder with a file for each such step, in their order.
//!
//! The hook writes, as root; the agent reads and removes. A file is there whole or not at all: it is written under
//! another name first. There is no `fsync`: where the host itself goes down, its guests do too, and the agent finds that
//! out from libvirt. For the same reason the folder may overflow: then the agent is told so and asks libvirt.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::step::Step;

/// The most steps that wait.
pub const MOST: usize = 10_000;

/// The largest file that is read.
const LARGEST: u64 = 8 * 1024;

/// How a step's file ends.
const SUFFIX: &str = ".step";

/// How a file begins that is being written.
const DRAFT: &str = ".draft-";

/// How old one is that nobody writes any more: a hook lives for 2 s.
const STALE: Duration = Duration::from_mins(10);

/// The file that says that there were more.
const OVERFLOW: &str = "overflow";

/// A step that waits for the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What happened.
    pub step: Step,
    /// To which domain, if its XML said so.
    pub uuid: Option<Uuid>,
}

/// The folder.
#[derive(Debug, Clone)]
pub struct Spool(PathBuf);

/// What waits in it.
#[derive(Debug, Default)]
pub struct Found {
    /// The files, the oldest first, what they say and when it happened; nothing where one makes no sense.
    pub steps: Vec<(PathBuf, Option<(Waiting, SystemTime)>)>,
    /// Some found no room.
    pub overflow: bool,
}

impl Spool {
    /// At a path. It must be there already, and be writable by nobody but the agent and the hook.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Adds a step behind all that wait.
    pub fn add(&self, waiting: &Waiting, now: SystemTime) -> io::Result<()> {
        let names = self.names()?;
        if names.len() >= MOST {
            return self.write(&self.0.join(OVERFLOW), b"");
        }
        // Nanoseconds, unless the clock was set back since the last.
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let last = names.last().and_then(|name| name.get(..20)?.parse::<u128>().ok()).unwrap_or_default();
        let name = format!("{:020}-{}{SUFFIX}", now.max(last + 1), std::process::id());
        self.write(&self.0.join(name), &serde_json::to_vec(waiting)?)
    }

    fn write(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        let draft = self.0.join(format!("{DRAFT}{}", Uuid::new_v4()));
        // The agent, which is in the folder's group, reads it; nobody else does.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&draft)?;
        let written = file.write_all(text).and_then(|()| fs::rename(&draft, path));
        written.inspect_err(|_| drop(fs::remove_file(&draft)))
    }

    /// Removes what hooks have left that died while they wrote.
    pub fn sweep(&self, now: SystemTime) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let is_draft = entry.file_name().to_str().is_some_and(|name| name.starts_with(DRAFT));
            // One that is gone by now was finished.
            if is_draft
                && let Ok(written) = entry.metadata().and_then(|metadata| metadata.modified())
                && now.duration_since(written).is_ok_and(|age| age > STALE)
            {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// All that waits.
    pub fn look(&self) -> io::Result<Found> {
        let names = self.names()?;
        let steps = names.into_iter().map(|name| self.0.join(name)).map(|path| (path.clone(), read(&path))).collect();
        Ok(Found { steps, overflow: self.0.join(OVERFLOW).try_exists()? })
    }

    /// Somebody has asked libvirt about all that found no room.
    pub fn forget_overflow(&self) -> io::Result<()> {
        fs::remove_file(self.0.join(OVERFLOW))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name().into_string();
            names.extend(name.ok().filter(|name| name.ends_with(SUFFIX)));
        }
        names.sort_unstable();
        Ok(names)
    }
}

fn read(path: &Path) -> Option<(Waiting, SystemTime)> {
    let nanoseconds: u64 = path.file_name()?.to_str()?.get(..20)?.parse().ok()?;
    let mut text = Vec::new();
    fs::File::open(path).ok()?.take(LARGEST).read_to_end(&mut text).ok()?;
    Some((serde_json::from_slice(&text).ok()?, UNIX_EPOCH + Duration::from_nanos(nanoseconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Operation;

    /// Time stands still here: the order must not need it.
    const NOW: SystemTime = UNIX_EPOCH;

    fn waiting(name: &str) -> Waiting {
        let step = Step {
            name: name.to_owned(),
            operation: Operation::Release,
            sub_operation: "end".to_owned(),
            extra: "-".to_owned(),
        };
        Waiting { step, uuid: Some(Uuid::from_u128(7)) }
    }

    fn names(spool: &Spool) -> Vec<Option<String>> {
        spool.look().unwrap().steps.into_iter().map(|(_, waiting)| Some(waiting?.0.step.name)).collect()
    }

    #[test]
    fn steps_wait_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::at(dir.path());
        let expected: Vec<_> = (0..50).map(|number| Some(number.to_string())).collect();
        for name in expected.iter().flatten() {
            spool.add(&waiting(name), NOW).unwrap();
        }
        assert_eq!(names(&spool), expected);
        let found = spool.look().unwrap();
        let first = found.steps[0].1.clone().unwrap();
        assert_eq!((first, found.overflow), ((waiting("0"), UNIX_EPOCH + Duration::from_nanos(1)), false));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 50, "no draft is left");
    }

    #[test]
    fn a_clock_that_was_set_back_changes_no_order() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::at(dir.path());
        let later = dir.path().join("09999999999999999999-1.step");
        fs::write(later, serde_json::to_vec(&waiting("first")).unwrap()).unwrap();
        spool.add(&waiting("second"), NOW).unwrap();
        assert_eq!(names(&spool), [Some("first".to_owned()), Some("second".to_owned())]);
    }

    #[test]
    fn what_a_hook_left_that_died_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::at(dir.path());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        for (name, age) in [(".draft-old", 3600), (".draft-young", 1), (".draft-of-later", 0), ("0-1.step", 3600)] {
            let file = fs::File::create(dir.path().join(name)).unwrap();
            file.set_modified(now - Duration::from_secs(age)).unwrap();
        }
        spool.sweep(now).unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort_unstable();
        assert_eq!(left, [".draft-of-later", ".draft-young", "0-1.step"]);
    }

    #[test]
    fn a_full_folder_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::at(dir.path());
        for number in 0..MOST {
            fs::write(dir.path().join(format!("{number:020}-1{SUFFIX}")), "").unwrap();
        }
        spool.add(&waiting("one too many"), NOW).unwrap();
        let found = spool.look().unwrap();
        assert!(found.overflow && found.steps.len() == MOST && found.steps.iter().all(|(_, step)| step.is_none()));
        spool.forget_overflow().unwrap();
        assert!(!spool.look().unwrap().overflow);
        assert!(Spool::at(Path::new("/nonexistent")).add(&waiting("a"), NOW).is_err());
    }
}
