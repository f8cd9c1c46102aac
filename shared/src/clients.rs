//! Clients told apart by their addresses, and how many places each has taken.
//!
//! A connection costs a client next to nothing, so whoever has a bounded number of places and serves strangers bounds
//! what one of them takes. What an address stands for is the same everywhere: whoever has an IPv6 address usually has its
//! whole /64, so that is one client.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What counts as one client: an IPv4 address, or the first address of an IPv6 network of 64 bits.
pub fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Places by client. Clones are the same. No client is remembered without a place.
#[derive(Debug, Clone, Default)]
pub struct Clients(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One place of a client. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "the place is taken only while this lives"]
pub struct Place {
    clients: Clients,
    client: IpAddr,
}

impl Clients {
    /// A place for the client of this address, unless it has `most` already.
    pub fn take(&self, address: IpAddr, most: usize) -> Option<Place> {
        let client = client_of(address);
        let mut counts = self.lock();
        let count = counts.get(&client).copied().unwrap_or_default();
        if count >= most {
            return None;
        }
        counts.insert(client, count + 1);
        drop(counts);
        Some(Place { clients: self.clone(), client })
    }

    /// How many clients have places.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no client has one.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.clients.lock();
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_has_so_many_places_and_is_forgotten_without_one() {
        let clients = Clients::default();
        let held = [clients.take(ip("192.0.2.1"), 2).unwrap(), clients.take(ip("::ffff:192.0.2.1"), 2).unwrap()];
        assert!(clients.take(ip("192.0.2.1"), 2).is_none());
        let _other = clients.take(ip("192.0.2.2"), 2).unwrap();
        drop(held);
        assert_eq!(clients.len(), 1, "whoever is gone is forgotten");
        assert!(clients.take(ip("192.0.2.1"), 2).is_some());
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_client() {
        let clients = Clients::default();
        let _held = clients.take(ip("2001:db8:0:1::1"), 1).unwrap();
        assert!(clients.take(ip("2001:db8:0:1:ffff:ffff:ffff:ffff"), 1).is_none());
        assert!(clients.take(ip("2001:db8:0:2::1"), 1).is_some());
    }
}
