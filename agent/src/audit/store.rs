//! The audit's file, and all SQL that is done to it.
//!
//! `audit.db` lies beside the agent's own database and shares nothing with it: however full or slow the one is, the other
//! does not wait. It is in WAL mode, too, so what has been written survives the death of this process at any moment.
//!
//! **The bound on its size** is kept twice. SQLite's `max_page_count` is the wall: beyond it, writes fail. Before that, at
//! nine tenths, [`AuditStore::sweep`] removes the oldest entries, refusals first where they are more than a quarter, so
//! that nobody who draws out refusals can make the record of others go away.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use porthole_shared::clock::UnixTime;
use porthole_shared::names::{ConsoleId, ConsoleName, EdgeName, Requestor};
use porthole_shared::reason::Reason;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, QueryBuilder, Sqlite};

use super::Config;
use super::entry::Entry;
use super::event::Kind;
use crate::hypervisor::NameOrUuid;
use crate::store::{Error, failed};

/// How many connections read.
const READERS: u32 = 2;

/// How long anybody waits for a connection, or for SQLite's lock (somebody may have the file open in `sqlite3`).
const PATIENCE: Duration = Duration::from_secs(5);

/// SQLite's usual size of a page, in bytes. A file has the size that it was made with.
const PAGE: u32 = 4096;

/// Rows that are removed in one transaction.
const BATCH: u32 = 500;

/// Transactions of one sweep, so that entries do not queue up for long behind it.
const MOST_BATCHES: u32 = 20;

/// Free pages that one sweep gives back to the disk where the file is larger than it may be.
const PAGES_GIVEN_BACK: &str = "PRAGMA incremental_vacuum(10000)";

/// The file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be made.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// SQLite does not open it.
    #[error("cannot open {}: move it away to begin a new one, or set [audit] enabled = false", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// It is newer than this release, or damaged.
    #[error("cannot bring {} up to date (was it made by a newer release?)", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
}

/// The file. Clones are handles to the same.
#[derive(Debug, Clone)]
pub(super) struct AuditStore {
    writer: SqlitePool,
    readers: SqlitePool,
    bounds: Bounds,
}

/// How long entries are kept, and in how much room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) retention_seconds: i64,
    pub(super) pages: u32,
}

impl From<&Config> for Bounds {
    fn from(config: &Config) -> Self {
        let pages = config.max_mib.saturating_mul(1024 * 1024 / PAGE);
        Self { retention_seconds: config.retention.as_seconds(), pages }
    }
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Swept {
    /// Entries older than the retention.
    pub(super) expired: u64,
    /// Entries that had to make room.
    pub(super) for_room: u64,
}

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

/// One list of columns for both the statement and its values.
const INSERT: &str = "INSERT INTO entries (at, event, caller, requestor, source, uuid, kind, idx, name, token, session, \
                      client, edge, reason, bytes_in, bytes_out, connections, count, first) ";

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

const REMOVE_EXPIRED: &str =
    "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE at < ?1 ORDER BY at LIMIT ?2)";
const REMOVE_OLDEST: &str = "DELETE FROM entries WHERE id IN (SELECT id FROM entries ORDER BY id LIMIT ?2)";
const REMOVE_OLDEST_REFUSALS: &str =
    "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE event = 'refused' ORDER BY id LIMIT ?2)";

impl AuditStore {
    /// Opens `audit.db` in a directory that is this agent's already, or makes it.
    pub(super) async fn open(state_dir: &Path, bounds: Bounds) -> Result<Self, OpenError> {
        let path = state_dir.join("audit.db");
        // SQLite gives its journal files the mode of the database.
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .and_then(|file| file.set_permissions(Permissions::from_mode(0o600)))
            .map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let sqlite = |source| OpenError::Sqlite { path: path.clone(), source };
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .page_size(PAGE)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(PATIENCE);
        let pool = || SqlitePoolOptions::new().acquire_timeout(PATIENCE).idle_timeout(None).max_lifetime(None);
        let for_writing = options
            .clone()
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .pragma("max_page_count", bounds.pages.to_string());
        let writer = pool()
            .max_connections(1)
            // After a full disk sqlx goes on counting a transaction that SQLite has rolled back, as in the main database.
            .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
            .connect_with(for_writing)
            .await
            .map_err(sqlite)?;
        sqlx::migrate!("../migrations/audit")
            .run(&writer)
            .await
            .map_err(|source| OpenError::Migrate { path: path.clone(), source })?;
        let readers = pool().max_connections(READERS).connect_with(options.read_only(true)).await.map_err(sqlite)?;
        Ok(Self { writer, readers, bounds })
    }

    /// Closes the connections.
    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Writes all of them down, or none.
    pub(super) async fn insert(&self, entries: &[Entry]) -> Result<(), Error> {
        let operation = "writing the audit";
        let mut statement = QueryBuilder::<Sqlite>::new(INSERT);
        statement.push_values(entries, |mut row, entry| {
            let console = entry.console.as_ref();
            let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            row.push_bind(entry.at.0)
                .push_bind(entry.event.as_str())
                .push_bind(entry.caller.as_deref())
                .push_bind(entry.requestor.as_ref().map(Requestor::as_str))
                .push_bind(console.map(|console| console.source.as_str()))
                .push_bind(console.map(|console| console.uuid.to_string()))
                .push_bind(console.map(|console| console.kind.as_str()))
                .push_bind(console.map(|ConsoleId { index, .. }| i64::from(*index)))
                .push_bind(entry.name.as_ref().map(ConsoleName::as_str))
                .push_bind(entry.token.map(|token| token.to_string()))
                .push_bind(entry.session.map(|session| session.to_string()))
                .push_bind(entry.client.as_deref())
                .push_bind(entry.edge.as_ref().map(EdgeName::as_str))
                .push_bind(entry.reason.map(Reason::code))
                .push_bind(entry.bytes.map(|(bytes_in, _)| signed(bytes_in)))
                .push_bind(entry.bytes.map(|(_, bytes_out)| signed(bytes_out)))
                .push_bind(entry.connections.map(signed))
                .push_bind(entry.count.map(signed))
                .push_bind(entry.first.map(|first| first.0));
        });
        let mut write = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed(operation))?;
        statement.build().persistent(false).execute(&mut *write).await.map_err(failed(operation))?;
        write.commit().await.map_err(failed(operation))
    }

    /// Some entries, in the order of their numbers.
    pub(super) async fn page(&self, page: &Page) -> Result<Vec<Record>, Error> {
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

    /// Removes what is older than it shall become, and the oldest while the file is nearly as large as it may be. What
    /// is left over, the next sweep removes.
    pub(super) async fn sweep(&self, now: UnixTime) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        let oldest = now.plus(-self.bounds.retention_seconds);
        for _ in 0..MOST_BATCHES {
            let removed = self.remove(REMOVE_EXPIRED, oldest).await?;
            swept.expired += removed;
            if removed < BATCH.into() {
                break;
            }
        }
        let mut wanted = self.bounds.high();
        for _ in 0..MOST_BATCHES {
            if self.pages_in_use().await? <= wanted {
                break;
            }
            wanted = self.bounds.low();
            let (refusals, all) = self.counts().await?;
            let statement = if refusals_go_first(refusals, all) { REMOVE_OLDEST_REFUSALS } else { REMOVE_OLDEST };
            let removed = self.remove(statement, oldest).await?;
            swept.for_room += removed;
            if removed == 0 {
                break;
            }
        }
        if self.pages().await? > i64::from(self.bounds.pages) {
            sqlx::query(PAGES_GIVEN_BACK).fetch_all(&self.writer).await.map_err(failed("shrinking the audit"))?;
        }
        Ok(swept)
    }

    async fn remove(&self, statement: &'static str, before: UnixTime) -> Result<u64, Error> {
        let operation = "removing old entries of the audit";
        let mut write = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed(operation))?;
        let done = sqlx::query(statement).bind(before.0).bind(BATCH).execute(&mut *write).await;
        let removed = done.map_err(failed(operation))?.rows_affected();
        write.commit().await.map_err(failed(operation))?;
        Ok(removed)
    }

    /// Refusals, and all.
    async fn counts(&self) -> Result<(i64, i64), Error> {
        sqlx::query_as("SELECT (SELECT count(*) FROM entries WHERE event = 'refused'), (SELECT count(*) FROM entries)")
            .fetch_one(&self.writer)
            .await
            .map_err(failed("counting the audit's entries"))
    }

    async fn pages_in_use(&self) -> Result<i64, Error> {
        self.measure("SELECT page_count - freelist_count FROM pragma_page_count(), pragma_freelist_count()").await
    }

    async fn pages(&self) -> Result<i64, Error> {
        self.measure("SELECT page_count FROM pragma_page_count()").await
    }

    async fn measure(&self, statement: &'static str) -> Result<i64, Error> {
        sqlx::query_scalar(statement).fetch_one(&self.writer).await.map_err(failed("measuring the audit"))
    }
}

impl Bounds {
    /// From here on the oldest make room …
    fn high(self) -> i64 {
        i64::from(self.pages) * 9 / 10
    }

    /// … down to here.
    fn low(self) -> i64 {
        i64::from(self.pages) * 8 / 10
    }
}

/// Refusals are the entries that a stranger can cause: they may take a quarter of the room from the others, not more.
const fn refusals_go_first(refusals: i64, all: i64) -> bool {
    refusals > all / 4
}

#[cfg(test)]
impl AuditStore {
    /// Has every write fail as on a full disk, or not any more: for tests of other modules.
    pub(super) async fn refuse(&self, yes: bool) {
        let pages = self.pages().await.unwrap();
        // The wall is where the file ends; free pages would be behind it.
        let limit = if yes { pages } else { i64::from(self.bounds.pages) };
        sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {limit}")))
            .execute(&self.writer)
            .await
            .unwrap();
    }
}

#[cfg(test)]
mod tests;
