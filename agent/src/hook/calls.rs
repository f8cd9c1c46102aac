//! Which steps libvirt has told of, and when the last time: whether the hook is really called.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use porthole_hook::step::Operation;
use porthole_shared::clock::UnixTime;

/// Steps since the agent's start. Clones are handles to the same.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<Mutex<BTreeMap<&'static str, CallCount>>>);

/// Of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallCount {
    /// How often it was told.
    pub count: u64,
    /// When the last time.
    pub last: UnixTime,
}

impl Calls {
    pub(super) fn note(&self, operation: Operation, now: UnixTime) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = counts.entry(operation.as_str()).or_insert(CallCount { count: 0, last: now });
        known.count += 1;
        known.last = now;
    }

    /// By operation.
    pub fn counts(&self) -> BTreeMap<&'static str, CallCount> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
