//! The rows of domains that come from elsewhere.

use porthole_shared::clock::UnixTime;
use porthole_shared::names::ConsoleUuid;

use super::convert::parsed;
use super::{Error, Store, failed};

impl Store {
    /// Writes down that there is a sign of one.
    pub(crate) async fn note_arrival(&self, domain: ConsoleUuid, now: UnixTime) -> Result<(), Error> {
        let operation = "noting that a domain comes";
        let mut write = self.write(operation).await?;
        sqlx::query(
            "INSERT INTO arrivals (domain, since) VALUES (?1, ?2) ON CONFLICT (domain) DO UPDATE SET since = ?2",
        )
        .bind(domain.to_string())
        .bind(now.0)
        .execute(&mut *write)
        .await
        .map_err(failed(operation))?;
        write.commit().await.map_err(failed(operation))
    }

    /// All that are not settled.
    pub(crate) async fn arrivals(&self) -> Result<Vec<ConsoleUuid>, Error> {
        let rows = sqlx::query("SELECT domain FROM arrivals ORDER BY since")
            .fetch_all(&self.readers)
            .await
            .map_err(failed("listing the domains that come"))?;
        rows.iter().map(|row| parsed(row, "domain")).collect()
    }

    /// One is settled, or has not come.
    pub(crate) async fn forget_arrival(&self, domain: ConsoleUuid) -> Result<(), Error> {
        let operation = "forgetting that a domain came";
        let mut write = self.write(operation).await?;
        sqlx::query("DELETE FROM arrivals WHERE domain = ?")
            .bind(domain.to_string())
            .execute(&mut *write)
            .await
            .map_err(failed(operation))?;
        write.commit().await.map_err(failed(operation))
    }
}
