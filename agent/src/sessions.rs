//! The live sessions of this agent: who may have one more connection, and who is told to end.
//!
//! Keeps handles in memory, and leaves rows to [`store`](crate::store), tokens to [`tokens`](crate::tokens) and bytes to
//! whoever relays them. In the flow of a console request: a place is [reserved](Sessions::reserve) before the console is
//! opened, and the connection [begins](Sessions::begin) once its token is redeemed. Beginnings and ends of sessions are told
//! to a [`Feed`].
//!
//! **Invariants**: the table's lock is held for map operations only, never over an `await` or a call to libvirt; a
//! reason that is given to a reservation or connection reaches whoever relays it, at whatever moment it comes.

mod about;
mod activity;
mod config;
mod connection;
mod events;
mod record;
mod selector;
mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use porthole_shared::names::{ConsoleKind, ConsoleSource, ConsoleUuid, EdgeInstance, EdgeName, SessionId, TokenId};
use porthole_shared::reason::Reason;
use porthole_shared::tunnel::ClientFacts;
use tokio::time::Instant;

use self::about::About;
pub use self::activity::Activity;
pub use self::config::{Config, Lengths, MOST_CONNECTIONS};
pub use self::connection::{Connection, Counters, Reservation};
pub use self::events::{end_when_stopping, follow};
pub(crate) use self::record::{OpenRow, Recorder};
pub use self::selector::Selector;
use self::table::{Applicant, Limits, Number, Table};
pub use self::table::{LiveSession, SessionFacts, Totals};
use crate::feed::Feed;
use crate::metrics::instruments;
use crate::tokens::{Examined, Redeemed};

/// The live sessions. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Sessions(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: ArcSwap<Limits>,
    feed: Feed,
    table: Mutex<Table>,
    instruments: instruments::Sessions,
}

/// No such session is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no live session has this id; `porthole sessions` lists them")]
pub struct NoSuchSession;

impl Sessions {
    /// None yet.
    pub fn new(config: &Config) -> Self {
        let limits = ArcSwap::from_pointee(config.into());
        let (feed, table, instruments) = (Feed::default(), Mutex::default(), instruments::Sessions::default());
        Self(Arc::new(Shared { limits, feed, table, instruments }))
    }

    /// From now on there may be so many connections. None that there is ends by this.
    pub fn set_limits(&self, config: &Config) {
        self.0.limits.store(Arc::new(config.into()));
    }

    /// What is counted of them.
    pub fn instruments(&self) -> &instruments::Sessions {
        &self.0.instruments
    }

    /// Takes a place for one more connection with this token, or says why there is none.
    pub fn reserve(&self, token: &Examined, client: &ClientFacts, edge: &EdgeName) -> Result<Reservation, Reason> {
        let (number, end) = self.table().reserve(applicant(token, client, edge), **self.0.limits.load())?;
        Ok(Reservation { sessions: self.clone(), number, end })
    }

    /// Whether [`Self::reserve`] would find a place now. Takes none.
    pub fn has_place(&self, token: &Examined, client: &ClientFacts, edge: &EdgeName) -> Result<(), Reason> {
        self.table().place_for(&applicant(token, client, edge), **self.0.limits.load()).map(drop)
    }

    /// Begins a connection whose token is redeemed. An earlier connection of the same session is told that it is
    /// superseded, except with SPICE.
    pub fn begin(&self, place: Reservation, redeemed: Redeemed) -> Connection {
        let Redeemed { facts, longest, row } = redeemed;
        let (session, console, name) = (facts.id, facts.console, facts.name.clone());
        // For those who debug; the record is the audit's.
        tracing::debug!(
            %session, token = %facts.token, %console, %name, client = facts.client_address, edge = %facts.edge,
            requestor = facts.requestor.as_ref().map(tracing::field::display), "connection began"
        );
        // A reservation stays in the table for as long as it lives, so there is always an entry to begin.
        let rights = facts.rights;
        let about = About::from(&facts);
        let told = {
            let mut table = self.table();
            // Told under the lock, so that nobody hears of its end first.
            if table.session(session).is_none() {
                about.tell_start(&self.0.feed);
            }
            table.begin(place.number, facts).unwrap_or_default()
        };
        let deadline = Instant::now() + longest;
        Connection { place, session, console, rights, about, told, deadline, row: Some(row) }
    }

    /// Where their beginnings and ends are told.
    pub fn feed(&self) -> &Feed {
        &self.0.feed
    }

    /// The live sessions, oldest first.
    pub fn list(&self) -> Vec<LiveSession> {
        self.list_of(&Selector::default())
    }

    /// Those of the live sessions that are meant, oldest first. A session is meant by any of its connections.
    pub fn list_of(&self, which: &Selector) -> Vec<LiveSession> {
        self.table().list(|applicant| which.fits(applicant))
    }

    /// How many are live.
    pub fn len(&self) -> usize {
        self.table().len()
    }

    /// What there is of each kind, and what was carried since the agent was started.
    pub fn totals(&self) -> Vec<(ConsoleKind, Totals)> {
        self.table().totals()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The token of a live session.
    pub fn token_of(&self, session: SessionId) -> Result<TokenId, NoSuchSession> {
        self.table().session(session).map(|facts| facts.token).ok_or(NoSuchSession)
    }

    /// Ends a session by an operator's wish, and reconnections to it that are under way.
    pub fn kill(&self, session: SessionId) -> Result<usize, NoSuchSession> {
        let table = self.table();
        let token = table.session(session).ok_or(NoSuchSession)?.token;
        let is_of_it = |applicant: &Applicant, of: Option<SessionId>| match of {
            Some(of) => of == session,
            None => applicant.token == token,
        };
        Ok(table.end_where(Reason::Killed, is_of_it))
    }

    /// Ends all that is meant, reservations too; how many connections were told.
    pub fn end_all_of(&self, which: &Selector, reason: Reason) -> usize {
        self.table().end_where(reason, |applicant, _| which.fits(applicant))
    }

    /// Ends what was opened with a token; how many connections were told.
    pub fn end_token(&self, token: TokenId, reason: Reason) -> usize {
        self.table().end_where(reason, |applicant, _| applicant.token == token)
    }

    /// Ends all on the consoles of a domain; how many connections were told.
    pub fn end_domain(&self, domain: ConsoleUuid, reason: Reason) -> usize {
        let owner = (ConsoleSource::Libvirt, domain);
        self.table().end_where(reason, |applicant, _| (applicant.console.source, applicant.console.uuid) == owner)
    }

    /// Ends all that came by an edge of this name that goes away; how many connections were told.
    pub fn end_edge(&self, edge: &EdgeName, instance: EdgeInstance) -> usize {
        let is_by_it = |applicant: &Applicant, _| applicant.edge.0 == *edge && applicant.edge.1 == instance;
        self.table().end_where(Reason::EdgeDraining, is_by_it)
    }

    /// Ends everything, and refuses what comes from now on as `draining`.
    pub fn stop_all(&self, reason: Reason) -> usize {
        self.table().stop(reason)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No operation on the table can leave it half done, so a panic elsewhere under the lock costs nothing.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn applicant(token: &Examined, client: &ClientFacts, edge: &EdgeName) -> Applicant {
    let console = token.console();
    Applicant {
        token: token.id(),
        console,
        name: token.name().clone(),
        requestor: token.requestor().cloned(),
        minted_by: token.minted_by().cloned(),
        client: client.address.ip().to_canonical(),
        edge: (edge.clone(), client.edge_instance),
        supersedes: token.is_bound() && table::supersedes(console.kind),
    }
}

#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod tests;
