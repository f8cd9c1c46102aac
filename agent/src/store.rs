//! Everything that outlives the agent's process, in one SQLite file: tokens (as hashes) and the record of sessions.
//!
//! One connection writes, each transaction with `BEGIN IMMEDIATE`, so that no writer waits for a lock in mid-way; a few
//! others read. The file is in WAL mode with `synchronous = NORMAL`: a transaction that has committed survives the death
//! of this process at any moment (SIGKILL included), because it is with the kernel; only a crash of the whole host may
//! lose the last ones, and after that no token is of use anyway: each row carries the host's boot id. So a used token
//! never comes back, at a cost of no `fsync` per redeem.
//!
//! **Invariants**: there is no SQL outside this module; nothing in the file is a secret; no transaction waits for
//! anything but SQLite; a row of a session is open only while its agent runs, because opening the store closes those that
//! an earlier run left.

mod ailment;
mod api_tokens;
mod arrivals;
mod convert;
mod place;
mod ports;
mod select;
mod sessions;
mod sweep;
mod tokens;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use porthole_shared::clock::UnixTime;
use sqlx::Connection as _;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

pub use self::ailment::{Ailment, is_busy};
use self::place::Place;
pub use self::place::PlaceError;
pub use self::select::{ListedToken, TokenPage};
pub use self::sessions::SessionEnd;
pub use self::sweep::{Swept, sweep_now_and_then};
pub use self::tokens::{NewToken, Redeem, TokenMark, TokenRecord};
use self::write::Write;
use crate::audit::Viewer;
use crate::metrics::instruments;

/// How many connections read.
const READERS: u32 = 4;

/// What SQLite may keep in memory for a connection that reads a few rows (`PRAGMA cache_size`: 256 KiB). It counts all of
/// a process's connections together and lets each take what others leave; its usual 2 MiB are for the one that writes.
pub(crate) const SMALL_CACHE: &str = "-256";

/// How long anybody waits for a connection, or for SQLite's lock (somebody may have the file open in `sqlite3`).
const PATIENCE: Duration = Duration::from_secs(5);

/// The database. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    boot_id: Arc<str>,
    /// The number of the token that was written last.
    newest_token: Arc<AtomicI64>,
    instruments: instruments::Store,
    /// Who was connected when an earlier run died.
    left_open: Arc<[Viewer]>,
    /// Keeps other agents out for as long as this one has the file open.
    _place: Arc<Place>,
}

/// A statement failed, or a row does not say what it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite's words.
    #[error("{operation} in the database")]
    Sqlite {
        /// What was being done.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: sqlx::Error,
    },
    /// A value that this release did not write.
    #[error("the database's {column} holds something that is not of this release")]
    Foreign {
        /// Where.
        column: &'static str,
    },
}

/// The database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its directory is of no use.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The host does not say which boot this is.
    #[error("cannot read {BOOT_ID}, which tells one boot of this host from another")]
    BootId(#[source] std::io::Error),
    /// It cannot be used until somebody has done something about it.
    #[error("cannot use {path}: {}", ailment.remedy())]
    Ailing {
        /// The file.
        path: String,
        /// What ails it.
        ailment: Ailment,
        /// What SQLite says.
        #[source]
        source: sqlx::Error,
    },
    /// SQLite does not open it.
    #[error("cannot open {path}")]
    Sqlite {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// It is newer than this release, or damaged.
    #[error("cannot bring {path} up to date (was it made by a newer release?)")]
    Migrate {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: MigrateError,
    },
    /// The rows that an earlier run left open cannot be closed.
    #[error("cannot close the sessions that an earlier run left open")]
    CloseLeftOpen(#[source] Error),
}

impl OpenError {
    fn of(path: &str, source: sqlx::Error) -> Self {
        let path = path.to_owned();
        match Ailment::of(&source) {
            Some(ailment) => Self::Ailing { path, ailment, source },
            None => Self::Sqlite { path, source },
        }
    }

    fn of_migration(path: &str, error: MigrateError) -> Self {
        if let MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) = error {
            return Self::of(path, source);
        }
        Self::Migrate { path: path.to_owned(), source: error }
    }

    fn of_closing(path: &str, error: Error) -> Self {
        match error {
            Error::Sqlite { source, .. } if Ailment::of(&source).is_some() => Self::of(path, source),
            Error::Sqlite { .. } | Error::Foreign { .. } => Self::CloseLeftOpen(error),
        }
    }
}

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl Store {
    /// Opens `porthole.db` in the agent's state directory, makes what is missing, and closes the session rows that an
    /// earlier run left open.
    pub async fn open(state_dir: &Path, now: UnixTime) -> Result<Self, OpenError> {
        let boot_id = std::fs::read_to_string(BOOT_ID).map_err(OpenError::BootId)?;
        Self::open_as_of(state_dir, boot_id.trim(), now).await
    }

    async fn open_as_of(state_dir: &Path, boot_id: &str, now: UnixTime) -> Result<Self, OpenError> {
        let place = Place::take(state_dir)?;
        let path = place.database().display().to_string();
        let sqlite = |source| OpenError::of(&path, source);
        let options = SqliteConnectOptions::new()
            .filename(place.database())
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(PATIENCE);
        let pool = || SqlitePoolOptions::new().acquire_timeout(PATIENCE).idle_timeout(None).max_lifetime(None);
        let writer = pool()
            .max_connections(1)
            // On a full or failing disk SQLite rolls back by itself, and sqlx goes on counting that transaction: every
            // later `BEGIN` would fail, until a restart. A connection that counts one although nobody uses it is replaced.
            .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
            .connect_with(options.clone())
            .await
            .map_err(sqlite)?;
        sqlx::migrate!("../migrations/agent")
            .run(&writer)
            .await
            .map_err(|error| OpenError::of_migration(&path, error))?;
        let for_reading = options.read_only(true).pragma("cache_size", SMALL_CACHE);
        let readers = pool().max_connections(READERS).connect_with(for_reading).await.map_err(sqlite)?;
        let newest_token: Option<i64> =
            sqlx::query_scalar("SELECT max(number) FROM tokens").fetch_one(&writer).await.map_err(sqlite)?;
        let mut store = Self {
            writer,
            readers,
            boot_id: boot_id.into(),
            newest_token: Arc::new(AtomicI64::new(newest_token.unwrap_or(0))),
            instruments: instruments::Store::default(),
            left_open: Arc::default(),
            _place: Arc::new(place),
        };
        let left_open = store.close_left_open(now).await.map_err(|error| OpenError::of_closing(&path, error))?;
        store.left_open = left_open.into();
        if !store.left_open.is_empty() {
            tracing::warn!(
                sessions = store.left_open.len(),
                "an earlier run ended without closing these sessions' rows"
            );
        }
        Ok(store)
    }

    /// Whose sessions an earlier run left open, and opening closed.
    pub fn left_open(&self) -> &[Viewer] {
        &self.left_open
    }

    /// Closes the connections; what is under way is finished first.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// What is measured of it.
    pub const fn instruments(&self) -> &instruments::Store {
        &self.instruments
    }

    /// Writes something that changes nothing, to see whether the disk takes it.
    pub async fn try_writing(&self) -> Result<(), Error> {
        let operation = "writing for a trial";
        let mut write = self.write(operation).await?;
        // No release uses this number; it is written even where it stays the same.
        sqlx::query("PRAGMA user_version = 0").execute(&mut *write).await.map_err(failed(operation))?;
        write.commit().await.map_err(failed(operation))
    }

    async fn write(&self, operation: &'static str) -> Result<Write, Error> {
        Write::begin(&self.writer, &self.instruments).await.map_err(failed(operation))
    }
}

/// Names the operation that SQLite's error belongs to.
pub(crate) fn failed(operation: &'static str) -> impl Fn(sqlx::Error) -> Error {
    move |source| Error::Sqlite { operation, source }
}

#[cfg(test)]
mod tests;
