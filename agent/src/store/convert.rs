//! Between SQLite's few types and ours.

use std::str::FromStr;

use porthole_shared::binding::BindingHash;
use porthole_shared::clock::UnixTime;
use porthole_shared::names::ConsoleId;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row as _, Sqlite, Type};

use super::Error;

/// A column of a type that SQLite has.
pub(super) fn value<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(
    row: &'r SqliteRow,
    column: &'static str,
) -> Result<T, Error> {
    row.try_get(column).map_err(|_| Error::Foreign { column })
}

/// A text column as the type that it was written from.
pub(super) fn parsed<T: FromStr>(row: &SqliteRow, column: &'static str) -> Result<T, Error> {
    let text: &str = row.try_get(column).map_err(|_| Error::Foreign { column })?;
    text.parse().map_err(|_| Error::Foreign { column })
}

/// As [`parsed`], where there may be nothing.
pub(super) fn parsed_option<T: FromStr>(row: &SqliteRow, column: &'static str) -> Result<Option<T>, Error> {
    let text: Option<&str> = row.try_get(column).map_err(|_| Error::Foreign { column })?;
    text.map(|text| text.parse().map_err(|_| Error::Foreign { column })).transpose()
}

/// A count that is never negative.
pub(super) fn count(row: &SqliteRow, column: &'static str) -> Result<u64, Error> {
    let number: i64 = row.try_get(column).map_err(|_| Error::Foreign { column })?;
    u64::try_from(number).map_err(|_| Error::Foreign { column })
}

/// A time.
pub(super) fn time(row: &SqliteRow, column: &'static str) -> Result<UnixTime, Error> {
    row.try_get(column).map(UnixTime).map_err(|_| Error::Foreign { column })
}

/// Whose a token is, if anybody's.
pub(super) fn binding(row: &SqliteRow, column: &'static str) -> Result<Option<BindingHash>, Error> {
    let bytes: Option<&[u8]> = row.try_get(column).map_err(|_| Error::Foreign { column })?;
    bytes.map(|bytes| bytes.try_into().map(BindingHash).map_err(|_| Error::Foreign { column })).transpose()
}

/// The four columns of a console.
pub(super) fn console(row: &SqliteRow) -> Result<ConsoleId, Error> {
    let index: i64 = row.try_get("idx").map_err(|_| Error::Foreign { column: "idx" })?;
    Ok(ConsoleId {
        source: parsed(row, "source")?,
        uuid: parsed(row, "uuid")?,
        kind: parsed(row, "kind")?,
        index: u8::try_from(index).map_err(|_| Error::Foreign { column: "idx" })?,
    })
}

/// As a database counts.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
