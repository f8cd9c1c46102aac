//! The audit's file, and all SQL that is done to it.
//!
//! `audit.db` lies beside the agent's own database and shares nothing with it: however full or slow the one is, the other
//! does not wait. It is in WAL mode, too, so what has been written survives the death of this process at any moment.
//!
//! **The bound on its size** is kept twice. SQLite's `max_page_count` is the wall: beyond it, writes fail. Before that, at
//! nine tenths, a [sweep](AuditStore::sweep) removes the oldest entries, refusals first where they are more than a
//! quarter, so that nobody who draws out refusals can make the record of others go away. The journal beside the file adds
//! a few mebibytes.

mod read;
mod sweep;

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use porthole_shared::names::{ConsoleId, ConsoleName, EdgeName, Requestor};
use porthole_shared::reason::Reason;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, QueryBuilder, Sqlite};

pub use self::read::{Page, Record};
pub(super) use self::sweep::Swept;
use super::Config;
use super::entry::Entry;
use crate::store::{Error, SMALL_CACHE, failed};

/// How many connections read.
const READERS: u32 = 2;

/// How long anybody waits for a connection, or for SQLite's lock (somebody may have the file open in `sqlite3`).
const PATIENCE: Duration = Duration::from_secs(5);

/// SQLite's usual size of a page, in bytes. A file has the size that it was made with.
const PAGE: u32 = 4096;

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

/// One list of columns for both the statement and its values.
const INSERT: &str = "INSERT INTO entries (at, event, caller, requestor, source, uuid, kind, idx, name, token, session, \
                      client, edge, reason, bytes_in, bytes_out, connections, count, first) ";

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
            .pragma("cache_size", SMALL_CACHE)
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
                .push_bind(entry.caller.as_ref().map(ToString::to_string))
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
