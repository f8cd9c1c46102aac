//! Which call may start now: the scheduler of one lane, without threads, time or libvirt.
//!
//! A lane runs at most `limit` calls at once, and at most one for a key (a domain). Later calls for a key wait behind
//! the first, oldest first. A call that libvirt does not return from keeps its place for as long as that lasts, so a
//! domain whose emulator hangs costs one place; calls that could only wait for it are refused at once.
//!
//! ```text
//! submit ──► waiting ──next──► running ──finish──► (gone)
//!    │          └── abandoned: dropped by next
//!    └── refused: the key's call is overdue, the key's or the lane's queue is full, or all places are overdue
//! ```

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How much a lane takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Calls running at once.
    pub(super) limit: usize,
    /// Calls waiting for one key.
    pub(super) waiting_per_key: usize,
    /// Calls waiting in all.
    pub(super) waiting: usize,
    /// How long after its start a call counts as stuck: no client waits longer than this.
    pub(super) overdue: Duration,
}

/// One lane.
#[derive(Debug)]
pub(super) struct Dispatch<K, J> {
    bounds: Bounds,
    running: HashMap<K, Instant>,
    waiting: VecDeque<(K, J)>,
}

impl<K: Eq + Hash + Clone, J> Dispatch<K, J> {
    /// An empty lane.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, running: HashMap::new(), waiting: VecDeque::new() }
    }

    /// Takes a call, or gives it back because waiting would be in vain.
    pub(super) fn submit(&mut self, key: K, job: J, now: Instant) -> Result<(), J> {
        let overdue = |started: &Instant| now.saturating_duration_since(*started) >= self.bounds.overdue;
        let stuck = match self.running.get(&key) {
            Some(started) => overdue(started),
            None => self.running.len() >= self.bounds.limit && self.running.values().all(overdue),
        };
        let full = self.waiting.len() >= self.bounds.waiting
            || self.waiting.iter().filter(|(waiting, _)| *waiting == key).count() >= self.bounds.waiting_per_key;
        if stuck || full {
            return Err(job);
        }
        self.waiting.push_back((key, job));
        Ok(())
    }

    /// The oldest call that may start now; it counts as running from now on. Drops those that nobody waits for.
    pub(super) fn next(&mut self, now: Instant, is_abandoned: impl Fn(&J) -> bool) -> Option<(K, J)> {
        self.waiting.retain(|(_, job)| !is_abandoned(job));
        if self.running.len() >= self.bounds.limit {
            return None;
        }
        let position = self.waiting.iter().position(|(key, _)| !self.running.contains_key(key))?;
        let (key, job) = self.waiting.remove(position)?;
        self.running.insert(key.clone(), now);
        Some((key, job))
    }

    /// How many calls wait, and how many run.
    pub(super) fn depth(&self) -> (usize, usize) {
        (self.waiting.len(), self.running.len())
    }

    /// The call for this key has returned.
    pub(super) fn finish(&mut self, key: &K) {
        self.running.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: Bounds = Bounds { limit: 2, waiting_per_key: 2, waiting: 4, overdue: Duration::from_secs(5) };

    fn drain(lane: &mut Dispatch<&'static str, u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| lane.next(now, |_| false)).map(|(_, job)| job).collect()
    }

    #[test]
    fn one_call_per_key_and_the_oldest_first() {
        let now = Instant::now();
        let mut lane = Dispatch::new(BOUNDS);
        for (key, job) in [("a", 1), ("a", 2), ("b", 3), ("c", 4)] {
            lane.submit(key, job, now).unwrap();
        }
        assert_eq!(drain(&mut lane, now), [1, 3], "the second for a waits, c finds no place");
        lane.finish(&"b");
        assert_eq!(drain(&mut lane, now), [4]);
        lane.finish(&"a");
        assert_eq!(drain(&mut lane, now), [2]);
    }

    #[test]
    fn a_key_has_a_short_queue_and_the_lane_a_longer_one() {
        let now = Instant::now();
        let mut lane = Dispatch::new(BOUNDS);
        lane.submit("a", 1, now).unwrap();
        lane.submit("a", 2, now).unwrap();
        assert_eq!(lane.submit("a", 3, now), Err(3));
        lane.submit("b", 4, now).unwrap();
        lane.submit("c", 5, now).unwrap();
        assert_eq!(lane.submit("d", 6, now), Err(6));
    }

    #[test]
    fn behind_a_stuck_call_nobody_waits_but_other_keys_go_on() {
        let start = Instant::now();
        let later = start + Duration::from_secs(5);
        let mut lane = Dispatch::new(BOUNDS);
        lane.submit("a", 1, start).unwrap();
        assert_eq!(drain(&mut lane, start), [1]);
        assert_eq!(lane.submit("a", 2, later), Err(2));
        lane.submit("b", 3, later).unwrap();
        assert_eq!(drain(&mut lane, later), [3]);
        // Both places are taken, one by a call that is not stuck: waiting makes sense.
        lane.submit("c", 4, later).unwrap();
        let latest = later + Duration::from_secs(5);
        assert_eq!(lane.submit("d", 5, latest), Err(5), "now both are stuck");
        lane.finish(&"a");
        lane.submit("d", 6, latest).unwrap();
        assert_eq!(drain(&mut lane, latest), [4]);
    }

    #[test]
    fn abandoned_calls_are_never_started() {
        let now = Instant::now();
        let mut lane = Dispatch::new(BOUNDS);
        for (key, job) in [("a", 1), ("a", 2), ("b", 3)] {
            lane.submit(key, job, now).unwrap();
        }
        assert_eq!(lane.next(now, |job| *job == 1), Some(("a", 2)));
        assert_eq!(lane.next(now, |_| true), None);
        assert_eq!(lane.next(now, |_| false), None, "they are gone, not only passed over");
    }

    proptest! {
        #[test]
        fn whatever_comes_the_bounds_hold(steps in prop::collection::vec((0_u8..3, 0_u8..5), 0..200)) {
            let now = Instant::now();
            let mut lane: Dispatch<u8, usize> = Dispatch::new(BOUNDS);
            let (mut taken, mut started) = (0, Vec::new());
            let mut running = Vec::new();
            for (number, (step, key)) in steps.into_iter().enumerate() {
                match step {
                    0 => taken += usize::from(lane.submit(key, number, now).is_ok()),
                    1 => if let Some((key, job)) = lane.next(now, |_| false) {
                        prop_assert!(!running.contains(&key), "two calls for one key");
                        running.push(key);
                        started.push(job);
                    },
                    _ => { lane.finish(&key); running.retain(|other| *other != key); }
                }
                prop_assert!(running.len() <= BOUNDS.limit);
                prop_assert!(lane.waiting.len() <= BOUNDS.waiting);
            }
            // Nothing is lost: with every place free again, all that was taken is started.
            loop {
                for key in running.drain(..) { lane.finish(&key); }
                match lane.next(now, |_| false) {
                    Some((key, job)) => { running.push(key); started.push(job); }
                    None => break,
                }
            }
            prop_assert_eq!(started.len(), taken);
        }
    }
}
