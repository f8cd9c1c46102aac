//! Which connections there are: plain data, without time, I/O or locks of its own.
//!
//! A connection has a number from its reservation to its end. While it is only reserved it already counts against the
//! limits and can be told to end; it belongs to a session from [`Table::begin`] on.

use std::collections::HashMap;
use std::sync::Arc;

use porthole_shared::clock::UnixTime;
use porthole_shared::names::{
    ConsoleId, ConsoleKind, ConsoleName, EdgeInstance, EdgeName, Requestor, SessionId, TokenId,
};
use porthole_shared::reason::Reason;

use super::connection::{Counters, End};
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
}

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max: usize,
    pub(super) max_per_console: usize,
}

/// Whose place is wanted.
#[derive(Debug, Clone)]
pub(super) struct Applicant {
    pub(super) token: TokenId,
    pub(super) console: ConsoleId,
    /// The edge it comes by. An instance is what an edge says of itself; the name is its certificate's.
    pub(super) edge: (EdgeName, EdgeInstance),
    /// A new connection of this token ends the earlier ones.
    pub(super) supersedes: bool,
}

#[derive(Debug)]
struct Entry {
    applicant: Applicant,
    end: Arc<End>,
    counters: Arc<Counters>,
    session: Option<SessionId>,
    /// Counts against the limits. A reconnection that will take the place of an earlier connection does not.
    counted: bool,
}

/// All connections, and the sessions they belong to.
#[derive(Debug, Default)]
pub(super) struct Table {
    last: u64,
    stopping: Option<Reason>,
    entries: HashMap<Number, Entry>,
    sessions: HashMap<SessionId, SessionFacts>,
    counted: usize,
    per_console: HashMap<ConsoleId, usize>,
}

impl Table {
    /// Takes a place.
    pub(super) fn reserve(&mut self, applicant: Applicant, limits: Limits) -> Result<(Number, Arc<End>), Reason> {
        if self.stopping.is_some() {
            return Err(Reason::Draining);
        }
        let of_console = self.per_console.get(&applicant.console).copied().unwrap_or_default();
        let full = self.counted >= limits.max || of_console >= limits.max_per_console;
        if full && !(applicant.supersedes && self.will_free_a_place(applicant.token)) {
            return Err(Reason::Full);
        }
        self.last += 1;
        let number = Number(self.last);
        let end = Arc::new(End::default());
        if !full {
            self.count(applicant.console);
        }
        let entry = Entry { applicant, end: Arc::clone(&end), counters: Arc::default(), session: None, counted: !full };
        self.entries.insert(number, entry);
        Ok((number, end))
    }

    /// Whether this token has a connection that a newer one would end, and nothing yet that goes beyond the limits for
    /// that: a client that reconnects again and again must wait for its own ends.
    fn will_free_a_place(&self, token: TokenId) -> bool {
        let mut same = self.entries.values().filter(|entry| entry.applicant.token == token).peekable();
        same.peek().is_some() && same.all(|entry| entry.session.is_some() && entry.counted)
    }

    /// Makes a reservation a connection of its session, and ends those that it supersedes.
    pub(super) fn begin(&mut self, number: Number, mut facts: SessionFacts) -> Option<(Arc<End>, Arc<Counters>)> {
        let supersedes = self.entries.get(&number)?.applicant.supersedes;
        let session = facts.id;
        if supersedes {
            let earlier =
                self.entries.iter().filter(|(other, entry)| **other != number && entry.session == Some(session));
            for (_, entry) in earlier {
                entry.end.tell(Reason::Superseded);
            }
        }
        if let Some(known) = self.sessions.get(&session) {
            // The row may lag behind: ends of earlier connections are written by tasks of their own.
            facts.bytes_in = known.bytes_in.max(facts.bytes_in);
            facts.bytes_out = known.bytes_out.max(facts.bytes_out);
        }
        self.sessions.insert(session, facts);
        let entry = self.entries.get_mut(&number)?;
        entry.session = Some(session);
        Some((Arc::clone(&entry.end), Arc::clone(&entry.counters)))
    }

    /// Frees a place; the last connection of a session takes the session with it.
    pub(super) fn release(&mut self, number: Number) {
        let Some(entry) = self.entries.remove(&number) else { return };
        let console = entry.applicant.console;
        if entry.counted {
            self.uncount(console);
        }
        // A reconnection that came in beyond the limits takes over the place of the one that it replaced.
        if entry.counted
            && let Some(heir) = self.uncounted(entry.applicant.token)
        {
            heir.counted = true;
            self.count(console);
        }
        let Some(session) = entry.session else { return };
        if self.entries.values().any(|other| other.session == Some(session)) {
            if let Some(facts) = self.sessions.get_mut(&session) {
                let (bytes_in, bytes_out) = entry.counters.read();
                facts.bytes_in = facts.bytes_in.saturating_add(bytes_in);
                facts.bytes_out = facts.bytes_out.saturating_add(bytes_out);
            }
        } else {
            self.sessions.remove(&session);
        }
    }

    fn uncounted(&mut self, token: TokenId) -> Option<&mut Entry> {
        self.entries.values_mut().find(|entry| entry.applicant.token == token && !entry.counted)
    }

    fn count(&mut self, console: ConsoleId) {
        self.counted += 1;
        *self.per_console.entry(console).or_default() += 1;
    }

    fn uncount(&mut self, console: ConsoleId) {
        self.counted = self.counted.saturating_sub(1);
        if let Some(count) = self.per_console.get_mut(&console) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_console.remove(&console);
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
        self.sessions.get(&id)
    }

    /// The live sessions, oldest first.
    pub(super) fn list(&self) -> Vec<LiveSession> {
        let mut list: HashMap<SessionId, LiveSession> = self
            .sessions
            .iter()
            .map(|(id, facts)| (*id, LiveSession { facts: facts.clone(), connections: 0 }))
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
    pub(super) const fn counted(&self) -> usize {
        self.counted
    }
}
