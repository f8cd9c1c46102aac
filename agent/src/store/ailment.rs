//! What ails a database that SQLite cannot use, where an operator can do something about it. Told in the same words
//! wherever it shows: at the start, in an answer of the API, by `/readyz`.

use std::error::Error as StdError;

use super::Error;

/// SQLite's primary result codes.
const BUSY: i32 = 5;
const READONLY: i32 = 8;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const NOTADB: i32 = 26;
/// Its extended code where the index of the write-ahead log cannot grow, which is for want of room.
const IOERR_SHMSIZE: i32 = 0x130a;

/// What is wrong with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ailment {
    /// There is no room on its disk. This ends by itself once somebody makes some.
    Full,
    /// It may not be written.
    ReadOnly,
    /// What is in it is not what SQLite wrote.
    Damaged,
    /// Its disk fails.
    Failing,
}

impl Ailment {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Full, Self::ReadOnly, Self::Damaged, Self::Failing];

    /// What ails it, by SQLite's words for why something failed; `None` where that is no ailment.
    pub(super) fn of(error: &sqlx::Error) -> Option<Self> {
        let code = result_code(error)?;
        match (code & 0xff, code) {
            (FULL, _) | (_, IOERR_SHMSIZE) => Some(Self::Full),
            (READONLY, _) => Some(Self::ReadOnly),
            (CORRUPT | NOTADB, _) => Some(Self::Damaged),
            (IOERR, _) => Some(Self::Failing),
            _ => None,
        }
    }

    /// The word for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Full => "disk_full",
            Self::ReadOnly => "database_read_only",
            Self::Damaged => "database_damaged",
            Self::Failing => "disk_failing",
        }
    }

    /// What is wrong and what to do, for people.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Full => "there is no room on the disk of [node] state_dir: make some",
            Self::ReadOnly => {
                "the database in [node] state_dir is read-only: see whether its file system is mounted so \
                 (`findmnt -T` says, the kernel's log says why) and whether porthole.db belongs to the agent's user; \
                 when it can be written, start the agent again"
            }
            Self::Damaged => {
                "the database in [node] state_dir is damaged: stop the agent, move porthole.db, porthole.db-wal and \
                 porthole.db-shm away, put a backup in their place if there is one, and start it; without one, links \
                 and API tokens are to be made anew, and the ports of libvirt's domains are found again"
            }
            Self::Failing => {
                "the disk of [node] state_dir cannot be read or written: the kernel's log says why (`journalctl -k`), and \
                 `findmnt -T` says whether it is read-only now, as Linux makes a file system that has errors; repair it, \
                 then start the agent again"
            }
        }
    }
}

/// Whether what an error came from is a database that had too much to do: it may be asked again. Looked for along the
/// whole chain, because whoever answers has the error of an operation.
pub fn is_busy(error: &(dyn StdError + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error: &&(dyn StdError + 'static)| (*error).source());
    causes.filter_map(|cause| cause.downcast_ref::<sqlx::Error>()).any(|error| {
        matches!(error, sqlx::Error::PoolTimedOut) || result_code(error).is_some_and(|code| code & 0xff == BUSY)
    })
}

/// SQLite's extended result code, if it was SQLite that failed; its lowest byte is the primary one.
fn result_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

impl Error {
    /// What ails the database, if that is why this failed.
    pub fn ailment(&self) -> Option<Ailment> {
        match self {
            Self::Sqlite { source, .. } => Ailment::of(source),
            Self::Foreign { .. } => None,
        }
    }

    /// Whether it was only not this one's turn in time: nothing is wrong, and nothing has changed.
    pub fn is_busy(&self) -> bool {
        is_busy(self)
    }

    /// Whether there is no room on the disk: this ends by itself once somebody makes some.
    pub fn is_full(&self) -> bool {
        self.ailment() == Some(Ailment::Full)
    }
}
