//! Entries, as they are asked for.

use porthole_shared::clock::UnixTime;
use porthole_shared::names::Requestor;

use super::AuditStore;
use crate::audit::event::Kind;
use crate::hypervisor::NameOrUuid;
use crate::store::{Error, failed};

/// Which entries are asked for.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// From this moment on.
    pub since: Option<UnixTime>,
    /// Before this moment.
    pub until: Option<UnixTime>,
    /// About the consoles of this owner.
    pub console: Option<NameOrUuid>,
    /// About tokens of this requestor.
    pub requestor: Option<Requestor>,
    /// Of this sort.
    pub event: Option<Kind>,
    /// The oldest of those behind this one; the latest of all, if absent.
    pub after: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// An entry as it stands in the file. Words stay text: an earlier or later release may have written others.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Record {
    /// Its number: later entries have higher ones.
    pub id: i64,
    /// When it happened; of several, the last.
    pub at: i64,
    /// What happened.
    pub event: String,
    /// Who did it, of the API's callers.
    pub caller: Option<String>,
    /// For whom the token was made.
    pub requestor: Option<String>,
    /// Where the console's owner is defined.
    pub source: Option<String>,
    /// The console's owner.
    pub uuid: Option<String>,
    /// What is spoken on it.
    pub kind: Option<String>,
    /// Which one of that kind.
    pub idx: Option<i64>,
    /// The owner's name.
    pub name: Option<String>,
    /// The token's public name.
    pub token: Option<String>,
    /// The session.
    pub session: Option<String>,
    /// The client's address, or network.
    pub client: Option<String>,
    /// By which edge.
    pub edge: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// From the client.
    pub bytes_in: Option<i64>,
    /// To the client.
    pub bytes_out: Option<i64>,
    /// How many the session has after this; how many were told to end.
    pub connections: Option<i64>,
    /// How many it stands for: refusals, tokens, losses.
    pub count: Option<i64>,
    /// When the first of several was.
    pub first: Option<i64>,
}

/// The condition of a [`Page`], with placeholders 1 to 6.
macro_rules! selecting {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " FROM entries WHERE id > ?1 AND (?2 IS NULL OR at >= ?2) AND (?3 IS NULL OR at < ?3) \
             AND (?4 IS NULL OR uuid = ?4 OR name = ?4) AND (?5 IS NULL OR requestor = ?5) \
             AND (?6 IS NULL OR event = ?6) ",
            $after
        )
    };
}

const BEHIND: &str = selecting!("SELECT *", "ORDER BY id LIMIT ?7");
const LATEST: &str = selecting!("SELECT * FROM (SELECT *", "ORDER BY id DESC LIMIT ?7) ORDER BY id");

impl AuditStore {
    /// Some entries, in the order of their numbers.
    pub(in crate::audit) async fn page(&self, page: &Page) -> Result<Vec<Record>, Error> {
        sqlx::query_as(if page.after.is_some() { BEHIND } else { LATEST })
            .bind(page.after.unwrap_or(0))
            .bind(page.since.map(|since| since.0))
            .bind(page.until.map(|until| until.0))
            .bind(page.console.as_ref().map(ToString::to_string))
            .bind(page.requestor.as_ref().map(Requestor::as_str))
            .bind(page.event.map(Kind::as_str))
            .bind(page.limit)
            .fetch_all(&self.readers)
            .await
            .map_err(failed("reading the audit"))
    }
}
