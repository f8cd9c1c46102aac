//! An entry: an event as one row of the file and one line of the log.

use porthole_shared::clock::UnixTime;
use porthole_shared::names::{ConsoleId, ConsoleName, EdgeName, Requestor, SessionId, TokenId};
use porthole_shared::reason::Reason;

use super::event::{Deed, Ending, Event, Kind, Subject, Target, Viewer};
use super::refusals::Tally;
use crate::callers::CallerName;
use crate::hypervisor::NameOrUuid;

/// What is written down. Fields that say nothing about an event are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) at: UnixTime,
    pub(super) event: Kind,
    /// Who did it, or had the token made.
    pub(super) caller: Option<CallerName>,
    pub(super) requestor: Option<Requestor>,
    pub(super) console: Option<ConsoleId>,
    pub(super) name: Option<ConsoleName>,
    pub(super) token: Option<TokenId>,
    pub(super) session: Option<SessionId>,
    pub(super) client: Option<String>,
    pub(super) edge: Option<EdgeName>,
    pub(super) reason: Option<Reason>,
    pub(super) bytes: Option<(u64, u64)>,
    pub(super) connections: Option<u64>,
    pub(super) count: Option<u64>,
    pub(super) first: Option<UnixTime>,
}

impl Entry {
    fn new(event: Kind, at: UnixTime) -> Self {
        Self {
            at,
            event,
            caller: None,
            requestor: None,
            console: None,
            name: None,
            token: None,
            session: None,
            client: None,
            edge: None,
            reason: None,
            bytes: None,
            connections: None,
            count: None,
            first: None,
        }
    }

    fn about(self, subject: Option<Subject>) -> Self {
        let Some(Subject { token, console, name, requestor, minted_by }) = subject else { return self };
        let caller = self.caller.or(minted_by);
        Self { token: Some(token), console: Some(console), name: Some(name), requestor, caller, ..self }
    }

    fn of(self, viewer: Viewer) -> Self {
        let Viewer { subject, session, client, edge } = viewer;
        Self { session: Some(session), client: Some(client), edge: Some(edge), ..self }.about(Some(subject))
    }

    fn by(self, deed: Deed) -> Self {
        let Deed { to, tokens, connections, caller } = deed;
        let this = Self { caller: Some(caller), count: Some(tokens), connections: Some(connections), ..self };
        match to {
            Target::Token { id, subject } => Self { token: Some(id), ..this }.about(subject),
            Target::Session { id, token, subject } => {
                Self { session: Some(id), token: Some(token), ..this }.about(subject)
            }
            Target::All(which) => Self {
                name: which.console.map(|console| match console {
                    NameOrUuid::Name(name) => name,
                    NameOrUuid::Uuid(uuid) => uuid.into(),
                }),
                requestor: which.requestor,
                client: which.client.map(|client| client.to_string()),
                ..this
            },
        }
    }

    /// One client that was refused, or all of one sort.
    pub(super) fn refused(tally: Tally) -> Self {
        let Tally { reason, edge, client, subject, count, first, last } = tally;
        let this = Self::new(Kind::Refused, last).about(subject);
        Self { reason, edge, client, count: Some(count), first: Some(first), ..this }
    }

    /// Entries that are missing.
    pub(super) fn lost(count: u64, first: UnixTime, last: UnixTime) -> Self {
        Self { count: Some(count), first: Some(first), ..Self::new(Kind::Lost, last) }
    }

    /// An event's, at this time.
    pub(super) fn from(event: Event, now: UnixTime) -> Self {
        match event {
            Event::Minted(subject) => Self::new(Kind::Minted, now).about(Some(subject)),
            Event::Redeemed(viewer) => Self::new(Kind::Redeemed, now).of(viewer),
            Event::Started { viewer, connections } => {
                Self { connections: Some(connections), ..Self::new(Kind::Started, now).of(viewer) }
            }
            Event::Ended(Ending { viewer, at, reason, connections, bytes }) => Self {
                reason: Some(reason),
                connections: Some(connections),
                bytes,
                ..Self::new(Kind::Ended, at).of(viewer)
            },
            Event::Refused(refusal) => Self::refused(Tally::of(refusal, now)),
            Event::Revoked(deed) => Self::new(Kind::Revoked, now).by(deed),
            Event::Killed(deed) => Self::new(Kind::Killed, now).by(deed),
        }
    }

    /// As a line of the log, whatever its level: of the target that only this module writes to.
    pub(super) fn log(&self) {
        let console = self.console.as_ref();
        tracing::info!(
            target: "audit",
            at = %self.at,
            event = self.event.as_str(),
            caller = self.caller.as_ref().map(display),
            requestor = self.requestor.as_ref().map(Requestor::as_str),
            source = console.map(|console| console.source.as_str()),
            uuid = console.map(|console| display(console.uuid)),
            kind = console.map(|console| console.kind.as_str()),
            index = console.map(|console| console.index),
            name = self.name.as_ref().map(ConsoleName::as_str),
            token = self.token.map(display),
            session = self.session.map(display),
            client = self.client.as_deref(),
            edge = self.edge.as_ref().map(EdgeName::as_str),
            reason = self.reason.map(Reason::code),
            bytes_in = self.bytes.map(|(bytes_in, _)| bytes_in),
            bytes_out = self.bytes.map(|(_, bytes_out)| bytes_out),
            connections = self.connections,
            count = self.count,
            first = self.first.map(display),
            "{}",
            self.event,
        );
    }
}
