//! How full the lanes are, for whoever watches: written by the machinery, read by anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The lanes' names.
const NAMES: [&str; 3] = ["quick", "domain", "probe"];

/// Calls that wait and calls that run, of each lane. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Queues(Arc<[(AtomicUsize, AtomicUsize); NAMES.len()]>);

impl Queues {
    /// As it is now, in the order of the lanes.
    pub(super) fn set(&self, depths: [(usize, usize); NAMES.len()]) {
        for ((waiting, running), (waits, runs)) in self.0.iter().zip(depths) {
            waiting.store(waits, Ordering::Relaxed);
            running.store(runs, Ordering::Relaxed);
        }
    }

    /// The names of the lanes, with the calls that wait and those that run.
    pub(super) fn read(&self) -> Vec<(&'static str, (usize, usize))> {
        let read = |(waiting, running): &(AtomicUsize, AtomicUsize)| {
            (waiting.load(Ordering::Relaxed), running.load(Ordering::Relaxed))
        };
        NAMES.into_iter().zip(self.0.iter().map(read)).collect()
    }
}
