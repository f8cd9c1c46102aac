//! A transaction that writes, and how long it took.

use std::ops::{Deref, DerefMut};
use std::time::Instant;

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Sqlite, Transaction};

use crate::metrics::instruments;

/// The turn to write. Dropped, or rolled back, it has changed nothing.
#[derive(Debug)]
pub(super) struct Write {
    transaction: Transaction<'static, Sqlite>,
    since: Instant,
    counted: Counted,
}

/// Counts a transaction as failed, unless it is told otherwise.
#[derive(Debug)]
struct Counted(Option<instruments::Store>);

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(instruments) = &self.0 {
            instruments.failed();
        }
    }
}

impl Write {
    /// Waits for the turn.
    pub(super) async fn begin(writer: &SqlitePool, instruments: &instruments::Store) -> Result<Self, sqlx::Error> {
        let (since, counted) = (Instant::now(), Counted(Some(instruments.clone())));
        let transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
        instruments.waited(since.elapsed());
        Ok(Self { transaction, since, counted })
    }

    /// Keeps what was written.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.transaction.commit().await?;
        if let Some(instruments) = self.counted.0.take() {
            instruments.written(self.since.elapsed());
        }
        Ok(())
    }

    /// Decides against it, which is no failure.
    pub(super) async fn rollback(mut self) -> Result<(), sqlx::Error> {
        self.counted.0.take();
        self.transaction.rollback().await
    }
}

impl Deref for Write {
    type Target = SqliteConnection;
    fn deref(&self) -> &SqliteConnection {
        &self.transaction
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }
}
