//! What a token's holder may do on its console, and for how long: asked for when it is made, within what `[sessions]`
//! allows, and kept in its row.

use porthole_shared::config::Duration;
use porthole_shared::names::ConsoleKind;

use super::MintError;
use crate::sessions::Lengths;

/// What a token allows. Lengths are in whole seconds, as in its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    /// To watch only: the agent keeps all input from the console.
    pub read_only: bool,
    /// To take a console over that admits one viewer only and has one.
    pub force: bool,
    /// So long without input, and a session ends.
    pub idle: Option<i64>,
    /// So long after its beginning a session ends; as configured, if not said.
    pub longest: Option<i64>,
}

/// A wish for rights. What is not said is as configured.
#[derive(Debug, Clone, Copy, Default)]
pub struct RightsWanted {
    /// To watch only.
    pub read_only: bool,
    /// To take over.
    pub force: bool,
    /// To have what is shown recorded, which no agent of this release can.
    pub record: bool,
    /// End a session that has no input for so long.
    pub idle: Option<Duration>,
    /// End a session after so long.
    pub longest: Option<Duration>,
}

impl RightsWanted {
    /// What is granted on a console of this kind, or why nothing is.
    pub(super) fn grant(self, kind: ConsoleKind, lengths: &Lengths) -> Result<Rights, MintError> {
        let Self { read_only, force, record, idle, longest } = self;
        if record {
            return Err(MintError::CannotRecord);
        }
        if read_only && kind == ConsoleKind::Spice {
            return Err(MintError::SpiceReadOnly);
        }
        let longest = longest.map(|asked| within("session length (`longest`)", asked, lengths.longest)).transpose()?;
        let idle = idle.map(|asked| within("idle limit", asked, lengths.longest_idle())).transpose()?;
        // Who may only watch has nothing to do, and would always be idle.
        let idle = idle.or(lengths.idle.filter(|_| !read_only));
        Ok(Rights {
            read_only,
            force,
            idle: idle.map(Duration::as_seconds),
            longest: longest.map(Duration::as_seconds),
        })
    }
}

/// A length of at least a second, because rows count seconds, and at most the configured one.
pub(super) fn within(what: &'static str, asked: Duration, longest: Duration) -> Result<Duration, MintError> {
    if asked.as_seconds() < 1 || asked > longest {
        return Err(MintError::Length { what, asked, longest });
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: Lengths = Lengths {
        longest: Duration::from_secs(3600),
        idle: Some(Duration::from_secs(900)),
        longest_idle: Some(Duration::from_secs(1800)),
        end_at_expiry: false,
    };

    #[test]
    fn what_is_not_asked_for_is_as_configured() {
        let granted = RightsWanted::default().grant(ConsoleKind::Vnc, &LENGTHS).unwrap();
        assert_eq!(granted, Rights { idle: Some(900), ..Rights::default() });
        let none = Lengths { idle: None, longest_idle: None, ..LENGTHS };
        assert_eq!(RightsWanted::default().grant(ConsoleKind::Spice, &none).unwrap(), Rights::default());
    }

    #[test]
    fn who_only_watches_is_idle_only_if_that_was_asked_for() {
        let watching = RightsWanted { read_only: true, ..RightsWanted::default() };
        assert_eq!(watching.grant(ConsoleKind::Vnc, &LENGTHS).unwrap().idle, None);
        let limited = RightsWanted { idle: Some(Duration::from_secs(60)), ..watching };
        assert_eq!(limited.grant(ConsoleKind::Vnc, &LENGTHS).unwrap().idle, Some(60));
    }

    #[test]
    fn lengths_are_kept_within_their_bounds() {
        let seconds = |count| Some(Duration::from_secs(count));
        let wanted =
            RightsWanted { read_only: true, force: true, record: false, idle: seconds(1800), longest: seconds(3600) };
        let granted = wanted.grant(ConsoleKind::Tcp, &LENGTHS).unwrap();
        assert_eq!(granted, Rights { read_only: true, force: true, idle: Some(1800), longest: Some(3600) });
        for (wanted, expected) in [
            (RightsWanted { idle: seconds(1801), ..wanted }, "an idle limit of 30m 1s is not possible: use 1s to 30m"),
            (RightsWanted { idle: seconds(0), ..wanted }, "an idle limit of 0s"),
            (RightsWanted { longest: seconds(3601), ..wanted }, "is not possible: use 1s to 1h"),
            (RightsWanted { longest: seconds(0), ..wanted }, "a session length (`longest`) of 0s"),
        ] {
            let error = wanted.grant(ConsoleKind::Vnc, &LENGTHS).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        // Where only the sessions' length is bounded, that bounds idleness too.
        let unbounded = Lengths { longest_idle: None, ..LENGTHS };
        assert!(RightsWanted { idle: seconds(3600), ..wanted }.grant(ConsoleKind::Vnc, &unbounded).is_ok());
        assert!(RightsWanted { idle: seconds(3601), ..wanted }.grant(ConsoleKind::Vnc, &unbounded).is_err());
    }

    #[test]
    fn nothing_is_recorded_yet_and_nobody_is_told_otherwise() {
        let wanted = RightsWanted { record: true, ..RightsWanted::default() };
        for kind in ConsoleKind::ALL {
            let error = wanted.grant(kind, &LENGTHS).unwrap_err().to_string();
            assert!(error.contains("cannot record"), "{error}");
        }
    }

    #[test]
    fn spice_cannot_be_watched_only() {
        let wanted = RightsWanted { read_only: true, ..RightsWanted::default() };
        let error = wanted.grant(ConsoleKind::Spice, &LENGTHS).unwrap_err().to_string();
        assert!(error.contains("read-only"), "{error}");
        for kind in [ConsoleKind::Vnc, ConsoleKind::Serial, ConsoleKind::Tcp] {
            assert!(wanted.grant(kind, &LENGTHS).unwrap().read_only);
        }
    }
}
