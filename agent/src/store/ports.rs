//! The rows of ports.

use std::collections::HashSet;

use porthole_shared::clock::UnixTime;
use porthole_shared::names::ConsoleUuid;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteQueryResult, SqliteRow};
use sqlx::{Row as _, Sqlite};

use super::convert::{parsed, parsed_option, time, value};
use super::write::Write;
use super::{Error, Store, failed};
use crate::ports::{Change, Choice, Device, Owner, PortRow, PortState, Taken, Use};

impl Store {
    /// All ports that are not free now, in their order.
    pub async fn ports(&self, now: UnixTime) -> Result<Vec<PortRow>, Error> {
        let rows = sqlx::query("SELECT * FROM ports WHERE state <> 'foreign' OR expires > ? ORDER BY port")
            .bind(now.0)
            .fetch_all(&self.readers)
            .await
            .map_err(failed("listing ports"))?;
        rows.iter().map(record).collect()
    }

    /// Those of a domain.
    pub async fn ports_of(&self, domain: ConsoleUuid) -> Result<Vec<PortRow>, Error> {
        let rows = sqlx::query("SELECT * FROM ports WHERE domain = ?")
            .bind(domain.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(failed("looking up a domain's ports"))?;
        rows.iter().map(record).collect()
    }

    /// The numbers of all that are not free now.
    pub(crate) async fn taken_ports(&self, now: UnixTime) -> Result<Taken, Error> {
        // As one text: ten thousand rows take much longer on their way than what is in them.
        let row = sqlx::query("SELECT group_concat(port) AS port FROM ports WHERE state <> 'foreign' OR expires > ?")
            .bind(now.0)
            .fetch_one(&self.readers)
            .await
            .map_err(failed("looking up which ports are taken"))?;
        let all: Option<&str> = row.try_get("port").map_err(|_| Error::Foreign { column: "port" })?;
        let number = |text: &str| text.parse().map_err(|_| Error::Foreign { column: "port" });
        all.into_iter().flat_map(|all| all.split(',')).map(number).collect()
    }

    /// Gives a domain all of these ports, or, if another has got one of them meanwhile, none: then false.
    pub(crate) async fn lease_ports(
        &self,
        domain: ConsoleUuid,
        choices: &[Choice],
        now: UnixTime,
        expires: UnixTime,
    ) -> Result<bool, Error> {
        let operation = "giving ports to a domain";
        let mut write = self.write(operation).await?;
        for Choice { device, port, is_new } in choices {
            let query = if *is_new {
                sqlx::query("DELETE FROM ports WHERE port = ? AND state = 'foreign' AND expires <= ?")
                    .bind(port)
                    .bind(now.0)
                    .execute(&mut *write)
                    .await
                    .map_err(failed(operation))?;
                // libvirt knows the domain, if it has another port for good.
                sqlx::query(
                    "INSERT OR IGNORE INTO ports (port, domain, device, adopted, since, state, expires) \
                     SELECT ?1, ?2, ?3, 0, ?4, iif(known, 'leased', 'pending'), iif(known, NULL, ?5) \
                     FROM (SELECT EXISTS (SELECT 1 FROM ports WHERE domain = ?2 AND state = 'leased') AS known)",
                )
            } else {
                sqlx::query(
                    "UPDATE ports SET adopted = 0, since = iif(state = 'releasing', ?4, since), \
                         expires = iif(state = 'leased', NULL, ?5), state = iif(state = 'leased', 'leased', 'pending') \
                     WHERE port = ?1 AND domain = ?2 AND device = ?3",
                )
            };
            let done = query
                .bind(port)
                .bind(domain.to_string())
                .bind(device.to_string())
                .bind(now.0)
                .bind(expires.0)
                .execute(&mut *write)
                .await
                .map_err(failed(operation))?;
            if done.rows_affected() != 1 {
                write.rollback().await.map_err(failed(operation))?;
                return Ok(false);
            }
        }
        write.commit().await.map_err(failed(operation))?;
        Ok(true)
    }

    /// Something else was found on these ports, which were free.
    pub(crate) async fn note_foreign_ports(
        &self,
        ports: &[u16],
        now: UnixTime,
        expires: UnixTime,
    ) -> Result<(), Error> {
        self.each_port("noting that ports are held", ports, |port| {
            sqlx::query(
                "INSERT INTO ports (port, state, adopted, since, expires) VALUES (?1, 'foreign', 0, ?2, ?3) \
                 ON CONFLICT (port) DO UPDATE SET since = ?2, expires = ?3 WHERE state = 'foreign'",
            )
            .bind(port)
            .bind(now.0)
            .bind(expires.0)
        })
        .await
    }

    /// Something listens on ports of a domain that seems not to run. They are its own only for as long as it is found to
    /// use them; where a device has such a one already, this one is somebody else's.
    pub(crate) async fn doubt_ports(
        &self,
        domain: ConsoleUuid,
        ports: &[u16],
        now: UnixTime,
        expires: UnixTime,
    ) -> Result<(), Error> {
        let operation = "doubting a domain's ports";
        let mut write = self.write(operation).await?;
        let statements = ports.iter().flat_map(|port| {
            [
                "UPDATE OR IGNORE ports SET adopted = 1, state = 'leased', since = ?3, expires = NULL \
                 WHERE port = ?1 AND domain = ?2 AND adopted = 0",
                "UPDATE ports SET state = 'foreign', domain = NULL, device = NULL, since = ?3, expires = ?4 \
                 WHERE port = ?1 AND domain = ?2 AND adopted = 0",
            ]
            .map(|sql| sqlx::query(sql).bind(*port).bind(domain.to_string()).bind(now.0).bind(expires.0))
        });
        in_turn(&mut write, operation, statements).await?;
        write.commit().await.map_err(failed(operation))
    }

    /// Does the same to each of these ports, or nothing to any.
    async fn each_port(
        &self,
        operation: &'static str,
        ports: &[u16],
        statement: impl Fn(u16) -> Query<'static, Sqlite, SqliteArguments>,
    ) -> Result<(), Error> {
        let mut write = self.write(operation).await?;
        in_turn(&mut write, operation, ports.iter().map(|port| statement(*port))).await?;
        write.commit().await.map_err(failed(operation))
    }

    /// A domain runs on these ports: those of them that were only found in use are what it asked for, where it has been
    /// given another one for the same device; that one is free. How many rows changed.
    pub(crate) async fn return_to_ports(&self, domain: ConsoleUuid, uses: &[Use], now: UnixTime) -> Result<u64, Error> {
        let operation = "returning to a domain's ports";
        let mut write = self.write(operation).await?;
        let statements = uses.iter().flat_map(|Use { device, port }| {
            [
                "DELETE FROM ports WHERE domain = ?1 AND device = ?2 AND adopted = 0 \
                 AND EXISTS (SELECT 1 FROM ports WHERE port = ?3 AND domain = ?1 AND device = ?2 AND adopted = 1)",
                "UPDATE ports SET adopted = 0, since = ?4 \
                 WHERE port = ?3 AND domain = ?1 AND device = ?2 AND adopted = 1 AND changes() > 0",
            ]
            .map(|sql| sqlx::query(sql).bind(domain.to_string()).bind(device.to_string()).bind(*port).bind(now.0))
        });
        let changed = in_turn(&mut write, operation, statements).await?;
        write.commit().await.map_err(failed(operation))?;
        Ok(changed)
    }

    /// Marks a domain's ports as to be freed; how many there are.
    pub(crate) async fn release_ports(
        &self,
        domain: ConsoleUuid,
        now: UnixTime,
        expires: UnixTime,
    ) -> Result<u64, Error> {
        let operation = "releasing a domain's ports";
        let mut write = self.write(operation).await?;
        let done = sqlx::query(
            "UPDATE ports SET since = iif(state = 'releasing', since, ?1), \
                 expires = iif(state = 'releasing', expires, ?2), state = 'releasing' WHERE domain = ?3",
        )
        .bind(now.0)
        .bind(expires.0)
        .bind(domain.to_string())
        .execute(&mut *write)
        .await
        .map_err(failed(operation))?;
        write.commit().await.map_err(failed(operation))?;
        Ok(done.rows_affected())
    }

    /// Turns a domain's ports that were asked for, but for those of these devices, into ones that were found in use; how
    /// many rows changed.
    pub(crate) async fn keep_ports_only(
        &self,
        domain: ConsoleUuid,
        devices: &[Device],
        now: UnixTime,
    ) -> Result<u64, Error> {
        let operation = "giving up ports of a domain";
        let mut write = self.write(operation).await?;
        let kept: HashSet<_> = devices.iter().map(ToString::to_string).collect();
        let asked: Vec<String> = sqlx::query_scalar("SELECT device FROM ports WHERE domain = ? AND adopted = 0")
            .bind(domain.to_string())
            .fetch_all(&mut *write)
            .await
            .map_err(failed(operation))?;
        let given_up = asked.into_iter().filter(|device| !kept.contains(device));
        let statements = given_up.flat_map(|device| {
            [
                // The device was found on another port: that one is all that it may be using.
                "DELETE FROM ports WHERE domain = ?1 AND device = ?2 AND adopted = 0 \
                 AND EXISTS (SELECT 1 FROM ports WHERE domain = ?1 AND device = ?2 AND adopted = 1)",
                "UPDATE ports SET adopted = 1, state = 'leased', since = ?3, expires = NULL \
                 WHERE domain = ?1 AND device = ?2 AND adopted = 0",
            ]
            .map(|sql| sqlx::query(sql).bind(domain.to_string()).bind(device.clone()).bind(now.0))
        });
        let changed = in_turn(&mut write, operation, statements).await?;
        write.commit().await.map_err(failed(operation))?;
        Ok(changed)
    }

    /// Takes these steps, but for those whose rows have changed since `began`; how many rows changed. Foreign ports whose
    /// time is over are forgotten with them.
    pub(crate) async fn change_ports(
        &self,
        changes: &[Change],
        began: UnixTime,
        now: UnixTime,
        grace: UnixTime,
    ) -> Result<u64, Error> {
        let operation = "bringing the table of ports up to date";
        if changes.is_empty() {
            return Ok(0);
        }
        let mut write = self.write(operation).await?;
        let mut changed = 0;
        sqlx::query("DELETE FROM ports WHERE state = 'foreign' AND expires <= ?")
            .bind(now.0)
            .execute(&mut *write)
            .await
            .map_err(failed(operation))?;
        // What becomes free comes first: a device that moved has one row before and one after.
        let mut ordered = changes.to_vec();
        ordered.sort_by_key(|change| !matches!(change, Change::Free(..)));
        for change in ordered {
            let (statement, port, owner) = match change {
                Change::Free(port, owner) => (
                    "DELETE FROM ports WHERE port = ?1 AND domain = ?2 AND device = ?3 \
                     AND (expires <= ?4 OR (adopted = 1 AND since <= ?4))",
                    port,
                    owner,
                ),
                Change::Doom(port, owner) => (
                    "UPDATE ports SET state = 'releasing', since = ?5, expires = ?6 \
                     WHERE port = ?1 AND domain = ?2 AND device = ?3 AND state = 'leased' AND since <= ?4",
                    port,
                    owner,
                ),
                Change::Confirm(port, owner) => (
                    "UPDATE ports SET state = 'leased', since = ?5, expires = NULL \
                     WHERE port = ?1 AND domain = ?2 AND device = ?3 AND state IN ('pending', 'releasing') \
                     AND since <= ?4",
                    port,
                    owner,
                ),
                Change::Adopt(port, owner) => {
                    sqlx::query("DELETE FROM ports WHERE port = ? AND state = 'foreign'")
                        .bind(port)
                        .execute(&mut *write)
                        .await
                        .map_err(failed(operation))?;
                    (
                        "INSERT OR IGNORE INTO ports (port, domain, device, state, adopted, since) \
                         VALUES (?1, ?2, ?3, 'leased', 1, ?5)",
                        port,
                        owner,
                    )
                }
            };
            let done: SqliteQueryResult = sqlx::query(statement)
                .bind(port)
                .bind(owner.domain.to_string())
                .bind(owner.device.to_string())
                .bind(began.0)
                .bind(now.0)
                .bind(grace.0)
                .execute(&mut *write)
                .await
                .map_err(failed(operation))?;
            changed += done.rows_affected();
        }
        write.commit().await.map_err(failed(operation))?;
        Ok(changed)
    }
}

fn record(row: &SqliteRow) -> Result<PortRow, Error> {
    let domain: Option<ConsoleUuid> = parsed_option(row, "domain")?;
    let device = parsed_option(row, "device")?;
    let state: PortState = parsed(row, "state")?;
    let expires: Option<i64> = value(row, "expires")?;
    let port: i64 = value(row, "port")?;
    Ok(PortRow {
        port: u16::try_from(port).map_err(|_| Error::Foreign { column: "port" })?,
        state,
        owner: domain.zip(device).map(|(domain, device)| Owner { domain, device }),
        adopted: value(row, "adopted")?,
        since: time(row, "since")?,
        expires: expires.map(UnixTime),
    })
}

/// Takes one statement after the other; how many rows changed.
async fn in_turn<'q>(
    write: &mut Write,
    operation: &'static str,
    statements: impl Iterator<Item = Query<'q, Sqlite, SqliteArguments>>,
) -> Result<u64, Error> {
    let mut changed = 0;
    for statement in statements {
        changed += statement.execute(&mut **write).await.map_err(failed(operation))?.rows_affected();
    }
    Ok(changed)
}
