//! Tokens by what they have in common: listed, and made void together.

use porthole_shared::clock::UnixTime;
use porthole_shared::names::{ConsoleSource, ConsoleUuid, Requestor, TokenId};
use porthole_shared::reason::Reason;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Sqlite, query::Query};

use super::convert::{parsed, time, value};
use super::tokens::{record, worked};
use super::{Error, Store, TokenMark, TokenRecord, failed};
use crate::callers::CallerName;
use crate::hypervisor::{Life, NameOrUuid};
use crate::sessions::Selector;

/// A token in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedToken {
    /// Its row.
    pub record: TokenRecord,
    /// When it was made.
    pub created: UnixTime,
    /// When it was first used.
    pub first_used: Option<UnixTime>,
}

/// Part of a list of tokens.
#[derive(Debug, Clone, Default)]
pub struct TokenPage {
    /// Which.
    pub which: Selector,
    /// Also those that open nothing any more.
    pub all: bool,
    /// Only those behind this one; lists are in the order of ids.
    pub after: Option<TokenId>,
    /// At most so many.
    pub limit: u32,
}

/// The condition that a [`Selector`] makes, with placeholders 1 to 4 from [`bound`].
macro_rules! selecting {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " WHERE (?1 IS NULL OR uuid = ?1) AND (?2 IS NULL OR name = ?2) AND (?3 IS NULL OR requestor = ?3) ",
            "AND (?4 IS NULL OR minted_by = ?4) ",
            $after
        )
    };
}

/// The rules of [`judge`](crate::tokens::judge) for a client that has the right secret.
const LIST: &str = selecting!(
    "SELECT *, boot_id = ?5 AS this_boot FROM tokens",
    "AND (?8 IS NULL OR id > ?8)
     AND (?6 OR (revoked IS NULL AND expires > ?7 AND boot_id = ?5 AND CASE
        WHEN uses > 0 AND policy = 'bound' THEN bind_hash IS NOT NULL
        WHEN uses > 0 AND policy = 'once' THEN FALSE
        ELSE redeem_by > ?7 END))
     ORDER BY id LIMIT ?9"
);

const REVOKE: &str = selecting!(
    "UPDATE tokens SET revoked = ?5, void_reason = ?6",
    "AND revoked IS NULL AND expires > ?5 AND boot_id = ?7 AND (NOT ?8 OR uses > 0)"
);

fn bound(statement: &'static str, which: &Selector) -> Query<'static, Sqlite, SqliteArguments> {
    let (uuid, name) = match &which.console {
        Some(NameOrUuid::Uuid(uuid)) => (Some(uuid.to_string()), None),
        Some(NameOrUuid::Name(name)) => (None, Some(name.as_str().to_owned())),
        None => (None, None),
    };
    let requestor = which.requestor.as_ref().map(Requestor::as_str).map(str::to_owned);
    let minted_by = which.minted_by.as_ref().map(CallerName::to_string);
    sqlx::query(statement).bind(uuid).bind(name).bind(requestor).bind(minted_by)
}

impl Store {
    /// Some tokens, in the order of their ids.
    pub async fn tokens(&self, page: &TokenPage, now: UnixTime) -> Result<Vec<ListedToken>, Error> {
        let rows = bound(LIST, &page.which)
            .bind(self.boot_id.to_string())
            .bind(page.all)
            .bind(now.0)
            .bind(page.after.map(|id| id.to_string()))
            .bind(page.limit)
            .fetch_all(&self.readers)
            .await
            .map_err(failed("listing tokens"))?;
        rows.iter().map(listed).collect()
    }

    /// Withdraws all that are meant, or those of them that ever opened a session; how many could still have been used.
    pub async fn revoke_all_of(&self, which: &Selector, only_used: bool, now: UnixTime) -> Result<u64, Error> {
        let operation = "withdrawing tokens";
        let mut write = self.write(operation).await?;
        let done = bound(REVOKE, which)
            .bind(now.0)
            .bind(Reason::Revoked.code())
            .bind(self.boot_id.to_string())
            .bind(only_used)
            .execute(&mut *write)
            .await
            .map_err(failed(operation))?;
        write.commit().await.map_err(failed(operation))?;
        Ok(done.rows_affected())
    }

    /// The domains with tokens that are good for something.
    pub async fn domains_with_tokens(&self, now: UnixTime) -> Result<Vec<ConsoleUuid>, Error> {
        let rows = sqlx::query(
            "SELECT DISTINCT uuid FROM tokens WHERE source = ?1 AND boot_id = ?2 AND revoked IS NULL AND expires > ?3",
        )
        .bind(ConsoleSource::Libvirt.as_str())
        .bind(&*self.boot_id)
        .bind(now.0)
        .fetch_all(&self.readers)
        .await
        .map_err(failed("listing domains with tokens"))?;
        rows.iter().map(|row| parsed(row, "uuid")).collect()
    }

    /// Makes the tokens of a domain void that were made until then; how many there were.
    pub async fn void_domain(
        &self,
        uuid: ConsoleUuid,
        reason: Reason,
        until: TokenMark,
        now: UnixTime,
    ) -> Result<u64, Error> {
        let operation = "voiding a domain's tokens";
        let mut write = self.write(operation).await?;
        let done = sqlx::query(
            "UPDATE tokens SET revoked = ?1, void_reason = ?2 \
             WHERE uuid = ?3 AND source = ?4 AND revoked IS NULL AND number <= ?5",
        )
        .bind(now.0)
        .bind(reason.code())
        .bind(uuid.to_string())
        .bind(ConsoleSource::Libvirt.as_str())
        .bind(until.0)
        .execute(&mut *write)
        .await
        .map_err(failed(operation))?;
        write.commit().await.map_err(failed(operation))?;
        Ok(done.rows_affected())
    }
}

impl Store {
    /// As [`Self::void_domain`], of those that were made in an earlier life of the domain than this.
    pub async fn void_earlier_lives(
        &self,
        uuid: ConsoleUuid,
        life: Life,
        reason: Reason,
        until: TokenMark,
        now: UnixTime,
    ) -> Result<u64, Error> {
        let operation = "voiding the tokens of a domain's earlier lives";
        let mut write = self.write(operation).await?;
        // A token of an earlier release does not say.
        let done = sqlx::query(
            "UPDATE tokens SET revoked = ?1, void_reason = ?2 \
             WHERE uuid = ?3 AND source = ?4 AND revoked IS NULL AND number <= ?5 \
               AND (life <> ?6 OR (?7 > 0 AND life_worked > ?7))",
        )
        .bind(now.0)
        .bind(reason.code())
        .bind(uuid.to_string())
        .bind(ConsoleSource::Libvirt.as_str())
        .bind(until.0)
        .bind(life.number)
        .bind(worked(life))
        .execute(&mut *write)
        .await
        .map_err(failed(operation))?;
        write.commit().await.map_err(failed(operation))?;
        Ok(done.rows_affected())
    }
}

fn listed(row: &SqliteRow) -> Result<ListedToken, Error> {
    let first_used: Option<i64> = value(row, "first_used")?;
    Ok(ListedToken { record: record(row)?, created: time(row, "created")?, first_used: first_used.map(UnixTime) })
}
