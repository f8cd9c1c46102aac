//! Reading configuration files, and the value types that both daemons' configurations use.
//!
//! What a setting means lives beside what it configures; here is only how a TOML file becomes a value, and how a bad
//! one is reported: the file, the line, what was wrong and what is allowed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The largest configuration file that is read, in bytes: a directory of ten thousand nodes is about 1 MiB.
pub const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// A configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is larger than [`MAX_FILE_BYTES`].
    #[error("{} has {bytes} bytes; a configuration file has at most {MAX_FILE_BYTES}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Its text is wrong; the message shows line and column.
    #[error("{}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
}

/// Reads a file's text, if it is not too large.
pub fn read(path: &Path) -> Result<String, LoadError> {
    let read = |source| LoadError::Read { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(read)?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(LoadError::TooLarge { path: path.to_owned(), bytes });
    }
    std::fs::read_to_string(path).map_err(read)
}

/// Reads a TOML file into its type. The type's own parsers check every value.
pub fn load<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, LoadError> {
    parse(path, &read(path)?)
}

/// As [`load`], where the text is at hand.
pub fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, LoadError> {
    toml::from_str(text)
        .map_err(|error| LoadError::Parse { path: path.to_owned(), message: error.to_string().trim_end().to_owned() })
}

/// The error for values that contradict each other. The problem's words begin with a table and a setting, as in
/// `[sessions] max is 0`; where such a line is there, its number is said, too.
pub fn contradiction(path: &Path, text: &str, problem: &str) -> LoadError {
    let message = match line_of(text, problem) {
        Some(line) => format!("line {line}: {problem}"),
        None => problem.to_owned(),
    };
    LoadError::Parse { path: path.to_owned(), message }
}

fn line_of(text: &str, problem: &str) -> Option<usize> {
    let (table, rest) = problem.strip_prefix('[')?.split_once("] ")?;
    let setting = rest.split_whitespace().next()?;
    let document = toml::de::DeTable::parse(text).ok()?;
    let (name, inside) = document.get_ref().get_key_value(table)?;
    let at = inside.get_ref().as_table().and_then(|inside| inside.get_key_value(setting));
    let start = at.map_or(name.span().start, |(setting, _)| setting.span().start);
    Some(1 + text.get(..start)?.matches('\n').count())
}

/// A length of time as people write it: `"30s"`, `"10m"`, `"1h 30m"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration(std::time::Duration);

impl Duration {
    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(std::time::Duration::from_millis(milliseconds))
    }

    /// As the standard library has it.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }

    /// Whole seconds, as claims and database rows count them.
    pub fn as_seconds(self) -> i64 {
        i64::try_from(self.0.as_secs()).unwrap_or(i64::MAX)
    }
}

/// A text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a length of time: write a number with a unit, such as \"30s\", \"10m\" or \"1h 30m\"")]
pub struct InvalidDuration(String);

/// The longest length of time that a setting takes: ten years.
const LONGEST: std::time::Duration = std::time::Duration::from_hours(10 * 365 * 24);

impl FromStr for Duration {
    type Err = InvalidDuration;
    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        humantime::parse_duration(text)
            .ok()
            .filter(|length| *length <= LONGEST)
            .map(Self)
            .ok_or_else(|| InvalidDuration(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for Duration {
    type Error = InvalidDuration;
    fn try_from(text: String) -> Result<Self, InvalidDuration> {
        text.parse()
    }
}

impl From<Duration> for String {
    fn from(length: Duration) -> Self {
        length.to_string()
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// A host and port to connect to, as people write it: `compute-1:6090`, `10.0.0.5:6090`, `[2001:db8::1]:6090`. A name
/// is resolved at each use.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPort {
    host: String,
    port: u16,
}

/// A text that is no host and port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a host and port: write `name:port`, `192.0.2.1:port` or `[2001:db8::1]:port`")]
pub struct InvalidHostPort(String);

impl HostPort {
    /// The name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for HostPort {
    type Err = InvalidHostPort;
    fn from_str(text: &str) -> Result<Self, InvalidHostPort> {
        let parsed = || {
            let (host, port) = text.rsplit_once(':')?;
            let port = port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse().ok())??;
            let host = match host.strip_prefix('[') {
                Some(inner) => inner.strip_suffix(']').filter(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok())?,
                None => host,
            };
            let bytes_fit = !host.is_empty()
                && host.len() <= 253
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b) || b == b':');
            let colons_fit = !host.contains(':') || text.starts_with('[');
            (bytes_fit && colons_fit && port != 0).then(|| Self { host: host.to_owned(), port })
        };
        parsed().ok_or_else(|| InvalidHostPort(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for HostPort {
    type Error = InvalidHostPort;
    fn try_from(text: String) -> Result<Self, InvalidHostPort> {
        text.parse()
    }
}

impl From<HostPort> for String {
    fn from(address: HostPort) -> Self {
        address.to_string()
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        wait: Duration,
    }

    fn load_text(text: &str) -> Result<Sample, LoadError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sample.toml");
        std::fs::write(&path, text).unwrap();
        load(&path)
    }

    #[test]
    fn a_good_file_loads_and_a_bad_one_names_file_line_and_rule() {
        assert_eq!(load_text("wait = \"1m 30s\"").unwrap().wait, Duration::from_secs(90));
        for (text, expected) in [
            ("wait = \"soon\"", "number with a unit"),
            ("wait = 3", "line 1"),
            ("\nwiat = \"3s\"", "line 2"),
            ("wait = \"100years\"", "number with a unit"),
        ] {
            let message = load_text(text).unwrap_err().to_string();
            assert!(message.contains("sample.toml") && message.contains(expected), "{message}");
        }
        assert!(load::<Sample>(Path::new("/nonexistent.toml")).unwrap_err().to_string().contains("/nonexistent.toml"));
    }

    #[test]
    fn a_contradiction_names_the_line_of_its_setting_or_of_its_table() {
        let text = "[a]\nb = 1\n\n[sessions]\nidle = \"1s\"\nmax = 0\n";
        let said = |problem: &str| contradiction(Path::new("x.toml"), text, problem).to_string();
        assert_eq!(said("[sessions] max is 0"), "x.toml: line 6: [sessions] max is 0");
        assert_eq!(said("[sessions] more is 0"), "x.toml: line 4: [sessions] more is 0");
        assert_eq!(said("[tokens] ttl is 0"), "x.toml: [tokens] ttl is 0");
        assert_eq!(said("nothing at all"), "x.toml: nothing at all");
    }

    #[test]
    fn host_and_port() {
        for good in ["a:1", "compute-1.example.org:6090", "10.0.0.5:6090", "[::1]:6090"] {
            assert_eq!(good.parse::<HostPort>().unwrap().to_string(), good);
        }
        for bad in
            ["", "a", "a:", ":1", "a:0", "a:65536", "a:+1", "::1:6090", "[::1]", "[a]:1", "a b:1", "a/b:1", "u@h:1"]
        {
            assert!(bad.parse::<HostPort>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn durations_round_trip(seconds in 0_u64..1_000_000) {
            let length = Duration::from_secs(seconds);
            prop_assert_eq!(length.to_string().parse::<Duration>().unwrap(), length);
        }
    }
}
