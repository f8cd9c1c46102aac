//! From when until when a certificate is valid, and what an operator should hear about that.

use crate::clock::UnixTime;
use crate::tls::{TlsError, certificate_facts};
use rustls::pki_types::CertificateDer;

const DAY: i64 = 24 * 60 * 60;

/// How long before its end a certificate is spoken of.
const SOON: i64 = 14 * DAY;

/// A certificate's own words about its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its first second.
    pub not_before: UnixTime,
    /// Its last second.
    pub not_after: UnixTime,
}

impl Validity {
    /// Reads them.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, TlsError> {
        let facts = certificate_facts(certificate)?;
        Ok(Self { not_before: facts.not_before, not_after: facts.not_after })
    }

    /// What is wrong now, as the end of a sentence about the certificate.
    pub fn problem(self, now: UnixTime) -> Option<String> {
        if now > self.not_after {
            Some(format!("has expired on {}: put a new one in place", self.not_after))
        } else if now < self.not_before {
            Some(format!("is not valid before {}: put another in place, or set this host's clock", self.not_before))
        } else {
            None
        }
    }

    /// Has it ended, or will it soon?
    fn ends_soon(self, now: UnixTime) -> bool {
        now > self.not_after.plus(-SOON)
    }
}

/// When to speak of a certificate's end: at once, and from then on once a day.
#[derive(Debug, Default)]
pub struct Reminder {
    last: Option<(Validity, UnixTime)>,
}

impl Reminder {
    /// Is it time? If so, it counts as said.
    pub fn is_due(&mut self, validity: Validity, now: UnixTime) -> bool {
        let said = self.last.is_some_and(|(of, when)| of == validity && now < when.plus(DAY));
        let due = validity.ends_soon(now) && !said;
        if due {
            self.last = Some((validity, now));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixTime = UnixTime(1_800_000_000);

    fn of_days(days: i64) -> Validity {
        Validity { not_before: START, not_after: START.plus(days * DAY) }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_date() {
        let validity = of_days(90);
        assert_eq!(validity.problem(START), None);
        assert_eq!(validity.problem(validity.not_after), None);
        let early = validity.problem(START.plus(-1)).unwrap();
        assert!(early.contains("not valid before 2027-01-15T08:00:00Z"), "{early}");
        let late = validity.problem(validity.not_after.plus(1)).unwrap();
        assert!(late.contains("has expired on 2027-04-15T08:00:00Z"), "{late}");
    }

    #[test]
    fn the_end_is_spoken_of_two_weeks_before_and_once_a_day() {
        let (mut reminder, validity) = (Reminder::default(), of_days(90));
        let due: Vec<i64> =
            (0..92 * 24).filter(|hour| reminder.is_due(validity, START.plus(hour * 60 * 60 + 1))).collect();
        let expected: Vec<i64> = (76..92).map(|day| day * 24).collect();
        assert_eq!(due, expected);
        // Another certificate that ends soon is spoken of at once, one that does not is not.
        let now = START.plus(91 * DAY);
        assert!(reminder.is_due(of_days(92), now));
        assert!(!reminder.is_due(of_days(92), now));
        assert!(!reminder.is_due(of_days(180), now));
    }
}
