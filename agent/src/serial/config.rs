//! `[serial]` of the agent's configuration.

use serde::Deserialize;

use super::history::{Budget, CHUNK, Sizes};

const KIB: usize = 1024;

/// How much of what serial ports say is kept, and how many may watch one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How much of the beginning of a guest's output is kept for each port, in KiB.
    pub first_kib: usize,
    /// How much of the latest output is kept for each port, in KiB.
    pub last_kib: usize,
    /// How much all ports together may keep, in MiB.
    pub max_mib: usize,
    /// How many may watch one port, beside the one who writes.
    pub max_watchers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { first_kib: 1024, last_kib: 1024, max_mib: 512, max_watchers: 16 }
    }
}

impl Config {
    /// What is wrong between these settings, if anything.
    pub fn problem(&self) -> Option<String> {
        let most = 1024 * KIB;
        let chunk = CHUNK / KIB;
        if self.last_kib < chunk || self.last_kib > most {
            return Some(format!("[serial] last_kib is {}; use {chunk} to {most}", self.last_kib));
        }
        if self.first_kib > most {
            return Some(format!("[serial] first_kib is {}; use 0 to {most}", self.first_kib));
        }
        if self.max_mib == 0 || self.max_mib > most {
            return Some(format!("[serial] max_mib is {}; use 1 to {most}", self.max_mib));
        }
        None
    }

    pub(super) const fn sizes(&self) -> Sizes {
        Sizes { head: self.first_kib * KIB, tail: self.last_kib * KIB }
    }

    pub(super) fn budget(&self) -> Budget {
        Budget::of(self.max_mib * KIB * KIB)
    }
}
