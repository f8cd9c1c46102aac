//! Serial ports in a specification: how many, what is spoken on them, where what they say is kept.

use std::fmt;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::word::words;
use crate::host::{AbsolutePath, InvalidPath};

/// The most serial ports of a guest: a PC has four.
const MOST: u8 = 4;

/// Serial ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serial {
    /// How many.
    pub ports: SerialPorts,
    /// What is spoken on their TCP ports.
    #[serde(default)]
    pub protocol: SerialProtocol,
    /// Where what the guest says is kept.
    #[serde(default)]
    pub log: ConsoleLog,
}

words! {
    /// What is spoken on a serial port's TCP port. (A unix socket has only bytes.)
    SerialProtocol, "serial protocol", default Raw, {
        /// Bytes as they are.
        Raw = "raw",
        /// Telnet, which knows a break signal.
        Telnet = "telnet",
    }
}

/// How many serial ports a guest has, 0 to 4. In JSON it may also be asked for by what a flavor and an image say
/// (`{"flavor": 3, "image": 2}`, [`SerialPorts::from_flavor_and_image`]); it is a number from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "u8")]
pub struct SerialPorts(u8);

/// There cannot be so many serial ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPorts {
    /// More than a guest can have.
    #[error("{0} serial ports are too many: a guest has at most {MOST}")]
    TooMany(u8),
    /// An image asks for more than its flavor allows.
    #[error(
        "the image asks for {image} serial ports (hw_serial_port_count), its flavor allows {flavor} \
         (hw:serial_port_count)"
    )]
    BeyondFlavor {
        /// What the flavor allows.
        flavor: u8,
        /// What the image asks for.
        image: u8,
    },
}

impl SerialPorts {
    /// As many as the flavor's `hw:serial_port_count` and the image's `hw_serial_port_count` say, by Nova's rule: one
    /// if neither does; the image's number up to the flavor's; beyond that it is refused. To Nova, 0 says nothing.
    pub fn from_flavor_and_image(flavor: Option<u8>, image: Option<u8>) -> Result<Self, InvalidPorts> {
        let said = |count: Option<u8>| count.filter(|count| *count > 0);
        match (said(flavor), said(image)) {
            (Some(flavor), Some(image)) if image > flavor => Err(InvalidPorts::BeyondFlavor { flavor, image }),
            (_, Some(count)) | (Some(count), None) => count.try_into(),
            (None, None) => Ok(Self(1)),
        }
    }

    /// The number.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for SerialPorts {
    type Error = InvalidPorts;
    fn try_from(count: u8) -> Result<Self, InvalidPorts> {
        if count <= MOST { Ok(Self(count)) } else { Err(InvalidPorts::TooMany(count)) }
    }
}

/// What Nova knows of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ByNova {
    #[serde(default)]
    flavor: Option<u8>,
    #[serde(default)]
    image: Option<u8>,
}

impl<'de> Deserialize<'de> for SerialPorts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = SerialPorts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a number of serial ports (0 to {MOST}), or what the flavor and the image say")
            }

            fn visit_u64<E: Error>(self, count: u64) -> Result<SerialPorts, E> {
                u8::try_from(count).unwrap_or(u8::MAX).try_into().map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, count: i64) -> Result<SerialPorts, E> {
                let count = u64::try_from(count).map_err(|_| E::custom("there cannot be less than 0 serial ports"))?;
                self.visit_u64(count)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SerialPorts, A::Error> {
                let ByNova { flavor, image } = ByNova::deserialize(MapAccessDeserializer::new(map))?;
                SerialPorts::from_flavor_and_image(flavor, image).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl From<SerialPorts> for u8 {
    fn from(ports: SerialPorts) -> Self {
        ports.0
    }
}

/// Where what a guest says on its serial ports is kept (by libvirt's virtlogd, which bounds it).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ConsoleLog {
    /// In the host's folder for that.
    #[default]
    Host,
    /// Nowhere.
    Off,
    /// The first port's in this file, the others' in files beside it.
    File(AbsolutePath),
}

impl ConsoleLog {
    const HOST: &'static str = "host";
    const OFF: &'static str = "off";
}

impl FromStr for ConsoleLog {
    type Err = InvalidPath;
    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        match text {
            Self::HOST => Ok(Self::Host),
            Self::OFF => Ok(Self::Off),
            path => Ok(Self::File(path.parse()?)),
        }
    }
}

impl fmt::Display for ConsoleLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str(Self::HOST),
            Self::Off => f.write_str(Self::OFF),
            Self::File(path) => path.fmt(f),
        }
    }
}

impl TryFrom<String> for ConsoleLog {
    type Error = InvalidPath;
    fn try_from(text: String) -> Result<Self, InvalidPath> {
        text.parse()
    }
}

impl From<ConsoleLog> for String {
    fn from(log: ConsoleLog) -> Self {
        log.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn novas_rule() {
        let beyond = |flavor, image| Err(InvalidPorts::BeyondFlavor { flavor, image });
        for (flavor, image, ports) in [
            (None, None, Ok(1)),
            (Some(0), Some(0), Ok(1)),
            (Some(3), None, Ok(3)),
            (Some(3), Some(0), Ok(3)),
            (None, Some(2), Ok(2)),
            (Some(0), Some(2), Ok(2)),
            (Some(3), Some(2), Ok(2)),
            (Some(3), Some(3), Ok(3)),
            (Some(2), Some(3), beyond(2, 3)),
            (Some(1), Some(9), beyond(1, 9)),
            (None, Some(5), Err(InvalidPorts::TooMany(5))),
            (Some(5), None, Err(InvalidPorts::TooMany(5))),
            (Some(9), Some(4), Ok(4)),
        ] {
            let counted = SerialPorts::from_flavor_and_image(flavor, image);
            assert_eq!(counted.map(SerialPorts::number), ports, "{flavor:?} {image:?}");
        }
    }

    #[test]
    fn a_number_or_what_nova_knows() {
        for (json, ports) in
            [("2", 2), (r#"{"flavor": 3, "image": 2}"#, 2), (r#"{"flavor": null}"#, 1), ("{}", 1), ("0", 0)]
        {
            let read: SerialPorts = serde_json::from_str(json).unwrap();
            assert_eq!((read.number(), serde_json::to_string(&read).unwrap()), (ports, ports.to_string()), "{json}");
        }
        for (json, words) in [
            ("5", "5 serial ports are too many"),
            ("300", "too many"),
            ("-1", "less than 0"),
            (
                r#"{"flavor": 1, "image": 2}"#,
                "the image asks for 2 serial ports (hw_serial_port_count), its flavor allows 1",
            ),
            (r#"{"flavour": 1}"#, "unknown field `flavour`"),
            (r#""2""#, "a number of serial ports (0 to 4), or what the flavor and the image say"),
        ] {
            let error = serde_json::from_str::<SerialPorts>(json).unwrap_err().to_string();
            assert!(error.contains(words), "{json}: {error}");
        }
    }

    #[test]
    fn logs_are_words_or_files() {
        for (text, log) in [
            ("host", Ok(ConsoleLog::Host)),
            ("off", Ok(ConsoleLog::Off)),
            ("/var/log/a b.log", Ok(ConsoleLog::File("/var/log/a b.log".parse().unwrap()))),
        ] {
            assert_eq!(text.parse(), log);
            assert_eq!(log.unwrap().to_string(), text);
        }
        assert!("console.log".parse::<ConsoleLog>().is_err());
    }
}
