//! What happens to domains without anybody asking, from libvirt's numbers to our words.

use std::fmt;

use porthole_shared::names::{ConsoleName, ConsoleUuid};
use porthole_shared::reason::Reason;
use tokio::sync::broadcast;

/// What the hypervisor tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A step in a domain's life.
    Domain(DomainEvent),
    /// Steps may have been missed (the connection to libvirt is new, or the reader was too slow): compare what you
    /// hold with [`Hypervisor::domains`](super::Hypervisor::domains).
    Resync,
}

/// A step in a domain's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainEvent {
    /// The domain.
    pub uuid: ConsoleUuid,
    /// Its name, as in [`DomainSummary`](super::DomainSummary).
    pub name: ConsoleName,
    /// The step.
    pub kind: DomainEventKind,
}

/// A step in a domain's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DomainEventKind {
    /// Its definition is new, or has changed.
    Defined,
    /// Its definition is gone. A running domain without definition ends with its next stop.
    Undefined,
    /// Its emulator runs now.
    Started(StartCause),
    /// The guest is paused; its consoles still answer.
    Suspended,
    /// The guest goes on.
    Resumed,
    /// The guest has powered off; `Stopped` follows.
    ShuttingDown,
    /// The guest's kernel has crashed. What comes of that is the domain's setting, and a further event.
    Panicked,
    /// Its emulator is gone.
    Stopped(StopCause),
    /// Something that this release has no word for.
    Other,
}

/// How a domain came to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StartCause {
    /// Afresh.
    Booted,
    /// It came from another host.
    Migrated,
    /// From a file that `Saved` made, or from a snapshot.
    Restored,
}

/// Why a domain's emulator is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopCause {
    /// The guest powered off.
    ShutOff,
    /// Somebody switched it off.
    Destroyed,
    /// The guest crashed.
    Crashed,
    /// It runs on another host now.
    Migrated,
    /// It was saved to a file.
    Saved,
    /// The emulator failed, or was killed.
    Failed,
    /// It was reverted to a snapshot of a domain that does not run.
    Reverted,
    /// libvirt gives a cause that this release has no word for.
    Unknown,
}

impl StopCause {
    /// How a session on this domain ends.
    pub const fn reason(self) -> Reason {
        match self {
            Self::ShutOff | Self::Reverted => Reason::ShutOff,
            Self::Destroyed => Reason::Destroyed,
            Self::Crashed => Reason::Crashed,
            Self::Migrated => Reason::Migrated,
            Self::Saved => Reason::Saved,
            Self::Failed => Reason::Failed,
            Self::Unknown => Reason::ConsoleClosed,
        }
    }
}

/// libvirt's numbers (`virDomainEventType`, then its detail; `None` is any) and our words. The first row that fits
/// counts.
const TABLE: &[(u32, Option<u32>, DomainEventKind)] = &[
    (virt_sys::VIR_DOMAIN_EVENT_DEFINED, None, DomainEventKind::Defined),
    (virt_sys::VIR_DOMAIN_EVENT_UNDEFINED, None, DomainEventKind::Undefined),
    started(virt_sys::VIR_DOMAIN_EVENT_STARTED_MIGRATED, StartCause::Migrated),
    started(virt_sys::VIR_DOMAIN_EVENT_STARTED_RESTORED, StartCause::Restored),
    started(virt_sys::VIR_DOMAIN_EVENT_STARTED_FROM_SNAPSHOT, StartCause::Restored),
    (virt_sys::VIR_DOMAIN_EVENT_STARTED, None, DomainEventKind::Started(StartCause::Booted)),
    (virt_sys::VIR_DOMAIN_EVENT_SUSPENDED, None, DomainEventKind::Suspended),
    (virt_sys::VIR_DOMAIN_EVENT_PMSUSPENDED, None, DomainEventKind::Suspended),
    (virt_sys::VIR_DOMAIN_EVENT_RESUMED, None, DomainEventKind::Resumed),
    (virt_sys::VIR_DOMAIN_EVENT_SHUTDOWN, None, DomainEventKind::ShuttingDown),
    (virt_sys::VIR_DOMAIN_EVENT_CRASHED, None, DomainEventKind::Panicked),
    stopped(virt_sys::VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN, StopCause::ShutOff),
    stopped(virt_sys::VIR_DOMAIN_EVENT_STOPPED_DESTROYED, StopCause::Destroyed),
    stopped(virt_sys::VIR_DOMAIN_EVENT_STOPPED_CRASHED, StopCause::Crashed),
    stopped(virt_sys::VIR_DOMAIN_EVENT_STOPPED_MIGRATED, StopCause::Migrated),
    stopped(virt_sys::VIR_DOMAIN_EVENT_STOPPED_SAVED, StopCause::Saved),
    stopped(virt_sys::VIR_DOMAIN_EVENT_STOPPED_FAILED, StopCause::Failed),
    stopped(virt_sys::VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT, StopCause::Reverted),
    (virt_sys::VIR_DOMAIN_EVENT_STOPPED, None, DomainEventKind::Stopped(StopCause::Unknown)),
];

const fn started(detail: u32, cause: StartCause) -> (u32, Option<u32>, DomainEventKind) {
    (virt_sys::VIR_DOMAIN_EVENT_STARTED, Some(detail), DomainEventKind::Started(cause))
}

const fn stopped(detail: u32, cause: StopCause) -> (u32, Option<u32>, DomainEventKind) {
    (virt_sys::VIR_DOMAIN_EVENT_STOPPED, Some(detail), DomainEventKind::Stopped(cause))
}

impl DomainEventKind {
    /// From libvirt's numbers.
    pub(super) fn from_raw(event: i32, detail: i32) -> Self {
        let (event, detail) = (event.cast_unsigned(), detail.cast_unsigned());
        TABLE
            .iter()
            .find(|(number, any_or, _)| *number == event && any_or.is_none_or(|number| number == detail))
            .map_or(Self::Other, |(_, _, kind)| *kind)
    }
}

/// The events from the moment of subscription on. A reader that falls behind loses the oldest and gets
/// [`Event::Resync`] in their place.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Event>);

impl Events {
    pub(super) const fn new(receiver: broadcast::Receiver<Event>) -> Self {
        Self(receiver)
    }

    /// The next one; `None` when there will be no more. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Event::Resync),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl fmt::Display for DomainEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {:?}", self.name, self.uuid, self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_stop_has_its_reason() {
        // libvirt's numbers as its headers document them, not by the names that the table uses.
        for (detail, reason) in [
            (0, Reason::ShutOff),
            (1, Reason::Destroyed),
            (2, Reason::Crashed),
            (3, Reason::Migrated),
            (4, Reason::Saved),
            (5, Reason::Failed),
            (6, Reason::ShutOff),
            (7, Reason::ConsoleClosed),
            (99, Reason::ConsoleClosed),
        ] {
            let DomainEventKind::Stopped(cause) = DomainEventKind::from_raw(5, detail) else {
                panic!("detail {detail} is not a stop");
            };
            assert_eq!(cause.reason(), reason, "detail {detail}");
        }
    }

    #[test]
    fn the_other_steps_by_their_numbers() {
        for (event, detail, kind) in [
            (0, 1, DomainEventKind::Defined),
            (1, 0, DomainEventKind::Undefined),
            (2, 0, DomainEventKind::Started(StartCause::Booted)),
            (2, 1, DomainEventKind::Started(StartCause::Migrated)),
            (2, 2, DomainEventKind::Started(StartCause::Restored)),
            (3, 1, DomainEventKind::Suspended),
            (4, 0, DomainEventKind::Resumed),
            (6, 0, DomainEventKind::ShuttingDown),
            (7, 0, DomainEventKind::Suspended),
            (8, 0, DomainEventKind::Panicked),
            (9, 0, DomainEventKind::Other),
            (-1, 0, DomainEventKind::Other),
        ] {
            assert_eq!(DomainEventKind::from_raw(event, detail), kind, "{event} {detail}");
        }
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_to_compare() {
        let (sender, receiver) = broadcast::channel(2);
        let mut events = Events::new(receiver);
        let event = |name: &str| {
            let kind = DomainEventKind::Defined;
            Event::Domain(DomainEvent { uuid: ConsoleUuid::random(), name: name.parse().unwrap(), kind })
        };
        for name in ["a", "b", "c"] {
            sender.send(event(name)).unwrap();
        }
        assert_eq!(events.next().await, Some(Event::Resync));
        for name in ["b", "c"] {
            let Some(Event::Domain(event)) = events.next().await else { panic!("no event") };
            assert_eq!(event.name.as_str(), name);
        }
        drop(sender);
        assert_eq!(events.next().await, None);
    }
}
