//! What a client's bytes are on their way to the console: all of them, those that carry no input, or none; and whether a
//! person is behind them.

use std::time::Duration;

use porthole_shared::names::ConsoleKind;
use tokio::time::Instant;

use crate::rfb::{Filter, NotFollowed, Watch};
use crate::tokens::Rights;

/// What happens to a client's bytes.
#[derive(Debug)]
pub(super) enum Inbound {
    /// They pass, and any of them is taken for input: nobody here knows what is spoken.
    Bytes,
    /// They pass; what is input is known.
    Watched(Watch),
    /// Only what is no input passes.
    Filtered(Filter),
    /// None passes.
    Dropped,
}

/// What became of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passed {
    /// So many pass, moved to the front.
    pub(super) length: usize,
    /// A person did something.
    pub(super) input: bool,
}

impl Inbound {
    /// For a console of this kind and a client with these rights.
    pub(super) fn new(kind: ConsoleKind, rights: Rights) -> Self {
        match (kind, rights.read_only) {
            (ConsoleKind::Vnc, false) if rights.idle.is_some() => Self::Watched(Watch::new()),
            (ConsoleKind::Vnc, true) => Self::Filtered(Filter::new()),
            (_, false) => Self::Bytes,
            // No token says so of SPICE; if one did, this is the side to err on.
            (ConsoleKind::Spice | ConsoleKind::Serial | ConsoleKind::Tcp, true) => Self::Dropped,
        }
    }

    /// Whether bytes may have to be changed, so that a shared buffer will not do.
    pub(super) const fn changes_bytes(&self) -> bool {
        match self {
            Self::Bytes | Self::Watched(_) => false,
            Self::Filtered(_) | Self::Dropped => true,
        }
    }

    /// Looks at bytes that pass as they are.
    pub(super) fn see(&mut self, bytes: &[u8]) -> bool {
        match self {
            Self::Watched(watch) => watch.sees_input(bytes),
            Self::Bytes | Self::Filtered(_) | Self::Dropped => !bytes.is_empty(),
        }
    }

    /// Decides about the next bytes.
    pub(super) fn pass(&mut self, bytes: &mut [u8]) -> Result<Passed, NotFollowed> {
        match self {
            Self::Bytes | Self::Watched(_) => Ok(Passed { length: bytes.len(), input: self.see(bytes) }),
            Self::Filtered(filter) => Ok(Passed { length: filter.pass(bytes)?, input: false }),
            Self::Dropped => Ok(Passed { length: 0, input: false }),
        }
    }
}

/// How long nobody has done anything. Pure: times go in.
#[derive(Debug)]
pub(super) struct Idle {
    limit: Option<Duration>,
    since: Instant,
}

impl Idle {
    pub(super) fn new(rights: Rights, now: Instant) -> Self {
        let limit = rights.idle.filter(|_| !rights.read_only).map(porthole_shared::config::Duration::get);
        Self { limit, since: now }
    }

    /// A person did something.
    pub(super) const fn wake(&mut self, now: Instant) {
        self.since = now;
    }

    /// When it will have been too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.limit.map(|limit| self.since + limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Option<porthole_shared::config::Duration> = Some(porthole_shared::config::Duration::from_secs(60));

    #[test]
    fn who_may_only_watch_sends_no_input() {
        for kind in ConsoleKind::ALL {
            let mut inbound = Inbound::new(kind, Rights { read_only: true, idle: IDLE });
            let mut bytes = [b"RFB 003.008\n".as_slice(), &[1, 1], &[4, 1, 0, 0, 0, 0, 0, 0x61]].concat();
            let passed = inbound.pass(&mut bytes).unwrap();
            assert!(!passed.input, "{kind}");
            assert_eq!(passed.length, if kind == ConsoleKind::Vnc { 14 } else { 0 }, "{kind}");
        }
    }

    #[test]
    fn what_nobody_looks_into_is_all_input_and_all_passes() {
        for kind in [ConsoleKind::Tcp, ConsoleKind::Spice, ConsoleKind::Serial] {
            let mut inbound = Inbound::new(kind, Rights { read_only: false, idle: IDLE });
            assert_eq!(inbound.pass(&mut [1, 2]).unwrap(), Passed { length: 2, input: true }, "{kind}");
            assert!(!inbound.pass(&mut []).unwrap().input);
        }
    }

    #[test]
    fn only_input_wakes_an_idle_session() {
        let start = Instant::now();
        let mut idle = Idle::new(Rights { read_only: false, idle: IDLE }, start);
        assert_eq!(idle.deadline(), Some(start + Duration::from_mins(1)));
        idle.wake(start + Duration::from_secs(30));
        assert_eq!(idle.deadline(), Some(start + Duration::from_secs(90)));
        assert_eq!(Idle::new(Rights { read_only: true, idle: IDLE }, start).deadline(), None);
        assert_eq!(Idle::new(Rights::default(), start).deadline(), None);
    }
}
