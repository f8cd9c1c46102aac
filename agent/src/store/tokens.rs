//! The rows of tokens, and the one statement that redeems.

use std::sync::atomic::Ordering;

use porthole_shared::binding::BindingHash;
use porthole_shared::clock::UnixTime;
use porthole_shared::names::{ConsoleId, ConsoleName, EdgeName, Requestor, SessionId, TokenId};
use porthole_shared::reason::Reason;
use porthole_shared::token::TokenHash;
use porthole_shared::tunnel::ClientFacts;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::convert::{binding, console, count, parsed, parsed_option, time, value};
use super::{Error, Store, failed};
use crate::audit::Subject;
use crate::callers::CallerName;
use crate::hypervisor::Life;
use crate::sessions::SessionFacts;
use crate::tokens::{Policy, Rights, TokenState, judge};

/// A token to be written down.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Its public name.
    pub id: TokenId,
    /// What its text hashes to.
    pub hash: TokenHash,
    /// What it is for.
    pub console: ConsoleId,
    /// What that is called now.
    pub name: ConsoleName,
    /// The domain's life that it is for.
    pub life: Option<Life>,
    /// Who asked for it.
    pub requestor: Option<Requestor>,
    /// Which caller of the API had it made.
    pub minted_by: Option<CallerName>,
    /// How often it may be used.
    pub policy: Policy,
    /// What its holder may do.
    pub rights: Rights,
    /// Now.
    pub created: UnixTime,
    /// Until when it may be used for the first time.
    pub redeem_by: UnixTime,
    /// Until when it may be used at all.
    pub expires: UnixTime,
}

/// A token's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its public name.
    pub id: TokenId,
    /// What it is for.
    pub console: ConsoleId,
    /// What that was called when it was made.
    pub name: ConsoleName,
    /// Who asked for it.
    pub requestor: Option<Requestor>,
    /// Which caller of the API had it made, if that is known.
    pub minted_by: Option<CallerName>,
    /// What its holder may do.
    pub rights: Rights,
    /// What decides about its use.
    pub state: TokenState,
}

/// A moment in the making of tokens: each is written before it or after it. Times would not tell, because rows count whole
/// seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenMark(pub(super) i64);

/// A wish to use a token.
#[derive(Debug, Clone)]
pub struct Redeem {
    /// Which.
    pub hash: TokenHash,
    /// The client's secret, if it offered one.
    pub binding: Option<BindingHash>,
    /// Now.
    pub now: UnixTime,
    /// How long a session may last, in seconds.
    pub longest_session: i64,
    /// The id of the session, if it will be a new one.
    pub new_session: SessionId,
    /// Who is there.
    pub client: ClientFacts,
    /// By which edge.
    pub edge: EdgeName,
}

/// The rules of [`judge`], where they are atomic. The first use of a bound token brings `expires` forward to the longest
/// session, so that reconnections do not make a session longer.
const REDEEM: &str = "
    UPDATE tokens SET
        uses       = uses + 1,
        first_used = coalesce(first_used, ?1),
        bind_hash  = CASE WHEN policy = 'bound' AND uses = 0 THEN ?2 ELSE bind_hash END,
        expires    = CASE WHEN policy = 'bound' AND uses = 0 THEN min(expires, ?1 + min(?3, coalesce(longest, ?3))) ELSE expires END
    WHERE hash = ?4 AND boot_id = ?5 AND revoked IS NULL AND ?1 < expires
      AND CASE policy
            WHEN 'reusable' THEN ?1 < redeem_by
            WHEN 'once'     THEN uses = 0 AND ?1 < redeem_by
            WHEN 'bound'    THEN (uses = 0 AND ?1 < redeem_by) OR (uses > 0 AND bind_hash IS NOT NULL AND bind_hash = ?2)
          END
    RETURNING *, boot_id = ?5 AS this_boot";

impl TokenRecord {
    /// What the audit says of it.
    pub fn subject(&self) -> Subject {
        let Self { id, console, name, requestor, minted_by, .. } = self;
        Subject {
            token: *id,
            console: *console,
            name: name.clone(),
            requestor: requestor.clone(),
            minted_by: minted_by.clone(),
        }
    }
}

impl Store {
    /// Writes a new token down.
    pub async fn insert_token(&self, token: &NewToken) -> Result<(), Error> {
        let operation = "writing a token";
        let mut write = self.write(operation).await?;
        let number = self.newest_token.load(Ordering::Relaxed) + 1;
        sqlx::query(
            "INSERT INTO tokens (id, hash, boot_id, source, uuid, kind, idx, name, requestor, policy, created, \
             redeem_by, expires, read_only, force, idle, longest, number, minted_by, life, life_worked) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(token.id.to_string())
        .bind(token.hash.0.as_slice())
        .bind(&*self.boot_id)
        .bind(token.console.source.as_str())
        .bind(token.console.uuid.to_string())
        .bind(token.console.kind.as_str())
        .bind(i64::from(token.console.index))
        .bind(token.name.as_str())
        .bind(token.requestor.as_ref().map(Requestor::as_str))
        .bind(token.policy.as_str())
        .bind(token.created.0)
        .bind(token.redeem_by.0)
        .bind(token.expires.0)
        .bind(token.rights.read_only)
        .bind(token.rights.force)
        .bind(token.rights.idle)
        .bind(token.rights.longest)
        .bind(number)
        .bind(token.minted_by.as_ref().map(CallerName::to_string))
        .bind(token.life.map(|life| life.number))
        .bind(token.life.map(worked))
        .execute(&mut *write)
        .await
        .map_err(failed(operation))?;
        // Before others may write: whoever marks the end of a guest from now on means this token, too. Should it not come
        // to be, a number is left out.
        self.newest_token.store(number, Ordering::Relaxed);
        write.commit().await.map_err(failed(operation))
    }

    /// Now.
    pub fn mark_tokens(&self) -> TokenMark {
        TokenMark(self.newest_token.load(Ordering::Relaxed))
    }

    /// At some time: the newest that was made by then.
    pub async fn mark_tokens_at(&self, at: UnixTime) -> Result<TokenMark, Error> {
        let newest: Option<i64> = sqlx::query_scalar("SELECT max(number) FROM tokens WHERE created <= ?")
            .bind(at.0)
            .fetch_one(&self.readers)
            .await
            .map_err(failed("looking up the newest token of a time"))?;
        Ok(TokenMark(newest.unwrap_or_default()))
    }

    /// The token whose text has this hash.
    pub async fn token(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, Error> {
        let row = sqlx::query("SELECT *, boot_id = ?2 AS this_boot FROM tokens WHERE hash = ?1")
            .bind(hash.0.as_slice())
            .bind(&*self.boot_id)
            .fetch_optional(&self.readers)
            .await
            .map_err(failed("looking up a token"))?;
        row.as_ref().map(record).transpose()
    }

    /// The token of this public name, of whatever boot.
    pub async fn token_called(&self, id: TokenId) -> Result<Option<TokenRecord>, Error> {
        let row = sqlx::query("SELECT *, boot_id = ?2 AS this_boot FROM tokens WHERE id = ?1")
            .bind(id.to_string())
            .bind(&*self.boot_id)
            .fetch_optional(&self.readers)
            .await
            .map_err(failed("looking up a token"))?;
        row.as_ref().map(record).transpose()
    }

    /// Uses a token and opens its session, or says why not: one transaction, of which the first statement decides.
    pub async fn redeem(&self, wanted: &Redeem) -> Result<Result<SessionFacts, Reason>, Error> {
        let operation = "redeeming a token";
        let mut write = self.write(operation).await?;
        let row = sqlx::query(REDEEM)
            .bind(wanted.now.0)
            .bind(wanted.binding.as_ref().map(|hash| hash.0.as_slice()))
            .bind(wanted.longest_session)
            .bind(wanted.hash.0.as_slice())
            .bind(&*self.boot_id)
            .fetch_optional(&mut *write)
            .await
            .map_err(failed(operation))?;
        let Some(row) = row else {
            let refusal = self.why_not(&mut write, wanted).await?;
            write.rollback().await.map_err(failed(operation))?;
            return Ok(Err(refusal));
        };
        let token = record(&row)?;
        let opened = super::sessions::open(&mut write, &token, wanted).await?;
        write.commit().await.map_err(failed(operation))?;
        Ok(Ok(opened))
    }

    /// Words a refusal of [`REDEEM`]: within its transaction nothing has changed since.
    async fn why_not(&self, write: &mut SqliteConnection, wanted: &Redeem) -> Result<Reason, Error> {
        let row = sqlx::query("SELECT *, boot_id = ?2 AS this_boot FROM tokens WHERE hash = ?1")
            .bind(wanted.hash.0.as_slice())
            .bind(&*self.boot_id)
            .fetch_optional(&mut *write)
            .await
            .map_err(failed("redeeming a token"))?;
        let Some(row) = row else { return Ok(Reason::UnknownToken) };
        // The two must agree; should they not, the statement has the last word.
        Ok(judge(&record(&row)?.state, wanted.binding, wanted.now).err().unwrap_or(Reason::Internal))
    }

    /// Withdraws a token; false if there is none of this id.
    pub async fn revoke(&self, id: TokenId, reason: Reason, now: UnixTime) -> Result<bool, Error> {
        let operation = "withdrawing a token";
        let mut write = self.write(operation).await?;
        // The first reason stays.
        let done = sqlx::query(
            "UPDATE tokens SET void_reason = CASE WHEN revoked IS NULL THEN ?1 ELSE void_reason END, \
             revoked = coalesce(revoked, ?2) WHERE id = ?3",
        )
        .bind(reason.code())
        .bind(now.0)
        .bind(id.to_string())
        .execute(&mut *write)
        .await
        .map_err(failed(operation))?;
        write.commit().await.map_err(failed(operation))?;
        Ok(done.rows_affected() == 1)
    }

    /// Whether there is a token of this id that this caller had made.
    pub async fn is_minted_by(&self, id: TokenId, caller: &CallerName) -> Result<bool, Error> {
        let row = sqlx::query("SELECT 1 FROM tokens WHERE id = ? AND minted_by = ?")
            .bind(id.to_string())
            .bind(caller.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(failed("looking for who had a token made"))?;
        Ok(row.is_some())
    }

    /// The token with which a client may continue this session, whether it is connected now or not.
    pub async fn token_to_continue(&self, session: SessionId, now: UnixTime) -> Result<Option<TokenId>, Error> {
        let row = sqlx::query(
            "SELECT tokens.id FROM sessions JOIN tokens ON tokens.id = sessions.token_id \
             WHERE sessions.id = ? AND policy = 'bound' AND bind_hash IS NOT NULL AND revoked IS NULL \
               AND expires > ? AND boot_id = ?",
        )
        .bind(session.to_string())
        .bind(now.0)
        .bind(&*self.boot_id)
        .fetch_optional(&self.readers)
        .await
        .map_err(failed("looking for a session's token"))?;
        row.map(|row| parsed(&row, "id")).transpose()
    }

    /// When the last of all tokens expires.
    pub async fn last_expiry(&self) -> Result<Option<UnixTime>, Error> {
        let last: Option<i64> = sqlx::query_scalar("SELECT max(expires) FROM tokens")
            .fetch_one(&self.readers)
            .await
            .map_err(failed("looking for the last expiry"))?;
        Ok(last.map(UnixTime))
    }
}

/// As the database counts it.
pub(super) fn worked(life: Life) -> i64 {
    i64::try_from(life.worked).unwrap_or(i64::MAX)
}

pub(super) fn record(row: &SqliteRow) -> Result<TokenRecord, Error> {
    let void = match value::<Option<i64>>(row, "revoked")? {
        // An earlier release did not write why: then somebody withdrew it.
        Some(_) => Some(parsed_option(row, "void_reason")?.unwrap_or(Reason::Revoked)),
        None => None,
    };
    Ok(TokenRecord {
        id: parsed(row, "id")?,
        console: console(row)?,
        name: parsed(row, "name")?,
        requestor: parsed_option(row, "requestor")?,
        minted_by: parsed_option(row, "minted_by")?,
        rights: Rights {
            read_only: value(row, "read_only")?,
            force: value(row, "force")?,
            idle: value(row, "idle")?,
            longest: value(row, "longest")?,
        },
        state: TokenState {
            policy: parsed(row, "policy")?,
            redeem_by: time(row, "redeem_by")?,
            expires: time(row, "expires")?,
            uses: count(row, "uses")?,
            binding: binding(row, "bind_hash")?,
            void,
            this_boot: value(row, "this_boot")?,
        },
    })
}
