//! How many connections there is room for: over all, and for one client address.
//!
//! A connection costs a client nothing, a token least of all, so without the second bound one client could take all of
//! the first.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use porthole_shared::clients::{self, Clients};

/// How many connections may be served at once, and the settings that say so.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// The count.
    pub connections: NonZeroUsize,
    /// What an operator can change, for the log.
    pub setting: &'static str,
    /// The count for one client address, where the peer of a connection is the client.
    pub each: Option<NonZeroUsize>,
    /// What an operator can change about that.
    pub each_setting: &'static str,
}

/// There is no room, because of this setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// What an operator can change.
    pub setting: &'static str,
}

/// The places of connections. Clones share one state.
#[derive(Debug, Clone)]
pub struct Room {
    most: Arc<ArcSwap<Most>>,
    taken: Arc<AtomicUsize>,
    turned_away: Arc<AtomicU64>,
    clients: Clients,
}

/// One connection's place. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "the connection has its place only while this lives"]
pub struct Place {
    _taken: Taken,
    _counted: Option<clients::Place>,
}

#[derive(Debug)]
struct Taken(Arc<AtomicUsize>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Room {
    /// Nobody is here yet.
    pub fn new(most: Most) -> Self {
        let most = Arc::new(ArcSwap::from_pointee(most));
        Self { most, taken: Arc::default(), turned_away: Arc::default(), clients: Clients::default() }
    }

    /// From now on there is so much room. Clients are told apart or not as they were; nobody who is here has to leave.
    pub fn set(&self, connections: NonZeroUsize, each: Option<NonZeroUsize>) {
        let before = **self.most.load();
        let each = before.each.and(each.or(before.each));
        self.most.store(Arc::new(Most { connections, each, ..before }));
    }

    /// How many places are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many found none.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    /// A place for a connection from this address, if there is one.
    pub fn take(&self, client: IpAddr) -> Result<Place, Full> {
        self.try_take(client).inspect_err(|_full| {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn try_take(&self, client: IpAddr) -> Result<Place, Full> {
        let most = **self.most.load();
        let counted = match most.each {
            None => None,
            Some(each) => Some(self.clients.take(client, each.get()).ok_or(Full { setting: most.each_setting })?),
        };
        let one_more = |taken: usize| (taken < most.connections.get()).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .map_err(|_| Full { setting: most.setting })?;
        Ok(Place { _taken: Taken(Arc::clone(&self.taken)), _counted: counted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(connections: usize, each: usize) -> Room {
        let count = |count| NonZeroUsize::new(count).unwrap();
        Room::new(Most {
            connections: count(connections),
            setting: "all",
            each: Some(count(each)),
            each_setting: "each",
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_client_cannot_take_the_room_of_others() {
        let room = room(3, 2);
        let held = [room.take(ip("192.0.2.1")).unwrap(), room.take(ip("192.0.2.1")).unwrap()];
        assert_eq!(room.take(ip("192.0.2.1")).unwrap_err(), Full { setting: "each" });
        assert_eq!(room.take(ip("::ffff:192.0.2.1")).unwrap_err(), Full { setting: "each" });
        let _other = room.take(ip("192.0.2.2")).unwrap();
        assert_eq!(room.take(ip("192.0.2.3")).unwrap_err(), Full { setting: "all" });
        drop(held);
        assert_eq!(room.clients.len(), 1, "whoever is gone is forgotten, and so is whoever was refused");
        let _again = room.take(ip("192.0.2.1")).unwrap();
    }

    #[test]
    fn more_or_less_room_holds_for_who_comes() {
        let count = |count| NonZeroUsize::new(count).unwrap();
        let room = room(1, 1);
        let _one = room.take(ip("192.0.2.1")).unwrap();
        room.take(ip("192.0.2.2")).unwrap_err();
        room.set(count(2), Some(count(2)));
        let two = room.take(ip("192.0.2.1")).unwrap();
        assert_eq!((room.taken(), room.turned_away()), (2, 1));
        room.set(count(1), None);
        drop(two);
        assert_eq!(room.take(ip("192.0.2.3")).unwrap_err(), Full { setting: "all" });
        room.set(count(9), None);
        let _two = room.take(ip("192.0.2.1")).unwrap();
        assert_eq!(room.take(ip("192.0.2.1")).unwrap_err(), Full { setting: "each" }, "as it was");
    }

    #[test]
    fn clients_are_not_counted_where_they_are_not_told_apart() {
        let room = Room::new(Most { each: None, ..**room(2, 1).most.load() });
        let _held = [room.take(ip("192.0.2.1")).unwrap(), room.take(ip("192.0.2.1")).unwrap()];
        assert_eq!(room.take(ip("192.0.2.1")).unwrap_err(), Full { setting: "all" });
    }
}
