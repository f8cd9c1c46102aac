//! How often an address may show a credential that is no good: a fixed number of counters, whoever comes.
//!
//! Guessing 256 bits is hopeless at any rate; what this bounds is what somebody who tries, or a client with an old token
//! that tries again and again, costs the database and the log. An address that nobody has a counter for takes the
//! counter of another one, so an address that has failed cannot shut out others.

use std::hash::BuildHasher as _;
use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use porthole_shared::clients::client_of;

/// How many addresses are counted at once.
const COUNTERS: usize = 1024;

/// So many failures are free…
const BURST: u32 = 10;

/// …and after them one in each of these.
const REFILL: Duration = Duration::from_secs(6);

/// The counters.
#[derive(Debug)]
pub(super) struct Failures {
    /// Nobody outside knows which addresses share a counter.
    keys: RandomState,
    counters: Mutex<Box<[Option<Counter>]>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counter {
    whose: IpAddr,
    /// Failures that are not forgiven yet.
    count: u32,
    since: Instant,
}

impl Counter {
    /// Forgives what time has forgiven.
    fn at(self, now: Instant) -> Self {
        let passed = now.saturating_duration_since(self.since);
        let forgiven = u32::try_from(passed.as_secs() / REFILL.as_secs()).unwrap_or(u32::MAX);
        if forgiven >= self.count {
            return Self { count: 0, since: now, ..self };
        }
        Self { count: self.count - forgiven, since: self.since + REFILL * forgiven, ..self }
    }
}

impl Default for Failures {
    fn default() -> Self {
        Self { keys: RandomState::new(), counters: Mutex::new(vec![None; COUNTERS].into()) }
    }
}

impl Failures {
    /// May somebody at this address show a credential now? If not, after how long.
    pub(super) fn may_try(&self, address: IpAddr) -> Result<(), Duration> {
        self.may_try_at(address, Instant::now())
    }

    /// A credential was no good.
    pub(super) fn count(&self, address: IpAddr) {
        self.count_at(address, Instant::now());
    }

    fn may_try_at(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let whose = client_of(address);
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = counters.get(self.place(whose)).copied().flatten().filter(|counter| counter.whose == whose);
        match counter.map(|counter| counter.at(now)) {
            Some(counter) if counter.count >= BURST => {
                Err((counter.since + REFILL).saturating_duration_since(now).max(Duration::from_secs(1)))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn count_at(&self, address: IpAddr, now: Instant) {
        let whose = client_of(address);
        let place = self.place(whose);
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(slot) = counters.get_mut(place) else { return };
        let known = slot.filter(|counter| counter.whose == whose).map(|counter| counter.at(now));
        let counter = known.unwrap_or(Counter { whose, count: 0, since: now });
        *slot = Some(Counter { count: counter.count.saturating_add(1).min(BURST), ..counter });
    }

    fn place(&self, whose: IpAddr) -> usize {
        usize::try_from(self.keys.hash_one(whose) % COUNTERS as u64).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_burst_then_one_try_at_a_time() {
        let (failures, start) = (Failures::default(), Instant::now());
        let (bad, good): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for _ in 0..BURST {
            assert_eq!(failures.may_try_at(bad, start), Ok(()));
            failures.count_at(bad, start);
        }
        assert_eq!(failures.may_try_at(bad, start), Err(REFILL));
        assert_eq!(failures.may_try_at("::ffff:192.0.2.1".parse().unwrap(), start), Err(REFILL), "the same address");
        assert_eq!(failures.may_try_at(good, start), Ok(()));
        assert_eq!(failures.may_try_at(bad, start + REFILL / 2), Err(REFILL / 2));
        let later = start + REFILL;
        assert_eq!(failures.may_try_at(bad, later), Ok(()));
        failures.count_at(bad, later);
        assert_eq!(failures.may_try_at(bad, later), Err(REFILL));
        assert_eq!(failures.may_try_at(bad, later + REFILL * BURST), Ok(()));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let (failures, now) = (Failures::default(), Instant::now());
        for host in 0..BURST {
            failures.count_at(format!("2001:db8::{host}").parse().unwrap(), now);
        }
        assert!(failures.may_try_at("2001:db8::ffff".parse().unwrap(), now).is_err());
        assert!(failures.may_try_at("2001:db8:0:1::1".parse().unwrap(), now).is_ok());
    }

    #[test]
    fn thousands_of_addresses_take_no_more_memory() {
        let (failures, now) = (Failures::default(), Instant::now());
        for number in 0..100_000_u32 {
            failures.count_at(IpAddr::from(number.to_be_bytes()), now);
        }
        assert_eq!(failures.counters.lock().unwrap().len(), COUNTERS);
    }
}
