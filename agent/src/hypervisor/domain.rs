//! What the rest of the agent knows about a libvirt domain.

use std::fmt;
use std::str::FromStr;

use porthole_shared::names::{ConsoleName, ConsoleUuid, InvalidName};

/// What a person or a control plane calls a domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NameOrUuid {
    /// By its name. Names are unique on a host.
    Name(ConsoleName),
    /// By its UUID.
    Uuid(ConsoleUuid),
}

impl FromStr for NameOrUuid {
    type Err = InvalidName;
    /// A text in the form of a UUID is one; a domain whose *name* has that form is found by its UUID only.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        text.parse().map(Self::Uuid).or_else(|_| text.parse().map(Self::Name))
    }
}

impl fmt::Display for NameOrUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Uuid(uuid) => uuid.fmt(f),
        }
    }
}

/// A domain in a list, or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainSummary {
    /// Its UUID, which stays over restarts and migrations.
    pub uuid: ConsoleUuid,
    /// Its name; its UUID as text where libvirt's name has no place in our grammar.
    pub name: ConsoleName,
    /// What it was doing when libvirt answered.
    pub state: DomainState,
}

/// A domain and its XML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainDescription {
    /// Its UUID.
    pub uuid: ConsoleUuid,
    /// Its name, as in [`DomainSummary`].
    pub name: ConsoleName,
    /// What it was doing when libvirt answered.
    pub state: DomainState,
    /// The XML of the running domain, with the ports and paths that it really has; while it is not active, that of its
    /// definition. Without secrets.
    pub live_xml: String,
    /// Which of its lives this is, if it has one.
    pub life: Option<Life>,
}

/// A domain's life, from a start to the next stop, as it was at some moment.
///
/// libvirt's number is another one at each start, for as long as libvirtd runs. Restarted, it goes on behind the greatest
/// of those that run: the number of one that had stopped may come again. A life that has used less processor time than
/// one of the same number had before is another one, too. That leaves one that stopped and started, while libvirtd was
/// restarted and this agent did not run, and that has used as much since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// libvirt's number.
    pub number: u32,
    /// How much processor time its emulator had used, in milliseconds; 0 if that is not known.
    pub worked: u64,
}

/// Writes the table of states once: libvirt's number, our word, whether there is an emulator process.
macro_rules! states {
    ($($(#[$doc:meta])* $variant:ident $raw:ident $word:literal $active:literal)*) => {
        /// What a domain is doing.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum DomainState {
            $($(#[$doc])* $variant,)*
        }

        impl DomainState {
            /// Every state.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word in the API.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// Whether the domain has an emulator process, and so consoles that could answer.
            pub const fn is_active(self) -> bool {
                match self { $(Self::$variant => $active,)* }
            }

            /// From libvirt's number (`virDomainState`).
            pub(super) const fn from_raw(raw: u32) -> Self {
                match raw {
                    $(virt_sys::$raw => Self::$variant,)*
                    _ => Self::Unknown,
                }
            }
        }
    };
}

states! {
    /// libvirt does not say, or says what this release does not know.
    Unknown      VIR_DOMAIN_NOSTATE     "unknown"       true
    /// It runs.
    Running      VIR_DOMAIN_RUNNING     "running"       true
    /// It waits for something (Xen).
    Blocked      VIR_DOMAIN_BLOCKED     "blocked"       true
    /// It is paused: by a person, or by libvirt during a migration or after an I/O error.
    Paused       VIR_DOMAIN_PAUSED      "paused"        true
    /// The guest has powered off; the emulator ends now.
    ShuttingDown VIR_DOMAIN_SHUTDOWN    "shutting_down" true
    /// It is defined, and does not run.
    ShutOff      VIR_DOMAIN_SHUTOFF     "shut_off"      false
    /// It crashed, and libvirt keeps it so for inspection.
    Crashed      VIR_DOMAIN_CRASHED     "crashed"       true
    /// The guest has put itself to sleep.
    Asleep       VIR_DOMAIN_PMSUSPENDED "asleep"        true
}

impl fmt::Display for DomainState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// libvirt's name of a domain as one of ours; its UUID where ours has no such name.
pub(super) fn console_name(name: &str, uuid: ConsoleUuid) -> ConsoleName {
    name.parse().unwrap_or_else(|_| ConsoleName::from(uuid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_the_form_of_a_uuid_is_one() {
        let uuid = ConsoleUuid::random();
        assert_eq!(uuid.to_string().parse(), Ok(NameOrUuid::Uuid(uuid)));
        assert_eq!("web-1".parse(), Ok(NameOrUuid::Name("web-1".parse().unwrap())));
        assert!("a/b".parse::<NameOrUuid>().is_err());
    }

    #[test]
    fn states_have_words_of_their_own_and_libvirts_numbers_map_back() {
        let words: std::collections::HashSet<_> = DomainState::ALL.iter().map(|state| state.as_str()).collect();
        assert_eq!(words.len(), DomainState::ALL.len());
        for raw in 0..8 {
            assert_eq!(DomainState::from_raw(raw) == DomainState::Unknown, raw == 0, "{raw}");
        }
        assert_eq!(DomainState::from_raw(1), DomainState::Running);
        assert_eq!(DomainState::from_raw(5), DomainState::ShutOff);
        assert_eq!(DomainState::from_raw(99), DomainState::Unknown);
        assert!(!DomainState::ShutOff.is_active());
    }

    #[test]
    fn a_name_outside_our_grammar_becomes_the_uuid() {
        let uuid = ConsoleUuid::random();
        assert_eq!(console_name("web 1", uuid).as_str(), "web 1");
        assert_eq!(console_name("a\nb", uuid).as_str(), uuid.to_string());
        assert_eq!(console_name(&"a".repeat(300), uuid).as_str(), uuid.to_string());
    }
}
