//! What of a client's bytes goes on to the console, and whether a person is behind them.
//!
//! Each run of bytes is seen once, before it is written. Where the protocol is followed, input is a person's keys,
//! pointer or clipboard; elsewhere any byte counts.

use porthole_shared::names::ConsoleKind;
use porthole_shared::reason::Reason;

use crate::rfb;

/// The client's side of a connection, as far as its token's rights go.
#[derive(Debug)]
pub enum Inbound {
    /// All goes on.
    Everything,
    /// All goes on; it is RFB, where not all is input.
    Watched(rfb::Watch),
    /// It is RFB, and what is input stays here.
    Filtered(rfb::Filter),
    /// Nothing goes on.
    Nothing,
}

/// What there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// How many bytes, from the first, go on.
    pub(super) passed: usize,
    /// A person did something, be it that it stays without effect.
    pub(super) input: bool,
}

impl Inbound {
    /// For a new connection to a console of this kind.
    pub fn new(kind: ConsoleKind, read_only: bool) -> Self {
        match (kind, read_only) {
            (ConsoleKind::Vnc, false) => Self::Watched(rfb::Watch::new()),
            (ConsoleKind::Vnc, true) => Self::Filtered(rfb::Filter::new()),
            (ConsoleKind::Spice | ConsoleKind::Serial | ConsoleKind::Tcp, false) => Self::Everything,
            // No such token is made for SPICE; what cannot be followed is not let through either way.
            (ConsoleKind::Spice | ConsoleKind::Serial | ConsoleKind::Tcp, true) => Self::Nothing,
        }
    }

    /// Looks at the client's next bytes, and moves what may go on to the front.
    pub(super) fn see(&mut self, bytes: &mut [u8]) -> Result<Seen, Reason> {
        let length = bytes.len();
        match self {
            Self::Filtered(filter) => match filter.pass(bytes) {
                // What was kept back is what a person did.
                Ok(passed) => Ok(Seen { passed, input: passed < length }),
                Err(error) => {
                    tracing::info!(%error, "a read-only session cannot go on");
                    Err(Reason::Unsupported)
                }
            },
            Self::Everything | Self::Watched(_) => Ok(Seen { passed: length, input: self.sees_input(bytes) }),
            Self::Nothing => Ok(Seen { passed: 0, input: length > 0 }),
        }
    }

    /// Looks at the client's next bytes, all of which go on.
    pub(super) fn sees_input(&mut self, bytes: &[u8]) -> bool {
        match self {
            Self::Watched(watch) => watch.sees_input(bytes),
            Self::Everything | Self::Filtered(_) | Self::Nothing => !bytes.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &[u8] = b"RFB 003.008\n\x01\x00";
    const KEY: [u8; 8] = [4, 1, 0, 0, 0, 0, 0, 0x61];
    const UPDATE: [u8; 10] = [3, 1, 0, 0, 0, 0, 2, 208, 1, 144];

    fn see(inbound: &mut Inbound, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut bytes = bytes.to_vec();
        let Seen { passed, input } = inbound.see(&mut bytes).unwrap();
        bytes.truncate(passed);
        (bytes, input)
    }

    #[test]
    fn a_vnc_viewer_is_followed() {
        let mut watched = Inbound::new(ConsoleKind::Vnc, false);
        assert_eq!(see(&mut watched, HELLO), (HELLO.to_vec(), false));
        assert_eq!(see(&mut watched, &UPDATE), (UPDATE.to_vec(), false));
        assert_eq!(see(&mut watched, &KEY), (KEY.to_vec(), true));
    }

    #[test]
    fn a_watchers_input_is_noticed_and_kept_back() {
        let mut filtered = Inbound::new(ConsoleKind::Vnc, true);
        assert_eq!(see(&mut filtered, HELLO).0.len(), HELLO.len());
        assert_eq!(see(&mut filtered, &UPDATE), (UPDATE.to_vec(), false));
        assert_eq!(see(&mut filtered, &[&KEY[..], &UPDATE].concat()), (UPDATE.to_vec(), true));
        let mut filtered = Inbound::new(ConsoleKind::Vnc, true);
        assert_eq!(filtered.see(&mut b"RFB 003.003\n".to_owned()), Err(Reason::Unsupported));
    }

    #[test]
    fn what_is_not_followed_goes_on_whole_or_not_at_all() {
        for kind in [ConsoleKind::Spice, ConsoleKind::Serial, ConsoleKind::Tcp] {
            let (mut all, mut none) = (Inbound::new(kind, false), Inbound::new(kind, true));
            assert_eq!(see(&mut all, b"ls\n"), (b"ls\n".to_vec(), true));
            assert_eq!(see(&mut none, b"ls\n"), (Vec::new(), true));
            assert_eq!((see(&mut all, b"").1, see(&mut none, b"").1), (false, false));
        }
    }
}
