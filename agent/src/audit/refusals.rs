//! Refusals, counted by sort, so that whoever draws them out again and again costs one entry a minute.
//!
//! A sort is a reason, an edge, a client's network (an IPv4 address, or the /64 that a client of IPv6 usually has to
//! itself) and a token, if it is one of this host. There are at most [`MOST`] sorts; what comes beyond is counted
//! together, without saying more.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::Ipv6Net;
use porthole_shared::clock::UnixTime;
use porthole_shared::names::{EdgeName, TokenId};
use porthole_shared::reason::Reason;

use super::entry::Entry;
use super::event::{Refusal, Subject};

/// How many sorts are told apart between two flushes.
pub(super) const MOST: usize = 128;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sort {
    reason: Reason,
    edge: EdgeName,
    client: String,
    token: Option<TokenId>,
}

/// How many there were of a sort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) reason: Option<Reason>,
    pub(super) edge: Option<EdgeName>,
    pub(super) client: Option<String>,
    pub(super) subject: Option<Subject>,
    pub(super) count: u64,
    pub(super) first: UnixTime,
    pub(super) last: UnixTime,
}

impl Tally {
    /// The first of its sort.
    pub(super) fn of(refusal: Refusal, now: UnixTime) -> Self {
        let Refusal { reason, edge, client, subject } = refusal;
        let client = Some(network(client));
        Self { reason: Some(reason), edge: Some(edge), client, subject, count: 1, first: now, last: now }
    }

    fn again(&mut self, now: UnixTime) {
        self.count = self.count.saturating_add(1);
        self.last = now;
    }
}

/// Those since the last flush.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    sorts: HashMap<Sort, Tally>,
    others: Option<Tally>,
}

impl Refusals {
    /// Counts one.
    pub(super) fn note(&mut self, refusal: Refusal, now: UnixTime) {
        let sort = Sort {
            reason: refusal.reason,
            edge: refusal.edge.clone(),
            client: network(refusal.client),
            token: refusal.subject.as_ref().map(|subject| subject.token),
        };
        if let Some(tally) = self.sorts.get_mut(&sort) {
            tally.again(now);
        } else if self.sorts.len() < MOST {
            self.sorts.insert(sort, Tally::of(refusal, now));
        } else if let Some(others) = &mut self.others {
            others.again(now);
        } else {
            let nothing = Tally { reason: None, edge: None, client: None, subject: None, ..Tally::of(refusal, now) };
            self.others = Some(nothing);
        }
    }

    /// One entry for each sort, in the order of their first; forgets them.
    pub(super) fn take(&mut self) -> Vec<Entry> {
        let mut tallies: Vec<_> = self.sorts.drain().map(|(_, tally)| tally).collect();
        tallies.sort_by_key(|tally| (tally.first, tally.last));
        tallies.into_iter().chain(self.others.take()).map(Entry::refused).collect()
    }
}

/// What is taken for one client.
fn network(client: IpAddr) -> String {
    match client.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => Ipv6Net::new_assert(address, 64).trunc().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{START, edge};

    fn refusal(reason: Reason, client: &str) -> Refusal {
        Refusal { reason, edge: edge(), client: client.parse().unwrap(), subject: None }
    }

    fn counted(entries: &[Entry]) -> Vec<(Option<Reason>, Option<&str>, u64)> {
        entries.iter().map(|entry| (entry.reason, entry.client.as_deref(), entry.count.unwrap())).collect()
    }

    #[test]
    fn the_same_again_is_counted_with_its_first_and_last() {
        let mut refusals = Refusals::default();
        for second in 0..1000 {
            refusals.note(refusal(Reason::Used, "192.0.2.7"), START.plus(second));
        }
        let entries = refusals.take();
        assert_eq!(counted(&entries), [(Some(Reason::Used), Some("192.0.2.7"), 1000)]);
        assert_eq!((entries[0].first, entries[0].at), (Some(START), START.plus(999)));
        assert_eq!(entries[0].edge, Some(edge()));
        assert_eq!(refusals.take(), [], "they are forgotten");
    }

    #[test]
    fn a_client_is_an_address_or_the_network_that_it_may_choose_from() {
        let mut refusals = Refusals::default();
        let clients =
            ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1", "192.0.2.8"];
        for (second, client) in (0..).zip(clients) {
            refusals.note(refusal(Reason::Used, client), START.plus(second));
        }
        let entries = refusals.take();
        let used = |client, count| (Some(Reason::Used), Some(client), count);
        let expected =
            [used("192.0.2.7", 2), used("2001:db8::/64", 2), used("2001:db8:0:1::/64", 1), used("192.0.2.8", 1)];
        assert_eq!(counted(&entries), expected);
    }

    #[test]
    fn reasons_edges_and_tokens_are_told_apart() {
        let mut refusals = Refusals::default();
        let subject = || Subject {
            token: TokenId::random(),
            console: "00000000-0000-4000-8000-000000000001".parse().map(console).unwrap(),
            name: "bmc".parse().unwrap(),
            requestor: None,
            minted_by: None,
        };
        refusals.note(refusal(Reason::Used, "192.0.2.7"), START);
        refusals.note(refusal(Reason::Full, "192.0.2.7"), START);
        refusals.note(Refusal { edge: "edge-2".parse().unwrap(), ..refusal(Reason::Used, "192.0.2.7") }, START);
        for subject in [subject(), subject()] {
            refusals.note(Refusal { subject: Some(subject), ..refusal(Reason::Used, "192.0.2.7") }, START);
        }
        let entries = refusals.take();
        assert_eq!(entries.len(), 5);
        assert_eq!(entries.iter().filter(|entry| entry.name.is_some() && entry.token.is_some()).count(), 2);
    }

    fn console(uuid: porthole_shared::names::ConsoleUuid) -> porthole_shared::names::ConsoleId {
        use porthole_shared::names::{ConsoleId, ConsoleKind, ConsoleSource};
        ConsoleId { source: ConsoleSource::External, uuid, kind: ConsoleKind::Vnc, index: 0 }
    }

    #[test]
    fn whoever_comes_from_everywhere_fills_one_entry_beyond_the_bound() {
        let mut refusals = Refusals::default();
        for network in 0..10_000_u16 {
            let client = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, 1);
            refusals.note(refusal(Reason::Expired, &client.to_string()), START.plus(network.into()));
        }
        let entries = refusals.take();
        assert_eq!(entries.len(), MOST + 1);
        let others = entries.last().unwrap();
        assert_eq!((others.reason, others.client.as_deref(), others.count), (None, None, Some(10_000 - MOST as u64)));
        assert_eq!((others.first, others.at), (Some(START.plus(i64::try_from(MOST).unwrap())), START.plus(9_999)));
        assert_eq!(entries.iter().filter_map(|entry| entry.count).sum::<u64>(), 10_000, "every one is counted");
        refusals.note(refusal(Reason::Expired, "192.0.2.7"), START);
        assert_eq!(refusals.take().len(), 1, "there is room again");
    }
}
