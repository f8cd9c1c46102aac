//! What the table has to learn from libvirt. Pure: the table's rows and what was seen go in, changes come out.
//!
//! ```text
//!  libvirt …            asked for                           adopted
//!  has the domain       leased                              leased, while the domain uses the port
//!  has it no more       leased ─► releasing ─grace─► gone   the same
//!  never had it         pending ─expires─► gone
//! ```
//!
//! **Invariants**: a pending port goes only once its time is over; nothing goes that libvirt was not asked about, or could
//! not answer about; a port that one domain has is never given to another that uses it too: that is a contradiction, for
//! a person to solve.

use std::collections::{BTreeSet, HashMap, HashSet};

use porthole_shared::clock::UnixTime;
use porthole_shared::names::ConsoleUuid;

use super::row::{Owner, PortRow, PortState};
use super::uses::Use;

/// What libvirt answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Before the first question.
    pub began: UnixTime,
    /// The domains that there are, and the ports that each uses, if that can be told.
    pub seen: HashMap<ConsoleUuid, Option<Vec<Use>>>,
    /// Those that there are not.
    pub absent: Absent,
}

/// Which domains there are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absent {
    /// All that were not seen.
    AllOthers,
    /// These.
    These(HashSet<ConsoleUuid>),
}

impl Picture {
    fn is_absent(&self, domain: ConsoleUuid) -> bool {
        match &self.absent {
            Absent::AllOthers => !self.seen.contains_key(&domain),
            Absent::These(domains) => domains.contains(&domain),
        }
    }

    /// Whether this tells anything of a domain.
    pub(super) fn tells_of(&self, domain: ConsoleUuid) -> bool {
        self.seen.contains_key(&domain) || self.is_absent(domain)
    }
}

/// A step of a row, whose owner must still be the same when it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    /// Nobody's any more.
    Free(u16, Owner),
    /// To be nobody's after the grace.
    Doom(u16, Owner),
    /// The owner's for good.
    Confirm(u16, Owner),
    /// The owner's, who uses it already.
    Adopt(u16, Owner),
}

/// Two claim a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Contradiction {
    /// Which.
    pub port: u16,
    /// Whose it is.
    pub owner: Owner,
    /// Whose XML has it as well.
    pub user: Owner,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Comparison {
    pub(super) changes: Vec<Change>,
    pub(super) contradictions: BTreeSet<Contradiction>,
}

/// Compares; `ours` says which ports the table is for.
pub(super) fn compare(rows: &[PortRow], picture: &Picture, ours: impl Fn(u16) -> bool) -> Comparison {
    let (mut changes, mut owners) = (Vec::new(), HashMap::new());
    for row in rows {
        let Some(owner) = row.owner else { continue };
        let step = step(row, owner, picture);
        if !matches!(step, Some(Change::Free(..))) {
            owners.insert(row.port, owner);
        }
        changes.extend(step);
    }
    let mut contradictions = BTreeSet::new();
    // In an order of its own, so that of two that claim a new port it is always the same one who gets it.
    let mut seen: Vec<_> = picture.seen.iter().collect();
    seen.sort_unstable_by_key(|(domain, _)| **domain);
    for (&domain, uses) in seen {
        for used in uses.iter().flatten().filter(|used| ours(used.port)) {
            let user = Owner { domain, device: used.device };
            match owners.get(&used.port) {
                None => {
                    owners.insert(used.port, user);
                    changes.push(Change::Adopt(used.port, user));
                }
                Some(owner) if owner.domain == domain => {}
                Some(&owner) => {
                    contradictions.insert(Contradiction { port: used.port, owner, user });
                }
            }
        }
    }
    Comparison { changes, contradictions }
}

fn step(row: &PortRow, owner: Owner, picture: &Picture) -> Option<Change> {
    let is_over = row.expires.is_some_and(|expires| expires <= picture.began);
    let confirm = (row.state != PortState::Leased).then_some(Change::Confirm(row.port, owner));
    let end = || match row.state {
        PortState::Leased => Some(Change::Doom(row.port, owner)),
        PortState::Pending | PortState::Releasing => is_over.then_some(Change::Free(row.port, owner)),
        PortState::Foreign => None,
    };
    match picture.seen.get(&owner.domain) {
        Some(Some(uses)) if row.adopted => {
            let is_as_it_was = uses.contains(&Use { device: owner.device, port: row.port });
            let has_changed = uses.iter().any(|used| used.device == owner.device || used.port == row.port);
            if is_as_it_was {
                confirm
            } else if has_changed {
                Some(Change::Free(row.port, owner))
            } else {
                end()
            }
        }
        Some(None) if row.adopted => None,
        Some(_) => confirm,
        None if picture.is_absent(owner.domain) => end(),
        None => None,
    }
}

#[cfg(test)]
mod tests;
