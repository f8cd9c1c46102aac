//! A daemon's own configuration file, followed while the daemon runs.
//!
//! ```text
//!  SIGHUP, or the file changed ─► read, parse, check ─┬─ good: apply what can change, name what needs a restart
//!                                                     └─ bad: the file and line in the log, everything as it was
//! ```
//!
//! What can change is the daemon's to say, as dotted names (`sessions.max`) or whole tables (`urls`); whatever it does
//! not name needs a restart, so a new setting is never silently ignored. The comparison is of what is written: a default
//! that somebody writes out counts as a change of nothing.
//!
//! **Invariant**: a file that cannot be used changes nothing.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use toml::{Table, Value};

use crate::clock::{Clock as _, SystemClock, UnixTime};
use crate::config::{LoadError, read};
use crate::lifecycle::{Shutdown, chain};
use crate::watch::FileWatch;

/// A configuration file that is in force, and how it was read.
#[derive(Debug)]
pub struct Followed<C> {
    path: PathBuf,
    parse: fn(&Path, &str) -> Result<C, LoadError>,
    /// The settings that may change, or their tables.
    live: &'static [&'static str],
    watch: FileWatch,
    /// As the daemon was started.
    started: Table,
    /// As it was read last.
    latest: Table,
    report: Report,
}

/// What became of the latest reading. Clones are the same.
#[derive(Debug, Clone)]
pub struct Report(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    failure: Option<String>,
    latest_success: UnixTime,
    needs_restart: Vec<String>,
}

impl Report {
    /// Why the file could not be used, if it was not.
    pub fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }

    /// When it was used last.
    pub fn latest_success(&self) -> UnixTime {
        self.state().latest_success
    }

    /// The settings that have changed since the daemon was started, and hold after a restart only.
    pub fn needs_restart(&self) -> Vec<String> {
        self.state().needs_restart.clone()
    }

    /// What is to be said of it where somebody asks how the daemon is.
    pub fn warnings(&self) -> Vec<String> {
        let state = self.state();
        let failure = state.failure.as_ref().map(|failure| {
            format!("the configuration file cannot be used, and what was read before is in force: {failure}")
        });
        let waiting = (!state.needs_restart.is_empty()).then(|| {
            format!("changed in the configuration file, and needs a restart: {}", state.needs_restart.join(", "))
        });
        failure.into_iter().chain(waiting).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Followed<C> {
    /// Reads the file for the first time.
    pub fn open(
        path: &Path,
        live: &'static [&'static str],
        parse: fn(&Path, &str) -> Result<C, LoadError>,
    ) -> Result<(C, Self), LoadError> {
        // Before it is read, so that no change falls between the two.
        let watch = FileWatch::new([path.to_owned()]);
        let text = read(path)?;
        let config = parse(path, &text)?;
        let started: Table = crate::config::parse(path, &text)?;
        let state = State { latest_success: SystemClock.now(), ..State::default() };
        let report = Report(Arc::new(Mutex::new(state)));
        let latest = started.clone();
        Ok((config, Self { path: path.to_owned(), parse, live, watch, started, latest, report }))
    }

    /// What becomes of each reading.
    pub fn report(&self) -> Report {
        self.report.clone()
    }

    /// Reads the file again whenever it changes or somebody asks for it, until the daemon is told to stop. What can
    /// change is given to `apply`.
    pub async fn follow(mut self, mut asked: watch::Receiver<u64>, shutdown: Shutdown, apply: impl Fn(C)) {
        loop {
            tokio::select! {
                () = shutdown.soft.cancelled() => return,
                () = self.watch.changed() => {}
                Ok(()) = asked.changed() => self.watch.forget(),
            }
            self.reload(&apply);
        }
    }

    fn reload(&mut self, apply: impl Fn(C)) {
        match self.read() {
            Ok((config, table)) => {
                apply(config);
                self.tell(table);
            }
            Err(error) => self.refuse(&error),
        }
    }

    fn read(&self) -> Result<(C, Table), LoadError> {
        let text = read(&self.path)?;
        let config = (self.parse)(&self.path, &text)?;
        Ok((config, crate::config::parse(&self.path, &text)?))
    }

    fn refuse(&mut self, error: &dyn Error) {
        self.report.state().failure = Some(chain(error));
        if let Some(error) = self.watch.failed(error) {
            tracing::error!(error, "the configuration file cannot be used: what was read before stays in force");
        }
    }

    /// Said once it is true: whoever reads this may expect the new settings.
    fn tell(&mut self, table: Table) {
        let is_live = |name: &String| {
            self.live
                .iter()
                .any(|live| name.strip_prefix(live).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
        };
        let changed: Vec<String> = differences(&self.latest, &table).into_iter().filter(is_live).collect();
        let mut waiting = differences(&self.started, &table);
        waiting.retain(|name| !is_live(name));
        self.latest = table;
        let needs_restart = waiting.clone();
        *self.report.state() = State { failure: None, latest_success: SystemClock.now(), needs_restart };
        let path = self.path.display();
        tracing::info!(%path, changed = changed.join(", "), "configuration read");
        if !waiting.is_empty() {
            tracing::warn!(%path, settings = waiting.join(", "), "changed in the configuration file: needs a restart");
        }
    }
}

/// The dotted names of the settings that are not the same. An array of tables is one setting.
fn differences(old: &Table, new: &Table) -> Vec<String> {
    let mut found = Vec::new();
    compare(old, new, "", &mut found);
    found.sort();
    found
}

fn compare(old: &Table, new: &Table, prefix: &str, found: &mut Vec<String>) {
    let nothing = Table::new();
    let inner = |value: Option<&Value>| match value {
        Some(Value::Table(table)) => Some(table.clone()),
        None => Some(nothing.clone()),
        Some(_) => None,
    };
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    for name in names {
        let (before, after) = (old.get(name), new.get(name));
        if before == after {
            continue;
        }
        let name = format!("{prefix}{name}");
        let is_table = matches!((before, after), (Some(Value::Table(_)), _) | (_, Some(Value::Table(_))));
        match (inner(before), inner(after)) {
            (Some(before), Some(after)) if is_table => compare(&before, &after, &format!("{name}."), found),
            _ => found.push(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const LIVE: &[&str] = &["sessions.max", "urls"];

    fn table(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn differences_are_named_to_the_setting() {
        let old = "a = 1\n[s]\nmax = 1\nlist = [1]\n[gone]\nx = 1\n[[n]]\nid = 1";
        let new = "a = 1\n[s]\nmax = 2\nlist = [1]\nmore = true\n[new]\ny = 1\n[[n]]\nid = 2";
        assert_eq!(differences(&table(old), &table(new)), ["gone.x", "n", "new.y", "s.max", "s.more"]);
        assert!(differences(&table(old), &table(old)).is_empty());
        assert_eq!(differences(&table("s = 1"), &table("[s]\nmax = 1")), ["s"]);
    }

    #[test]
    fn what_can_change_is_applied_what_cannot_is_named_and_what_is_bad_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon.toml");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write("[sessions]\nmax = 1\nping = 1\n");
        let (first, mut followed) = Followed::<Table>::open(&path, LIVE, crate::config::parse).unwrap();
        let (report, applied) = (followed.report(), RefCell::new(vec![first]));
        let apply = |config| applied.borrow_mut().push(config);
        let max = || applied.borrow().last().unwrap()["sessions"]["max"].as_integer();
        assert_eq!((report.failure(), report.needs_restart()), (None, vec![]));

        write("[sessions]\nmax = 2\nping = 1\n[urls]\nvnc = \"x\"\n");
        followed.reload(apply);
        assert_eq!((max(), report.warnings()), (Some(2), vec![]));

        write("[sessions]\nmax = 3\nping = 2\n");
        followed.reload(apply);
        assert_eq!((max(), report.needs_restart()), (Some(3), vec!["sessions.ping".to_owned()]));

        write("[sessions]\nmax = 4\nping = = 2\n");
        followed.reload(apply);
        assert_eq!(max(), Some(3));
        let failure = report.failure().unwrap();
        assert!(failure.contains("daemon.toml") && failure.contains("line 3"), "{failure}");
        assert_eq!(report.warnings().len(), 2);

        write("[sessions]\nmax = 4\nping = 1\n");
        followed.reload(apply);
        assert_eq!((max(), report.warnings()), (Some(4), vec![]), "as it was started, so nothing waits for a restart");
    }
}
