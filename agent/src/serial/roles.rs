//! Who writes to a port, and who watches. Pure: whoever holds a port's state asks here, and acts.
//!
//! ```text
//!           claim: nobody writes                      release, or its client vanishes
//!  nobody ───────────────────────► writer ───────────────────────────────────────────► nobody
//!                                    │ claim by the same token, or by force: pending, the writer stays
//!                                    └── confirm: the new one writes, the old one is told (superseded, taken_over)
//!           claim: somebody writes, neither: refused with who that is
//! ```
//!
//! A claim comes before a link is used up and is confirmed after, so a link that turns out to be used takes nothing
//! from anybody.

use std::net::SocketAddr;

use porthole_shared::clock::UnixTime;
use porthole_shared::names::{Requestor, TokenId};
use porthole_shared::reason::Reason;
use porthole_shared::tunnel::Writer;
use serde::{Deserialize, Serialize};

/// A viewer's number on its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ViewerId(pub(super) u64);

/// Who wants to be on a port, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applicant {
    /// For whom its link was made, or which caller of the API it is.
    pub who: Option<Requestor>,
    /// The address of its client; none on the host itself.
    pub client: Option<SocketAddr>,
    /// A newer connection with this token is the same person's.
    pub token: Option<TokenId>,
    /// It only watches.
    pub read_only: bool,
    /// It may take over from a writer.
    pub force: bool,
}

/// A viewer's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// What it types reaches the guest.
    Writer,
    /// It sees what the guest says.
    Watcher,
}

#[derive(Debug, Clone)]
struct Held {
    id: ViewerId,
    token: Option<TokenId>,
    writer: Writer,
}

/// The parts on one port.
#[derive(Debug, Default)]
pub(super) struct Roles {
    writer: Option<Held>,
    watchers: usize,
    most_watchers: usize,
}

/// What a claim has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claimed {
    /// It has its part.
    Now(Role),
    /// It will take over when it is confirmed.
    Pending,
}

impl Roles {
    pub(super) fn new(most_watchers: usize) -> Self {
        Self { most_watchers, ..Self::default() }
    }

    /// Who writes.
    pub(super) fn writer(&self) -> Option<&Writer> {
        self.writer.as_ref().map(|held| &held.writer)
    }

    /// How many watch.
    pub(super) const fn watchers(&self) -> usize {
        self.watchers
    }

    /// Whether this viewer writes.
    pub(super) fn is_writer(&self, id: ViewerId) -> bool {
        self.writer.as_ref().is_some_and(|held| held.id == id)
    }

    /// Whether somebody who comes so would be refused.
    pub(super) fn would_refuse(&self, applicant: &Applicant) -> Option<Reason> {
        if applicant.read_only {
            return (self.watchers >= self.most_watchers).then_some(Reason::Full);
        }
        let held = self.writer.as_ref()?;
        (!(applicant.force || is_same(held, applicant))).then_some(Reason::InUse)
    }

    /// A part for a new viewer.
    pub(super) fn claim(&mut self, id: ViewerId, applicant: &Applicant, now: UnixTime) -> Result<Claimed, Reason> {
        if let Some(reason) = self.would_refuse(applicant) {
            return Err(reason);
        }
        if applicant.read_only {
            self.watchers += 1;
            return Ok(Claimed::Now(Role::Watcher));
        }
        if self.writer.is_some() {
            return Ok(Claimed::Pending);
        }
        self.writer = Some(held(id, applicant, now));
        Ok(Claimed::Now(Role::Writer))
    }

    /// A pending claim takes over now. Whose place it took, and what that one is told.
    pub(super) fn confirm(&mut self, id: ViewerId, applicant: &Applicant, now: UnixTime) -> Option<(ViewerId, Reason)> {
        let before = self.writer.replace(held(id, applicant, now)).filter(|held| held.id != id)?;
        let reason = if is_same(&before, applicant) { Reason::Superseded } else { Reason::TakenOver };
        Some((before.id, reason))
    }

    /// The writer watches on from now on. Beyond the limit, because it was there already.
    pub(super) fn step_back(&mut self, id: ViewerId) -> bool {
        let writes = self.is_writer(id);
        if writes {
            self.writer = None;
            self.watchers += 1;
        }
        writes
    }

    /// A watcher whose link lets it write becomes the writer, if it may. Whose place it took.
    pub(super) fn step_up(
        &mut self,
        id: ViewerId,
        applicant: &Applicant,
        now: UnixTime,
    ) -> Result<Option<(ViewerId, Reason)>, Reason> {
        if self.is_writer(id) {
            return Ok(None);
        }
        if applicant.read_only {
            return Err(Reason::InUse);
        }
        if let Some(reason) = self.would_refuse(applicant) {
            return Err(reason);
        }
        self.watchers = self.watchers.saturating_sub(1);
        Ok(self.confirm(id, applicant, now))
    }

    /// A viewer that had this part is gone.
    pub(super) fn release(&mut self, id: ViewerId, role: Role) {
        match role {
            Role::Watcher => self.watchers = self.watchers.saturating_sub(1),
            // One that was taken over has nothing left to give back.
            Role::Writer => self.writer = self.writer.take().filter(|held| held.id != id),
        }
    }
}

fn is_same(held: &Held, applicant: &Applicant) -> bool {
    held.token.is_some() && held.token == applicant.token
}

fn held(id: ViewerId, applicant: &Applicant, now: UnixTime) -> Held {
    let Applicant { who, client, token, .. } = applicant;
    Held { id, token: *token, writer: Writer { who: who.clone(), client: *client, since: now } }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1000);

    fn applicant(who: &str) -> Applicant {
        Applicant {
            who: Some(who.parse().unwrap()),
            client: Some("192.0.2.7:40000".parse().unwrap()),
            token: Some(TokenId::random()),
            read_only: false,
            force: false,
        }
    }

    fn watcher() -> Applicant {
        Applicant { read_only: true, ..applicant("w") }
    }

    #[test]
    fn one_writes_and_the_next_is_refused_until_it_goes() {
        let mut roles = Roles::new(2);
        assert_eq!(roles.claim(ViewerId(1), &applicant("a"), NOW), Ok(Claimed::Now(Role::Writer)));
        assert_eq!(roles.writer().unwrap().who, applicant("a").who);
        assert_eq!(roles.claim(ViewerId(2), &applicant("b"), NOW), Err(Reason::InUse));
        roles.release(ViewerId(1), Role::Writer);
        assert_eq!(roles.claim(ViewerId(3), &applicant("b"), NOW), Ok(Claimed::Now(Role::Writer)));
    }

    #[test]
    fn the_same_person_and_whoever_may_force_take_over_when_they_are_confirmed() {
        let (first, mut forcing) = (applicant("a"), applicant("b"));
        forcing.force = true;
        for (second, reason) in [(first.clone(), Reason::Superseded), (forcing, Reason::TakenOver)] {
            let mut roles = Roles::new(0);
            roles.claim(ViewerId(1), &first, NOW).unwrap();
            assert_eq!(roles.claim(ViewerId(2), &second, NOW), Ok(Claimed::Pending));
            assert!(roles.is_writer(ViewerId(1)), "not before its link is used");
            assert_eq!(roles.confirm(ViewerId(2), &second, NOW), Some((ViewerId(1), reason)));
            roles.release(ViewerId(1), Role::Writer);
            assert!(roles.is_writer(ViewerId(2)), "the old one's end changes nothing");
        }
    }

    #[test]
    fn links_without_a_person_are_not_the_same() {
        let mut roles = Roles::new(0);
        let anybody = Applicant { token: None, ..applicant("a") };
        roles.claim(ViewerId(1), &anybody, NOW).unwrap();
        assert_eq!(roles.claim(ViewerId(2), &anybody, NOW), Err(Reason::InUse));
    }

    #[test]
    fn so_many_watch() {
        let mut roles = Roles::new(2);
        for id in 1..3 {
            assert_eq!(roles.claim(ViewerId(id), &watcher(), NOW), Ok(Claimed::Now(Role::Watcher)));
        }
        assert_eq!(roles.claim(ViewerId(3), &watcher(), NOW), Err(Reason::Full));
        roles.release(ViewerId(1), Role::Watcher);
        assert_eq!((roles.watchers(), roles.would_refuse(&watcher())), (1, None));
        assert_eq!(roles.step_up(ViewerId(2), &watcher(), NOW), Err(Reason::InUse));
    }

    #[test]
    fn a_writer_steps_back_and_up_again() {
        let mut roles = Roles::new(0);
        let me = applicant("a");
        roles.claim(ViewerId(1), &me, NOW).unwrap();
        assert!(roles.step_back(ViewerId(1)) && !roles.step_back(ViewerId(1)));
        assert_eq!((roles.watchers(), roles.writer()), (1, None));
        assert_eq!(roles.step_up(ViewerId(1), &me, NOW), Ok(None));
        assert_eq!((roles.watchers(), roles.is_writer(ViewerId(1))), (0, true));
        let forcing = Applicant { force: true, ..applicant("b") };
        roles.claim(ViewerId(2), &forcing, NOW).unwrap();
        assert_eq!(roles.confirm(ViewerId(2), &forcing, NOW), Some((ViewerId(1), Reason::TakenOver)));
    }
}
