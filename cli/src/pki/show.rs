//! `porthole pki show`: what there is, until when, and what is wrong with it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use porthole_shared::clock::{Clock, UnixTime};
use porthole_shared::lifecycle::chain;
use serde_json::{Value, json};

use super::command;
use super::error::PkiError;
use super::facts::Facts;
use super::folder::FolderError;
use super::issue::{AUTHORITY, AUTHORITY_KEY, CERTIFICATE, KEY, leaf_folders};
use crate::failure::Failure;
use crate::output::{Cell, Output, Table, Tone};

const DAY_SECONDS: i64 = 86_400;

/// How a certificate stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Good for longer than the warning.
    Valid,
    /// Good, for less long than the warning.
    Expiring,
    /// Over.
    Expired,
    /// Not yet good: this machine's clock, or that of the maker's, is wrong.
    NotYet,
    /// Not one of the CA that lies here.
    Foreign,
    /// It cannot be read.
    Unreadable(String),
}

impl State {
    const fn word(&self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Foreign => "foreign",
            Self::Unreadable(_) => "unreadable",
        }
    }

    const fn tone(&self) -> Tone {
        match self {
            Self::Valid => Tone::Good,
            Self::Expiring => Tone::Warning,
            Self::Expired | Self::NotYet | Self::Foreign | Self::Unreadable(_) => Tone::Bad,
        }
    }

    /// What to do, if anything. `what` is as `porthole pki renew` takes it.
    fn advice(&self, root: &Path, what: &str) -> Option<String> {
        let renew = || command(root, &format!("renew {what}"));
        match self {
            Self::Valid => None,
            Self::Expiring | Self::Expired => Some(renew()),
            Self::NotYet => Some("check the clocks".to_owned()),
            Self::Foreign => Some(format!("another CA's: {}", renew())),
            Self::Unreadable(why) => Some(why.clone()),
        }
    }
}

/// One certificate.
#[derive(Debug)]
struct Entry {
    /// As `porthole pki renew` takes it: `ca`, `agent n1`, `edge e1`, `public`.
    what: String,
    path: PathBuf,
    facts: Option<Facts>,
    state: State,
    /// The key's mode, where somebody else than its owner and group gets at it.
    exposed: Option<u32>,
}

/// Shows it.
pub(super) fn run(root: &Path, clock: &impl Clock, within_days: u32, output: Output) -> Result<(), Failure> {
    let now = clock.now();
    let entries = inventory(root, now, i64::from(within_days) * DAY_SECONDS)
        .map_err(|error| PkiError::from(error).into_failure(root))?;
    let mut table = Table::new(["WHAT", "VALID UNTIL", "DAYS", "STATE", "NAMES", "TO DO"]);
    for entry in &entries {
        table.row(entry.row(root, now));
    }
    let all: Vec<Value> = entries.iter().map(|entry| entry.to_json(root, now)).collect();
    let empty = format!("There is nothing in {}. To begin: {}", root.display(), command(root, "init"));
    output.table(&json!({ "certificates": all }), &table, &empty)
}

fn inventory(root: &Path, now: UnixTime, within: i64) -> Result<Vec<Entry>, FolderError> {
    let path = root.join(AUTHORITY);
    let mut entries = Vec::new();
    let authority = Facts::read(&path);
    if path.exists() {
        let state = match &authority {
            Ok(facts) => time_state(facts, now, within),
            Err(error) => State::Unreadable(chain(error)),
        };
        let facts = authority.as_ref().ok().cloned();
        let exposed = exposed(&root.join(AUTHORITY_KEY));
        entries.push(Entry { what: "ca".to_owned(), path, facts, state, exposed });
    }
    for folder in leaf_folders(root)? {
        let path = root.join(&folder).join(CERTIFICATE);
        let what = match folder.to_string_lossy().split_once("s/") {
            Some((sort, name)) => format!("{sort} {name}"),
            None => folder.display().to_string(),
        };
        let exposed = exposed(&root.join(&folder).join(KEY));
        let (facts, state) = match Facts::read(&path) {
            Err(error) => (None, State::Unreadable(chain(&error))),
            Ok(facts) => {
                let signer = if what == "public" { None } else { authority.as_ref().ok() };
                let foreign = signer.is_some_and(|authority| !authority.issued(&facts));
                let state = if foreign { State::Foreign } else { time_state(&facts, now, within) };
                (Some(facts), state)
            }
        };
        entries.push(Entry { what, path, facts, state, exposed });
    }
    Ok(entries)
}

fn time_state(facts: &Facts, now: UnixTime, within: i64) -> State {
    if facts.not_after <= now {
        State::Expired
    } else if facts.not_before > now {
        State::NotYet
    } else if facts.not_after < now.plus(within) {
        State::Expiring
    } else {
        State::Valid
    }
}

/// The mode of a key that every user can read or write.
fn exposed(key: &Path) -> Option<u32> {
    let mode = fs::metadata(key).ok()?.permissions().mode() & 0o777;
    (mode & 0o007 != 0).then_some(mode)
}

impl Entry {
    fn days_left(&self, now: UnixTime) -> Option<i64> {
        self.facts.as_ref().map(|facts| (facts.not_after.0 - now.0).div_euclid(DAY_SECONDS))
    }

    fn names(&self) -> Vec<String> {
        self.facts.iter().flat_map(|facts| facts.names.iter().map(ToString::to_string)).collect()
    }

    fn advice(&self, root: &Path) -> Option<String> {
        let exposed = self.exposed.map(|mode| format!("its key is open to every user (mode {mode:04o}): make it anew"));
        exposed.or_else(|| self.state.advice(root, &self.what))
    }

    fn row(&self, root: &Path, now: UnixTime) -> [Cell; 6] {
        let until = self.facts.as_ref().map(|facts| facts.not_after.to_rfc3339()).unwrap_or_default();
        let days = self.days_left(now).map(|days| days.to_string()).unwrap_or_default();
        let tone = if self.exposed.is_some() { Tone::Bad } else { Tone::Plain };
        [
            self.what.as_str().into(),
            until.into(),
            days.into(),
            Cell::toned(self.state.word(), self.state.tone()),
            self.names().join(",").into(),
            Cell::toned(self.advice(root).unwrap_or_default(), tone),
        ]
    }

    fn to_json(&self, root: &Path, now: UnixTime) -> Value {
        json!({
            "what": self.what,
            "path": self.path,
            "state": self.state.word(),
            "not_before": self.facts.as_ref().map(|facts| facts.not_before.to_rfc3339()),
            "not_after": self.facts.as_ref().map(|facts| facts.not_after.to_rfc3339()),
            "days_left": self.days_left(now),
            "names": self.names(),
            "roles": self.facts.iter().flat_map(|facts| facts.roles.iter().map(porthole_shared::tls::Role::to_uri))
                .collect::<Vec<_>>(),
            "advice": self.advice(root),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_follow_the_clock() {
        let facts = Facts {
            roles: Vec::new(),
            names: Vec::new(),
            common_name: None,
            subject: Vec::new(),
            issuer: Vec::new(),
            key_id: None,
            signer_id: None,
            public_key: Vec::new(),
            authority: false,
            not_before: UnixTime(100),
            not_after: UnixTime(1000),
        };
        for (now, expected) in [
            (99, State::NotYet),
            (100, State::Valid),
            (990, State::Valid),
            (991, State::Expiring),
            (999, State::Expiring),
            (1000, State::Expired),
        ] {
            assert_eq!(time_state(&facts, UnixTime(now), 10), expected, "{now}");
        }
    }
}
