//! What happens, as it happens, for those who watch: a ring of the last events, and listeners that read it at their own
//! pace.
//!
//! ```text
//!  tell ──► [ 17 18 19 20 21 22 ] ring          a listener is a place in it; one that falls behind its end is cut
//!                ▲           ▲
//!            slow listener   quick listener
//! ```
//!
//! **Invariants**: whoever tells never waits; memory is bounded by the ring, however many listen and however slowly;
//! nothing told is a secret.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use porthole_shared::names::hex;
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use crate::callers::CallerName;

/// How many events are kept.
const RING: usize = 1024;

/// How many may listen at once.
const MOST_LISTENERS: usize = 32;

/// How many of them may be of one caller.
const MOST_OF_ONE: usize = 8;

/// How many refusals are told in a second.
const REFUSALS_IN_A_SECOND: u32 = 10;

const SECOND: Duration = Duration::from_secs(1);

/// What sort of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A session began.
    SessionStarted,
    /// A session's last connection ended.
    SessionEnded,
    /// A client was refused.
    Refused,
}

impl Kind {
    /// All, for tables.
    pub const ALL: [Self; 3] = [Self::SessionStarted, Self::SessionEnded, Self::Refused];

    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SessionStarted => "session_started",
            Self::SessionEnded => "session_ended",
            Self::Refused => "refused",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number within this run of the agent, from 1.
    pub number: u64,
    /// What sort of thing.
    pub kind: Kind,
    /// Who minted the token that it is about, if that is known.
    pub minted_by: Option<CallerName>,
    /// What there is to know.
    pub data: Value,
}

/// The feed. Clones are handles to the same.
#[derive(Clone)]
pub struct Feed(Arc<Shared>);

struct Shared {
    /// Tells the numbers of one run from those of another.
    run: String,
    ring: Mutex<Ring>,
    last: watch::Sender<Last>,
    /// Who listens, each as often as it does.
    listeners: Mutex<Vec<CallerName>>,
    refusals: Mutex<Refusals>,
}

/// Whoever has a link that is no good can draw refusals out without end, and nobody else's events shall be pushed out of
/// the ring for that: so many are told in a second, and the others counted.
#[derive(Debug, Default)]
struct Refusals {
    second: Option<Instant>,
    told: u32,
    untold: u64,
}

impl Refusals {
    /// May one more be told now? Then with the number of those that were not, since the last one.
    fn pass(&mut self, now: Instant) -> Option<u64> {
        if self.second.is_none_or(|second| now.saturating_duration_since(second) >= SECOND) {
            (self.second, self.told) = (Some(now), 0);
        }
        if self.told == REFUSALS_IN_A_SECOND {
            self.untold += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

#[derive(Debug, Default)]
struct Ring {
    last: u64,
    events: VecDeque<Arc<Event>>,
}

/// What wakes listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Told(u64),
    Closed,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("run", &self.0.run).finish_non_exhaustive()
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self(Arc::new(Shared {
            run: hex(Uuid::new_v4().into_bytes().into_iter().take(8)),
            ring: Mutex::default(),
            last: watch::Sender::new(Last::Told(0)),
            listeners: Mutex::default(),
            refusals: Mutex::default(),
        }))
    }
}

/// A place of an event in the feed, as clients give it back: `RUN-NUMBER`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    run: String,
    number: u64,
}

impl Place {
    /// Of no feed.
    pub fn nowhere() -> Self {
        Self { run: String::new(), number: 0 }
    }

    /// From its text; `None` if it is of no feed.
    pub fn parse(text: &str) -> Option<Self> {
        let (run, number) = text.split_once('-')?;
        let fits = run.len() == 16 && run.bytes().all(|byte| byte.is_ascii_hexdigit());
        Some(Self { run: fits.then(|| run.to_owned())?, number: number.parse().ok()? })
    }
}

/// As many listen as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{MOST_LISTENERS} listeners follow the events already, or {MOST_OF_ONE} of this caller: end one, or ask the lists now \
     and then"
)]
pub struct TooManyListeners;

impl Feed {
    /// Tells all who listen.
    pub fn tell(&self, kind: Kind, minted_by: Option<CallerName>, data: Value) {
        let mut ring = self.ring();
        ring.last += 1;
        let number = ring.last;
        if ring.events.len() == RING {
            ring.events.pop_front();
        }
        ring.events.push_back(Arc::new(Event { number, kind, minted_by, data }));
        // Within the lock, so that numbers go up.
        self.0.last.send_if_modified(|last| match last {
            Last::Told(told) => {
                *told = number;
                true
            }
            Last::Closed => false,
        });
    }

    /// Tells all who listen of a refusal, unless there were too many just now: those are in `others` of the next one.
    pub fn tell_refusal(&self, minted_by: Option<CallerName>, mut data: Value) {
        let passed = self.0.refusals.lock().unwrap_or_else(PoisonError::into_inner).pass(Instant::now());
        let Some(others) = passed else { return };
        if let Some(data) = data.as_object_mut() {
            data.insert("others".to_owned(), others.into());
        }
        self.tell(Kind::Refused, minted_by, data);
    }

    /// Listens from now on, or from after a place where an earlier listener was.
    pub fn listen(&self, who: &CallerName, after: Option<&Place>) -> Result<Listener, TooManyListeners> {
        {
            let mut listeners = self.listeners();
            let of_one = listeners.iter().filter(|listener| *listener == who).count();
            if listeners.len() >= MOST_LISTENERS || of_one >= MOST_OF_ONE {
                return Err(TooManyListeners);
            }
            listeners.push(who.clone());
        }
        let told = self.0.last.subscribe();
        let ring = self.ring();
        let oldest = ring.events.front().map_or(ring.last + 1, |event| event.number);
        let known = |after: &&Place| after.run == self.0.run && after.number <= ring.last && after.number + 1 >= oldest;
        let (at, gap) = match after {
            None => (ring.last, false),
            Some(after) => Some(after).filter(known).map_or((ring.last, true), |after| (after.number, false)),
        };
        drop(ring);
        Ok(Listener { feed: self.clone(), at, gap, told, who: who.clone() })
    }

    /// Ends all listening.
    pub fn close(&self) {
        self.0.last.send_replace(Last::Closed);
    }

    /// How an event is called, for `Last-Event-ID`.
    pub fn name(&self, event: &Event) -> String {
        format!("{}-{}", self.0.run, event.number)
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<CallerName>> {
        self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a listener hears.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// This happened next.
    Event(Arc<Event>),
    /// What happened after the place that was asked for is not known any more. Said once, first.
    Gap,
    /// The listener was too slow: the ring has moved on. The end.
    TooSlow,
    /// The feed is closed. The end.
    Closed,
}

/// A place in the ring.
#[derive(Debug)]
pub struct Listener {
    feed: Feed,
    at: u64,
    gap: bool,
    told: watch::Receiver<Last>,
    who: CallerName,
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut listeners = self.feed.listeners();
        if let Some(place) = listeners.iter().position(|listener| *listener == self.who) {
            listeners.swap_remove(place);
        }
    }
}

impl Listener {
    /// The next. May be dropped and asked again at any time.
    pub async fn next(&mut self) -> Heard {
        if std::mem::take(&mut self.gap) {
            return Heard::Gap;
        }
        loop {
            let last = *self.told.borrow_and_update();
            if last == Last::Closed {
                return Heard::Closed;
            }
            if let Some(heard) = self.next_known() {
                return heard;
            }
            if self.told.changed().await.is_err() {
                return Heard::Closed;
            }
        }
    }

    fn next_known(&mut self) -> Option<Heard> {
        let ring = self.feed.ring();
        let oldest = ring.events.front()?.number;
        if self.at + 1 < oldest {
            return Some(Heard::TooSlow);
        }
        let ahead = usize::try_from(self.at + 1 - oldest).ok()?;
        let event = Arc::clone(ring.events.get(ahead)?);
        self.at = event.number;
        Some(Heard::Event(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::time::timeout;

    fn who(number: usize) -> CallerName {
        CallerName::User(u32::try_from(number).unwrap())
    }

    fn tell(feed: &Feed, number: u64) {
        feed.tell(Kind::SessionStarted, None, json!(number));
    }

    async fn number(listener: &mut Listener) -> u64 {
        match listener.next().await {
            Heard::Event(event) => {
                assert_eq!(event.data, json!(event.number));
                event.number
            }
            other @ (Heard::Gap | Heard::TooSlow | Heard::Closed) => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn all_hear_all_in_order_from_when_they_listen() {
        let feed = Feed::default();
        tell(&feed, 1);
        let (mut one, mut other) = (feed.listen(&who(0), None).unwrap(), feed.listen(&who(0), None).unwrap());
        assert!(timeout(Duration::from_millis(20), one.next()).await.is_err());
        tell(&feed, 2);
        tell(&feed, 3);
        for listener in [&mut one, &mut other] {
            assert_eq!([number(listener).await, number(listener).await], [2, 3]);
        }
        let waiting = tokio::spawn(async move { number(&mut one).await });
        tell(&feed, 4);
        assert_eq!(waiting.await.unwrap(), 4);
        feed.close();
        tell(&feed, 5);
        assert_eq!(other.next().await, Heard::Closed);
    }

    #[tokio::test]
    async fn who_was_there_goes_on_where_it_was() {
        let feed = Feed::default();
        for event in 1..=5 {
            tell(&feed, event);
        }
        let name = feed.name(&feed.ring().events[2]);
        let mut listener = feed.listen(&who(0), Place::parse(&name).as_ref()).unwrap();
        assert_eq!([number(&mut listener).await, number(&mut listener).await], [4, 5]);
        let strangers = [Feed::default().0.run.clone() + "-3", feed.0.run.clone() + "-9"];
        for stranger in strangers {
            let mut listener = feed.listen(&who(0), Place::parse(&stranger).as_ref()).unwrap();
            assert_eq!(listener.next().await, Heard::Gap);
            let next = feed.ring().last + 1;
            tell(&feed, next);
            assert!(matches!(listener.next().await, Heard::Event(_)));
        }
        for bad in ["", "3", "x-3", "0123456789abcdef-", "0123456789abcdef--1"] {
            assert_eq!(Place::parse(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn who_falls_behind_is_cut_and_memory_is_bounded() {
        let feed = Feed::default();
        let mut slow = feed.listen(&who(0), None).unwrap();
        for event in 1..=RING as u64 + 1 {
            tell(&feed, event);
        }
        assert_eq!(feed.ring().events.len(), RING);
        assert_eq!(slow.next().await, Heard::TooSlow);
        let after_first = Place { run: feed.0.run.clone(), number: 1 };
        assert_eq!(number(&mut feed.listen(&who(0), Some(&after_first)).unwrap()).await, 2);
        let after_none = Place { number: 0, ..after_first };
        assert_eq!(feed.listen(&who(0), Some(&after_none)).unwrap().next().await, Heard::Gap);
    }

    #[test]
    fn of_many_refusals_some_are_told_and_the_others_counted() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        for _ in 0..REFUSALS_IN_A_SECOND {
            assert_eq!(refusals.pass(start), Some(0));
        }
        assert_eq!((refusals.pass(start), refusals.pass(start + SECOND / 2)), (None, None));
        assert_eq!((refusals.pass(start + SECOND), refusals.pass(start + SECOND)), (Some(2), Some(0)));
        let feed = Feed::default();
        for _ in 0..RING {
            feed.tell_refusal(None, json!({}));
        }
        assert!(feed.ring().events.len() < RING && feed.ring().events[0].data == json!({"others": 0}));
    }

    #[tokio::test]
    async fn so_many_may_listen() {
        let feed = Feed::default();
        let own: Vec<_> = (0..MOST_OF_ONE).map(|_| feed.listen(&who(0), None).unwrap()).collect();
        assert_eq!(feed.listen(&who(0), None).unwrap_err(), TooManyListeners, "the others' places are theirs");
        drop(own);
        let all: Vec<_> = (0..MOST_LISTENERS).map(|number| feed.listen(&who(number), None).unwrap()).collect();
        assert_eq!(feed.listen(&who(MOST_LISTENERS), None).unwrap_err(), TooManyListeners);
        drop(all);
        assert!(feed.listen(&who(0), None).is_ok());
    }
}
