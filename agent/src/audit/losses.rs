//! Events that found no room, which are counted, and told in the audit itself once there is some.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use porthole_shared::clock::UnixTime;

/// All, and those of which the audit does not tell yet.
#[derive(Debug, Default)]
pub(super) struct Losses {
    total: AtomicU64,
    untold: Mutex<Option<Lost>>,
}

/// Some that were lost one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) count: u64,
    pub(super) first: UnixTime,
    pub(super) last: UnixTime,
}

impl Losses {
    /// One more.
    pub(super) fn note(&self, now: UnixTime) {
        self.total.fetch_add(1, Ordering::Relaxed);
        self.keep(Lost { count: 1, first: now, last: now });
    }

    /// How many there ever were.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Those that are to be told of. Whoever cannot write it down gives them [back](Self::keep).
    pub(super) fn take(&self) -> Option<Lost> {
        self.untold().take()
    }

    /// Has them told of later, together with those that came meanwhile.
    pub(super) fn keep(&self, lost: Lost) {
        let mut untold = self.untold();
        *untold = Some(untold.map_or(lost, |other| Lost {
            count: other.count.saturating_add(lost.count),
            first: other.first.min(lost.first),
            last: other.last.max(lost.last),
        }));
    }

    fn untold(&self) -> MutexGuard<'_, Option<Lost>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::START;

    #[test]
    fn they_are_told_once_and_counted_for_ever() {
        let losses = Losses::default();
        assert_eq!((losses.take(), losses.total()), (None, 0));
        losses.note(START);
        losses.note(START.plus(5));
        let lost = losses.take().unwrap();
        assert_eq!(lost, Lost { count: 2, first: START, last: START.plus(5) });
        losses.note(START.plus(9));
        losses.keep(lost);
        assert_eq!(losses.take(), Some(Lost { count: 3, first: START, last: START.plus(9) }));
        assert_eq!((losses.take(), losses.total()), (None, 3));
    }
}
