//! `[ports]` of the agent's configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use porthole_shared::config::Duration;
use serde::Deserialize;

use super::Purpose;

/// From which ports this host's consoles get theirs, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where consoles that listen on ports do so.
    pub listen: IpAddr,
    /// For serial ports.
    pub serial: PortRange,
    /// For VNC and SPICE.
    pub graphics: PortRange,
    /// Whether the ranges may reach into the one from which the kernel takes ports for outgoing connections.
    pub allow_ephemeral: bool,
    /// How long a port is kept for a domain that libvirt does not know yet.
    pub pending: Duration,
    /// How long a port is kept for a domain that libvirt does not know any more.
    pub grace: Duration,
    /// How long a port that something else was found on is not offered again.
    pub cooldown: Duration,
    /// How often all of this is compared with all of libvirt's domains, whatever the events say.
    pub compare_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            serial: PortRange { first: 10_000, last: 19_999 },
            graphics: PortRange { first: 20_000, last: 29_999 },
            allow_ephemeral: false,
            pending: Duration::from_secs(60 * 60),
            grace: Duration::from_secs(60),
            cooldown: Duration::from_secs(10 * 60),
            compare_every: Duration::from_secs(10 * 60),
        }
    }
}

/// What the kernel says about its own range.
const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";

impl Config {
    /// What is wrong with these settings, if anything.
    pub fn problem(&self) -> Option<String> {
        let ephemeral = std::fs::read_to_string(EPHEMERAL).ok().and_then(|text| ephemeral(&text));
        self.problem_beside(ephemeral.as_ref())
    }

    fn problem_beside(&self, ephemeral: Option<&RangeInclusive<u16>>) -> Option<String> {
        let Self { serial, graphics, .. } = self;
        if serial.overlaps(&graphics.ports()) {
            return Some(format!("[ports] serial ({serial}) and graphics ({graphics}) overlap: keep them apart"));
        }
        let taken = ephemeral.filter(|_| !self.allow_ephemeral).and_then(|ephemeral| {
            let purpose = Purpose::ALL.into_iter().find(|purpose| self.range(*purpose).overlaps(ephemeral))?;
            Some(format!(
                "[ports] {purpose} ({}) reaches into the ports {} to {} that the kernel takes for outgoing connections \
                 ({EPHEMERAL}), so that a guest may find its port taken: choose others, or reserve them in \
                 net.ipv4.ip_local_reserved_ports and set allow_ephemeral = true",
                self.range(purpose),
                ephemeral.start(),
                ephemeral.end(),
            ))
        });
        let lengths = [
            ("pending", self.pending),
            ("grace", self.grace),
            ("cooldown", self.cooldown),
            ("compare_every", self.compare_every),
        ];
        taken.or_else(|| {
            let (name, _) = lengths.into_iter().find(|(_, length)| length.as_seconds() < 1)?;
            Some(format!("[ports] {name} is less than a second"))
        })
    }

    /// The range for this purpose.
    pub const fn range(&self, purpose: Purpose) -> PortRange {
        match purpose {
            Purpose::Serial => self.serial,
            Purpose::Graphics => self.graphics,
        }
    }

    /// The purpose of this port; `None` if it is in no range.
    pub fn purpose(&self, port: u16) -> Option<Purpose> {
        Purpose::ALL.into_iter().find(|purpose| self.range(*purpose).ports().contains(&port))
    }
}

/// The two numbers in the kernel's file.
fn ephemeral(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) => Some(first..=last),
        _ => None,
    }
}

/// Ports in a row, at least one. Written `10000:20000`: the first is part of it, the second is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// All of them.
    pub const fn ports(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }

    /// How many.
    pub fn count(self) -> usize {
        self.ports().len()
    }

    fn overlaps(self, other: &RangeInclusive<u16>) -> bool {
        self.first <= *other.end() && *other.start() <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.first, u32::from(self.last) + 1)
    }
}

/// A text that is no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// These are not two numbers.
    #[error("not a range of ports: write \"FIRST:STOP\", such as \"10000:20000\", which ends with port 19999")]
    Form,
    /// The wrong way round.
    #[error("{0}:{1} is reversed: the lower number comes first")]
    Reversed(u32, u32),
    /// There is nothing in it.
    #[error("{0}:{0} is empty: the second number is not part of the range")]
    Empty(u32),
    /// There are no such ports.
    #[error("{0}:{1} goes beyond port 65535: the second number is at most 65536")]
    Beyond(u32, u32),
    /// Only root may listen there.
    #[error("{0}:{1} begins below 1024, where an emulator may not listen")]
    Privileged(u32, u32),
}

impl FromStr for PortRange {
    type Err = InvalidRange;
    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let (first, stop) = text.split_once(':').ok_or(InvalidRange::Form)?;
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| InvalidRange::Form);
        let (first, stop) = (number(first)?, number(stop)?);
        if first > stop {
            return Err(InvalidRange::Reversed(first, stop));
        }
        if first == stop {
            return Err(InvalidRange::Empty(first));
        }
        if first < 1024 {
            return Err(InvalidRange::Privileged(first, stop));
        }
        let port = |number: u32| u16::try_from(number).map_err(|_| InvalidRange::Beyond(first, stop));
        Ok(Self { first: port(first)?, last: port(stop - 1)? })
    }
}

impl TryFrom<String> for PortRange {
    type Error = InvalidRange;
    fn try_from(text: String) -> Result<Self, InvalidRange> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn the_first_is_part_of_a_range_and_the_second_is_not() {
        let range: PortRange = "10000:20000".parse().unwrap();
        assert_eq!((range.ports(), range.count()), (10_000..=19_999, 10_000));
        assert_eq!(range.to_string(), "10000:20000");
        let last: PortRange = "65535:65536".parse().unwrap();
        assert_eq!((last.ports(), last.count()), (65_535..=65_535, 1));
    }

    #[test]
    fn what_is_no_range_is_told_why() {
        for (text, expected) in [
            ("20000:10000", "reversed"),
            ("10000:10000", "empty"),
            ("60000:65537", "beyond port 65535"),
            ("70000:80000", "beyond port 65535"),
            ("0:100", "below 1024"),
            ("10000", "FIRST:STOP"),
            ("10000-20000", "FIRST:STOP"),
            ("-1:5", "FIRST:STOP"),
            ("a:b", "FIRST:STOP"),
            ("4294967296:4294967297", "FIRST:STOP"),
        ] {
            let message = toml::from_str::<Config>(&format!("serial = {text:?}")).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn ranges_that_cannot_stand_together_are_told_so() {
        let kernel = 32_768..=60_999;
        assert_eq!(Config::default().problem_beside(Some(&kernel)), None);
        for (text, expected) in [
            ("graphics = \"19999:30000\"", "overlap"),
            ("graphics = \"5000:65536\"", "overlap"),
            ("graphics = \"30000:32769\"", "graphics (30000:32769) reaches into the ports 32768 to 60999"),
            ("serial = \"60999:61001\"", "serial (60999:61001) reaches"),
            ("pending = \"0s\"", "pending is less"),
            ("grace = \"10ms\"", "grace is less"),
        ] {
            let problem = config(text).problem_beside(Some(&kernel)).unwrap();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
        for text in ["graphics = \"20000:32768\"", "graphics = \"61000:65536\""] {
            assert_eq!(config(text).problem_beside(Some(&kernel)), None, "{text}");
        }
        let allowed = config("graphics = \"30000:40000\"\nallow_ephemeral = true");
        assert_eq!(allowed.problem_beside(Some(&kernel)), None);
    }

    #[test]
    fn the_kernels_range_is_read() {
        assert_eq!(ephemeral("32768\t60999\n"), Some(32_768..=60_999));
        assert_eq!(ephemeral(""), None);
        let here = std::fs::read_to_string(EPHEMERAL).unwrap();
        assert!(ephemeral(&here).is_some(), "{here}");
    }

    #[test]
    fn a_port_is_for_one_purpose_or_none() {
        let config = Config::default();
        for (port, purpose) in [
            (9_999, None),
            (10_000, Some(Purpose::Serial)),
            (19_999, Some(Purpose::Serial)),
            (20_000, Some(Purpose::Graphics)),
            (30_000, None),
        ] {
            assert_eq!(config.purpose(port), purpose, "{port}");
        }
    }
}
