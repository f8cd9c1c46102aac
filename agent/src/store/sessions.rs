//! The rows of sessions: opened and continued by redeeming, closed by the end of their last connection.

use porthole_shared::clock::UnixTime;
use porthole_shared::names::{ConsoleKind, SessionId};
use porthole_shared::reason::Reason;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::convert::{console, count, parsed, parsed_option, signed, time, value};
use super::{Error, Redeem, Store, TokenRecord, failed};
use crate::audit::{Subject, Viewer};
use crate::sessions::SessionFacts;
use crate::tokens::Policy;

/// A connection's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionEnd {
    /// Its session.
    pub id: SessionId,
    /// When.
    pub ended: UnixTime,
    /// Why.
    pub reason: Reason,
    /// What it carried from the client.
    pub bytes_in: u64,
    /// What it carried to the client.
    pub bytes_out: u64,
}

/// Another connection to the session that the subquery finds, by the token's id.
macro_rules! continuing {
    ($session:literal) => {
        concat!(
            "UPDATE sessions SET open = open + 1, connections = connections + 1, ended = NULL, reason = NULL, \
                 client_address = ?1, edge = ?2, edge_instance = ?3 \
             WHERE id = (SELECT id FROM sessions WHERE token_id = ?4 ",
            $session,
            " LIMIT 1) RETURNING id, started, bytes_in, bytes_out, open"
        )
    };
}

/// How the session that a token's next connection belongs to is found, if it may have one already. However many a link
/// for many had, an opening looks at one: it has the turn to write meanwhile.
fn to_continue(token: &TokenRecord) -> Option<&'static str> {
    match (token.state.policy, token.console.kind) {
        // The one that it has, which goes on with each reconnection.
        (Policy::Bound, _) => Some(continuing!("ORDER BY started DESC")),
        // Each channel is a connection of its own: those that come while the session is open belong to it.
        (Policy::Once | Policy::Reusable, ConsoleKind::Spice) => Some(continuing!("AND open > 0")),
        (Policy::Once | Policy::Reusable, ConsoleKind::Vnc | ConsoleKind::Serial | ConsoleKind::Tcp) => None,
    }
}

/// Opens the session of a token that has just been redeemed, or continues the one that it has.
pub(super) async fn open(
    write: &mut SqliteConnection,
    token: &TokenRecord,
    wanted: &Redeem,
) -> Result<SessionFacts, Error> {
    let operation = "opening a session";
    let row = match to_continue(token) {
        Some(statement) => sqlx::query(statement)
            .bind(wanted.client.address.to_string())
            .bind(wanted.edge.as_str())
            .bind(wanted.client.edge_instance.to_string())
            .bind(token.id.to_string())
            .fetch_optional(&mut *write)
            .await
            .map_err(failed(operation))?,
        None => None,
    };
    let (id, started, bytes_in, bytes_out, connections) = if let Some(row) = row {
        let bytes = (count(&row, "bytes_in")?, count(&row, "bytes_out")?);
        (parsed(&row, "id")?, time(&row, "started")?, bytes.0, bytes.1, count(&row, "open")?)
    } else {
        insert(write, token, wanted).await.map_err(failed(operation))?;
        (wanted.new_session, wanted.now, 0, 0, 1)
    };
    let longest = token.rights.longest.map_or(wanted.longest_session, |longest| longest.min(wanted.longest_session));
    // Should the clock have been set back since it began, it does not last longer for that.
    let until = started.min(wanted.now).plus(longest).min(token.state.expires);
    Ok(SessionFacts {
        id,
        token: token.id,
        console: token.console,
        name: token.name.clone(),
        requestor: token.requestor.clone(),
        minted_by: token.minted_by.clone(),
        client_address: wanted.client.address.to_string(),
        edge: wanted.edge.clone(),
        started,
        until,
        rights: token.rights,
        connections,
        first_use: token.state.uses == 1,
        bytes_in,
        bytes_out,
    })
}

async fn insert(write: &mut SqliteConnection, token: &TokenRecord, wanted: &Redeem) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO sessions (id, token_id, source, uuid, kind, idx, name, requestor, client_address, edge, \
         edge_instance, started, open, connections) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 1)",
    )
    .bind(wanted.new_session.to_string())
    .bind(token.id.to_string())
    .bind(token.console.source.as_str())
    .bind(token.console.uuid.to_string())
    .bind(token.console.kind.as_str())
    .bind(i64::from(token.console.index))
    .bind(token.name.as_str())
    .bind(token.requestor.as_ref().map(porthole_shared::names::Requestor::as_str))
    .bind(wanted.client.address.to_string())
    .bind(wanted.edge.as_str())
    .bind(wanted.client.edge_instance.to_string())
    .bind(wanted.now.0)
    .execute(&mut *write)
    .await
    .map(drop)
}

impl Store {
    /// Writes a connection's end; with the last open connection the session ends too. How many it has left.
    pub async fn end_connection(&self, end: &SessionEnd) -> Result<u64, Error> {
        let operation = "closing a session";
        let mut write = self.write(operation).await?;
        let row = sqlx::query(
            "UPDATE sessions SET open = open - 1, bytes_in = bytes_in + ?1, bytes_out = bytes_out + ?2, \
                 ended = CASE WHEN open = 1 THEN ?3 END, reason = CASE WHEN open = 1 THEN ?4 END \
             WHERE id = ?5 AND open > 0 RETURNING open",
        )
        .bind(signed(end.bytes_in))
        .bind(signed(end.bytes_out))
        .bind(end.ended.0)
        .bind(end.reason.code())
        .bind(end.id.to_string())
        .fetch_optional(&mut *write)
        .await
        .map_err(failed(operation))?;
        let left = row.map_or(Ok(0), |row| count(&row, "open"))?;
        if end.reason == Reason::Idle {
            // Whoever comes upon the window that somebody left must not go on by reconnecting. A link for many stays.
            sqlx::query(
                "UPDATE tokens SET revoked = ?1, void_reason = ?2 WHERE revoked IS NULL AND policy = 'bound' \
                 AND id = (SELECT token_id FROM sessions WHERE id = ?3)",
            )
            .bind(end.ended.0)
            .bind(end.reason.code())
            .bind(end.id.to_string())
            .execute(&mut *write)
            .await
            .map_err(failed(operation))?;
        }
        write.commit().await.map_err(failed(operation))?;
        Ok(left)
    }

    /// Closes the rows of sessions whose agent has died; says whose they were.
    pub(super) async fn close_left_open(&self, now: UnixTime) -> Result<Vec<Viewer>, Error> {
        let operation = "closing left-over sessions";
        let mut write = self.write(operation).await?;
        let rows = sqlx::query(
            "UPDATE sessions SET open = 0, ended = ?, reason = ? WHERE open > 0 \
             RETURNING *, (SELECT minted_by FROM tokens WHERE tokens.id = token_id) AS minted_by",
        )
        .bind(now.0)
        .bind(Reason::AgentRestarted.code())
        .fetch_all(&mut *write)
        .await
        .map_err(failed(operation))?;
        let viewers = rows.iter().map(viewer).collect::<Result<_, _>>()?;
        write.commit().await.map_err(failed(operation))?;
        Ok(viewers)
    }
}

fn viewer(row: &SqliteRow) -> Result<Viewer, Error> {
    let subject = Subject {
        token: parsed(row, "token_id")?,
        console: console(row)?,
        name: parsed(row, "name")?,
        requestor: parsed_option(row, "requestor")?,
        minted_by: parsed_option(row, "minted_by")?,
    };
    Ok(Viewer {
        subject,
        session: parsed(row, "id")?,
        client: value(row, "client_address")?,
        edge: parsed(row, "edge")?,
    })
}
