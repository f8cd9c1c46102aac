//! What of a domain listens on a port.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// From which range a port is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// Serial ports, and other devices of bytes.
    Serial,
    /// VNC and SPICE.
    Graphics,
}

impl Purpose {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Serial, Self::Graphics];

    /// The word in configuration and API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serial => "serial",
            Self::Graphics => "graphics",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Writes the table of devices once.
macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident $word:literal $purpose:ident)*) => {
        /// What sort of device listens.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DeviceKind {
            $($(#[$doc])* $variant,)*
        }

        impl DeviceKind {
            /// Every sort.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word in API and database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// From which range its ports are.
            pub const fn purpose(self) -> Purpose {
                match self { $(Self::$variant => Purpose::$purpose,)* }
            }
        }
    };
}

kinds! {
    /// VNC.
    Vnc          "vnc"           Graphics
    /// QEMU's own WebSocket server for VNC.
    VncWebSocket "vnc-websocket" Graphics
    /// SPICE without encryption.
    Spice        "spice"         Graphics
    /// SPICE with TLS.
    SpiceTls     "spice-tls"     Graphics
    /// A serial port.
    Serial       "serial"        Serial
    /// A console of another sort than a serial port's: virtio, for one.
    Console      "console"       Serial
    /// A parallel port.
    Parallel     "parallel"      Serial
    /// A channel.
    Channel      "channel"       Serial
}

/// One device of a domain, counted from 0 among those of its sort. Written `vnc-0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Device {
    /// Its sort.
    pub kind: DeviceKind,
    /// Which one of that sort.
    pub index: u8,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.kind.as_str(), self.index)
    }
}

/// A text that names no device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a device that listens: write such as vnc-0, spice-0, spice-tls-0 or serial-0 (counted from 0, up to 255)")]
pub struct UnknownDevice;

impl FromStr for Device {
    type Err = UnknownDevice;
    fn from_str(text: &str) -> Result<Self, UnknownDevice> {
        let (word, index) = text.rsplit_once('-').ok_or(UnknownDevice)?;
        let kind = DeviceKind::ALL.iter().copied().find(|kind| kind.as_str() == word).ok_or(UnknownDevice)?;
        let number: u8 = index.parse().map_err(|_| UnknownDevice)?;
        // One device, one text: no `+1`, no `01`.
        if number.to_string() == index { Ok(Self { kind, index: number }) } else { Err(UnknownDevice) }
    }
}

impl TryFrom<String> for Device {
    type Error = UnknownDevice;
    fn try_from(text: String) -> Result<Self, UnknownDevice> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for &kind in DeviceKind::ALL {
            for index in [0, 1, 10, 255] {
                let device = Device { kind, index };
                assert_eq!(device.to_string().parse(), Ok(device));
            }
        }
        assert_eq!("spice-tls-1".parse(), Ok(Device { kind: DeviceKind::SpiceTls, index: 1 }));
        for text in ["", "vnc", "vnc-", "-0", "rdp-0", "vnc-256", "vnc-01", "vnc-+1", "VNC-0", "vnc--1", "vnc-0 "] {
            assert_eq!(text.parse::<Device>(), Err(UnknownDevice), "{text}");
        }
    }
}
