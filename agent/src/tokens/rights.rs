//! What the holder of a token may do with its console. Decided when the token is made, kept in its row, enforced by
//! whoever relays ([`websocket`](crate::websocket)).

use porthole_shared::config::Duration;
use porthole_shared::names::ConsoleKind;

/// The rights of one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    /// To watch only: nothing that the viewer sends reaches the guest as input.
    pub read_only: bool,
    /// A session ends after this long without input; never, if there is none. Who may only watch is not waited for.
    pub idle: Option<Duration>,
}

/// What somebody asks for when a token is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RightsWanted {
    /// To watch only.
    pub read_only: bool,
    /// As configured, if not said.
    pub idle: Option<Duration>,
}

/// Rights that cannot be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RightsError {
    /// Nobody could enforce it.
    #[error("a read-only link to a SPICE console cannot be made: its channels are not looked into; use VNC")]
    ReadOnlySpice,
    /// Longer than the node allows.
    #[error("an idle limit of {asked} is not possible: use 1s to {longest}, which is [sessions] idle of this node")]
    IdleTooLong {
        /// What was asked for.
        asked: Duration,
        /// The node's own.
        longest: Duration,
    },
    /// A session would end as it begins.
    #[error("an idle limit of {asked} is not possible: use 1s or more")]
    IdleTooShort {
        /// What was asked for.
        asked: Duration,
    },
}

impl RightsWanted {
    /// The rights for a console of this kind on a node with this idle limit. Asking can only make them less.
    pub fn grant(self, kind: ConsoleKind, node_idle: Option<Duration>) -> Result<Rights, RightsError> {
        if self.read_only && kind == ConsoleKind::Spice {
            return Err(RightsError::ReadOnlySpice);
        }
        if let Some(asked) = self.idle {
            if asked.as_seconds() < 1 {
                return Err(RightsError::IdleTooShort { asked });
            }
            if let Some(longest) = node_idle.filter(|longest| asked > *longest) {
                return Err(RightsError::IdleTooLong { asked, longest });
            }
        }
        Ok(Rights { read_only: self.read_only, idle: self.idle.or(node_idle) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    fn idle(asked: Option<Duration>, node: Option<Duration>) -> Result<Option<Duration>, RightsError> {
        RightsWanted { read_only: false, idle: asked }.grant(ConsoleKind::Vnc, node).map(|rights| rights.idle)
    }

    #[test]
    fn an_idle_limit_can_be_asked_for_within_the_nodes() {
        assert_eq!(idle(None, None), Ok(None));
        assert_eq!(idle(None, Some(HOUR)), Ok(Some(HOUR)));
        assert_eq!(idle(Some(MINUTE), None), Ok(Some(MINUTE)));
        assert_eq!(idle(Some(MINUTE), Some(HOUR)), Ok(Some(MINUTE)));
        assert_eq!(idle(Some(HOUR), Some(MINUTE)), Err(RightsError::IdleTooLong { asked: HOUR, longest: MINUTE }));
        let asked = Duration::from_secs(0);
        assert_eq!(idle(Some(asked), None), Err(RightsError::IdleTooShort { asked }));
    }

    #[test]
    fn only_where_it_can_be_enforced_is_a_link_read_only() {
        for kind in ConsoleKind::ALL {
            let granted = RightsWanted { read_only: true, idle: None }.grant(kind, None);
            assert_eq!(granted.is_ok(), kind != ConsoleKind::Spice, "{kind}");
        }
    }
}
