//! Which connections there are: plain data, without timers, I/O or locks of its own.
//!
//! A connection has a number from its reservation to its end. While it is only reserved it already counts against the
//! limits and can be told to end; it belongs to a session from [`Table::begin`] on.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use porthole_shared::clock::UnixTime;
use porthole_shared::names::{
    ConsoleId, ConsoleKind, ConsoleName, EdgeInstance, EdgeName, Requestor, SessionId, TokenId,
};
use porthole_shared::reason::Reason;
use tokio::time::Instant;

use super::activity::Activity;
use super::config::Config;
use super::connection::{Counters, End, Told};
use crate::callers::CallerName;
use crate::tokens::Rights;

/// A connection's number within this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Number(u64);

/// What a session is, as its row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    /// Its id.
    pub id: SessionId,
    /// The token that opened it.
    pub token: TokenId,
    /// Its console.
    pub console: ConsoleId,
    /// The console's name when the token was made.
    pub name: ConsoleName,
    /// Who asked for the token.
    pub requestor: Option<Requestor>,
    /// Which caller of the API had it made, if that is known.
    pub minted_by: Option<CallerName>,
    /// The client's address, as the edge sees it, of the latest connection.
    pub client_address: String,
    /// The edge it came by.
    pub edge: EdgeName,
    /// When its first connection began.
    pub started: UnixTime,
    /// Until when it may last.
    pub until: UnixTime,
    /// What its viewer may do.
    pub rights: Rights,
    /// How many connections it has with the one that was opened last, as its row counts them.
    pub connections: u64,
    /// Whether opening it was the first use of its token.
    pub first_use: bool,
    /// Bytes of its connections that have ended, from the client.
    pub bytes_in: u64,
    /// Bytes of its connections that have ended, to the client.
    pub bytes_out: u64,
}

/// A session in the list, with its bytes up to now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSession {
    /// What it is, and its bytes so far, those of live connections included.
    pub facts: SessionFacts,
    /// How many connections it has.
    pub connections: usize,
    /// When there was input, or it began.
    pub latest_input: Instant,
}

/// What there is of one kind of console, and what was carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Live sessions.
    pub sessions: usize,
    /// Their connections.
    pub connections: usize,
    /// Bytes from clients, those of connections that have ended included.
    pub bytes_in: u64,
    /// Bytes to clients, likewise.
    pub bytes_out: u64,
}

impl Totals {
    const fn add(&mut self, (bytes_in, bytes_out): (u64, u64)) {
        self.bytes_in = self.bytes_in.saturating_add(bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(bytes_out);
    }
}

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max: usize,
    pub(super) max_per_console: usize,
    pub(super) max_per_requestor: Option<usize>,
    pub(super) max_per_client: Option<usize>,
}

/// What connections are counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Share {
    All,
    Console(ConsoleId),
    Requestor(Requestor),
    Client(IpAddr),
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        let &Config { max, max_per_console, max_per_requestor, max_per_client, .. } = config;
        Self { max, max_per_console, max_per_requestor, max_per_client }
    }
}

impl Limits {
    const fn of(&self, share: &Share) -> Option<usize> {
        match share {
            Share::All => Some(self.max),
            Share::Console(_) => Some(self.max_per_console),
            Share::Requestor(_) => self.max_per_requestor,
            Share::Client(_) => self.max_per_client,
        }
    }
}

/// Whose place is wanted.
#[derive(Debug, Clone)]
pub(super) struct Applicant {
    pub(super) token: TokenId,
    pub(super) console: ConsoleId,
    /// What that was called when the token was made.
    pub(super) name: ConsoleName,
    pub(super) requestor: Option<Requestor>,
    pub(super) minted_by: Option<CallerName>,
    pub(super) client: IpAddr,
    /// The edge it comes by. An instance is what an edge says of itself; the name is its certificate's.
    pub(super) edge: (EdgeName, EdgeInstance),
    /// A new connection of this token ends the earlier ones.
    pub(super) supersedes: bool,
}

impl Applicant {
    fn shares(&self) -> impl Iterator<Item = Share> {
        let always = [Share::All, Share::Console(self.console), Share::Client(self.client)];
        always.into_iter().chain(self.requestor.clone().map(Share::Requestor))
    }
}

/// A place for a connection.
#[derive(Debug)]
pub(super) struct Place {
    /// What it counts against at once.
    free: Vec<Share>,
    /// What it will count against once it has taken the place of an earlier connection.
    awaited: Vec<Share>,
}

#[derive(Debug)]
struct Entry {
    applicant: Applicant,
    end: Arc<End>,
    counters: Arc<Counters>,
    session: Option<SessionId>,
    /// What it does not count against yet, because there it will take the place of an earlier connection.
    awaited: Vec<Share>,
}

#[derive(Debug)]
struct Live {
    facts: SessionFacts,
    activity: Arc<Activity>,
}

/// All connections, and the sessions they belong to.
#[derive(Debug, Default)]
pub(super) struct Table {
    last: u64,
    stopping: Option<Reason>,
    entries: HashMap<Number, Entry>,
    sessions: HashMap<SessionId, Live>,
    counts: HashMap<Share, usize>,
    /// Bytes of connections that have ended.
    carried: HashMap<ConsoleKind, Totals>,
}

impl Table {
    /// Takes a place.
    pub(super) fn reserve(&mut self, applicant: Applicant, limits: Limits) -> Result<(Number, Arc<End>), Reason> {
        let Place { free, awaited } = self.place_for(&applicant, limits)?;
        self.last += 1;
        let number = Number(self.last);
        let end = Arc::new(End::default());
        for share in free {
            *self.counts.entry(share).or_default() += 1;
        }
        let entry = Entry { applicant, end: Arc::clone(&end), counters: Arc::default(), session: None, awaited };
        self.entries.insert(number, entry);
        Ok((number, end))
    }

    /// Where there would be a place.
    pub(super) fn place_for(&self, applicant: &Applicant, limits: Limits) -> Result<Place, Reason> {
        if self.stopping.is_some() {
            return Err(Reason::Draining);
        }
        let is_full = |share: &Share| limits.of(share).is_some_and(|most| self.count_of(share) >= most);
        let (awaited, free): (Vec<_>, Vec<_>) = applicant.shares().partition(is_full);
        let has_place = awaited.is_empty() || (applicant.supersedes && self.will_free(applicant.token, &awaited));
        if has_place { Ok(Place { free, awaited }) } else { Err(Reason::Full) }
    }

    /// Whether this token has a connection that a newer one would end, which counts wherever there is no place, and
    /// nothing yet that goes beyond the limits for that: a client that reconnects again and again must wait for its own
    /// ends.
    fn will_free(&self, token: TokenId, wanted: &[Share]) -> bool {
        let mut same = self.entries.values().filter(|entry| entry.applicant.token == token).peekable();
        let frees = |entry: &Entry| {
            let shares: Vec<_> = entry.applicant.shares().collect();
            wanted.iter().all(|share| shares.contains(share))
        };
        same.peek().is_some() && same.all(|entry| entry.session.is_some() && entry.awaited.is_empty() && frees(entry))
    }

    fn count_of(&self, share: &Share) -> usize {
        self.counts.get(share).copied().unwrap_or_default()
    }

    /// Makes a reservation a connection of its session, and ends those that it supersedes.
    pub(super) fn begin(&mut self, number: Number, mut facts: SessionFacts) -> Option<Told> {
        let supersedes = self.entries.get(&number)?.applicant.supersedes;
        let session = facts.id;
        if supersedes {
            let earlier =
                self.entries.iter().filter(|(other, entry)| **other != number && entry.session == Some(session));
            for (_, entry) in earlier {
                entry.end.tell(Reason::Superseded);
            }
        }
        // A viewer that only connects again has not done anything.
        let mut activity = Arc::default();
        if let Some(known) = self.sessions.get(&session) {
            // The row may lag behind: ends of earlier connections are written by tasks of their own.
            facts.bytes_in = known.facts.bytes_in.max(facts.bytes_in);
            facts.bytes_out = known.facts.bytes_out.max(facts.bytes_out);
            activity = Arc::clone(&known.activity);
        }
        self.sessions.insert(session, Live { facts, activity: Arc::clone(&activity) });
        let entry = self.entries.get_mut(&number)?;
        entry.session = Some(session);
        Some(Told { end: Arc::clone(&entry.end), counters: Arc::clone(&entry.counters), activity })
    }

    /// Frees a place, if it is not free yet; the last connection of a session takes the session with it, and then this is
    /// true.
    pub(super) fn release(&mut self, number: Number) -> bool {
        let Some(entry) = self.entries.remove(&number) else { return false };
        self.carried.entry(entry.applicant.console.kind).or_default().add(entry.counters.read());
        let freed: Vec<_> = entry.applicant.shares().filter(|share| !entry.awaited.contains(share)).collect();
        for share in &freed {
            self.uncount(share);
        }
        // A reconnection that came in beyond the limits takes over the place of the one that it replaced.
        let token = entry.applicant.token;
        let heir = self.entries.values_mut().find(|other| other.applicant.token == token && !other.awaited.is_empty());
        let inherited = heir.map(|heir| heir.awaited.extract_if(.., |share| freed.contains(share)).collect());
        for share in inherited.unwrap_or_else(Vec::new) {
            *self.counts.entry(share).or_default() += 1;
        }
        let Some(session) = entry.session else { return false };
        if self.entries.values().any(|other| other.session == Some(session)) {
            if let Some(Live { facts, .. }) = self.sessions.get_mut(&session) {
                let (bytes_in, bytes_out) = entry.counters.read();
                facts.bytes_in = facts.bytes_in.saturating_add(bytes_in);
                facts.bytes_out = facts.bytes_out.saturating_add(bytes_out);
            }
            return false;
        }
        self.sessions.remove(&session).is_some()
    }

    fn uncount(&mut self, share: &Share) {
        if let Some(count) = self.counts.get_mut(share) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(share);
            }
        }
    }

    /// Ends whatever fits, reservations too; how many were told.
    pub(super) fn end_where(&self, reason: Reason, fits: impl Fn(&Applicant, Option<SessionId>) -> bool) -> usize {
        let told = self.entries.values().filter(|entry| fits(&entry.applicant, entry.session));
        told.filter(|entry| entry.end.tell(reason)).count()
    }

    /// Ends everything and takes nothing new.
    pub(super) fn stop(&mut self, reason: Reason) -> usize {
        self.stopping = Some(reason);
        self.end_where(reason, |_, _| true)
    }

    /// A live session.
    pub(super) fn session(&self, id: SessionId) -> Option<&SessionFacts> {
        self.sessions.get(&id).map(|live| &live.facts)
    }

    /// The live sessions of which a connection fits, oldest first.
    pub(super) fn list(&self, fits: impl Fn(&Applicant) -> bool) -> Vec<LiveSession> {
        let fitting = self.entries.values().filter(|entry| fits(&entry.applicant)).filter_map(|entry| entry.session);
        let mut list: HashMap<SessionId, LiveSession> = fitting
            .filter_map(|id| self.sessions.get_key_value(&id))
            .map(|(id, Live { facts, activity })| {
                (*id, LiveSession { facts: facts.clone(), connections: 0, latest_input: activity.latest() })
            })
            .collect();
        for entry in self.entries.values() {
            let Some(live) = entry.session.and_then(|session| list.get_mut(&session)) else { continue };
            let (bytes_in, bytes_out) = entry.counters.read();
            live.connections += 1;
            live.facts.bytes_in = live.facts.bytes_in.saturating_add(bytes_in);
            live.facts.bytes_out = live.facts.bytes_out.saturating_add(bytes_out);
        }
        let mut list: Vec<_> = list.into_values().collect();
        list.sort_by_key(|live| (live.facts.started, live.facts.id));
        list
    }

    /// What there is of each kind.
    pub(super) fn totals(&self) -> Vec<(ConsoleKind, Totals)> {
        let of = |kind: ConsoleKind| {
            let mut totals = self.carried.get(&kind).copied().unwrap_or_default();
            totals.sessions = self.sessions.values().filter(|live| live.facts.console.kind == kind).count();
            for entry in self.entries.values().filter(|entry| entry.applicant.console.kind == kind) {
                totals.connections += usize::from(entry.session.is_some());
                totals.add(entry.counters.read());
            }
            (kind, totals)
        };
        ConsoleKind::ALL.map(of).to_vec()
    }

    /// How many sessions are live.
    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }
}

/// SPICE opens a connection for each of its channels, so there they live side by side.
pub(super) const fn supersedes(kind: ConsoleKind) -> bool {
    match kind {
        ConsoleKind::Vnc | ConsoleKind::Serial | ConsoleKind::Tcp => true,
        ConsoleKind::Spice => false,
    }
}

#[cfg(test)]
impl Table {
    pub(super) fn counted(&self) -> usize {
        self.count_of(&Share::All)
    }

    pub(super) fn is_within(&self, limits: Limits) -> bool {
        self.counts.iter().all(|(share, &count)| limits.of(share).is_none_or(|most| count <= most))
    }

    pub(super) fn counts_nothing(&self) -> bool {
        self.counts.is_empty()
    }
}
