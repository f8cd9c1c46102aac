//! The rows of API tokens.

use porthole_shared::clock::UnixTime;
use porthole_shared::names::ApiTokenId;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::convert::{parsed, time};
use super::{Error, Store, failed};
use crate::callers::{ApiToken, ApiTokenHash};

impl Store {
    /// Writes a new one down, after forgetting those that expired before `forgotten`; false if there are `most` already.
    pub async fn insert_api_token(
        &self,
        token: &ApiToken,
        hash: ApiTokenHash,
        most: u32,
        forgotten: UnixTime,
    ) -> Result<bool, Error> {
        let operation = "writing an API token";
        let mut write = self.write(operation).await?;
        sqlx::query("DELETE FROM api_tokens WHERE expires < ?")
            .bind(forgotten.0)
            .execute(&mut *write)
            .await
            .map_err(failed(operation))?;
        let done = sqlx::query(
            "INSERT INTO api_tokens (id, hash, name, role, created, created_by, expires) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE (SELECT count(*) FROM api_tokens) < ?8",
        )
        .bind(token.id.to_string())
        .bind(hash.0.as_slice())
        .bind(token.name.as_str())
        .bind(token.role.as_str())
        .bind(token.created.0)
        .bind(token.created_by.to_string())
        .bind(token.expires.map(|expires| expires.0))
        .bind(most)
        .execute(&mut *write)
        .await
        .map_err(failed(operation))?;
        write.commit().await.map_err(failed(operation))?;
        Ok(done.rows_affected() == 1)
    }

    /// The one whose text has this hash.
    pub async fn api_token(&self, hash: ApiTokenHash) -> Result<Option<ApiToken>, Error> {
        let row = sqlx::query("SELECT * FROM api_tokens WHERE hash = ?")
            .bind(hash.0.as_slice())
            .fetch_optional(&self.readers)
            .await
            .map_err(failed("looking up an API token"))?;
        row.as_ref().map(record).transpose()
    }

    /// The one of this id.
    pub async fn api_token_by_id(&self, id: ApiTokenId) -> Result<Option<ApiToken>, Error> {
        let row = sqlx::query("SELECT * FROM api_tokens WHERE id = ?")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(failed("looking up an API token"))?;
        row.as_ref().map(record).transpose()
    }

    /// All, in the order in which they were made.
    pub async fn api_tokens(&self) -> Result<Vec<ApiToken>, Error> {
        let rows = sqlx::query("SELECT * FROM api_tokens ORDER BY created, id")
            .fetch_all(&self.readers)
            .await
            .map_err(failed("listing API tokens"))?;
        rows.iter().map(record).collect()
    }

    /// Removes one, and says which it was.
    pub async fn remove_api_token(&self, id: ApiTokenId) -> Result<Option<ApiToken>, Error> {
        let operation = "withdrawing an API token";
        let mut write = self.write(operation).await?;
        let row = sqlx::query("DELETE FROM api_tokens WHERE id = ? RETURNING *")
            .bind(id.to_string())
            .fetch_optional(&mut *write)
            .await
            .map_err(failed(operation))?;
        write.commit().await.map_err(failed(operation))?;
        row.as_ref().map(record).transpose()
    }

    /// Notes that it was used now, unless a use after `recent` is noted.
    pub async fn note_api_token_use(&self, id: ApiTokenId, now: UnixTime, recent: UnixTime) -> Result<(), Error> {
        let operation = "noting the use of an API token";
        let mut write = self.write(operation).await?;
        sqlx::query("UPDATE api_tokens SET last_used = ?1 WHERE id = ?2 AND (last_used IS NULL OR last_used <= ?3)")
            .bind(now.0)
            .bind(id.to_string())
            .bind(recent.0)
            .execute(&mut *write)
            .await
            .map_err(failed(operation))?;
        write.commit().await.map_err(failed(operation))
    }
}

fn record(row: &SqliteRow) -> Result<ApiToken, Error> {
    let option = |column: &'static str| -> Result<Option<UnixTime>, Error> {
        let seconds: Option<i64> = row.try_get(column).map_err(|_| Error::Foreign { column })?;
        Ok(seconds.map(UnixTime))
    };
    Ok(ApiToken {
        id: parsed(row, "id")?,
        name: parsed(row, "name")?,
        role: parsed(row, "role")?,
        created: time(row, "created")?,
        created_by: parsed(row, "created_by")?,
        expires: option("expires")?,
        last_used: option("last_used")?,
    })
}
