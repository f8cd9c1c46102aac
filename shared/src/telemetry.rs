//! Logs: what is written, and what never is.
//!
//! Levels above `warn` are for Porthole's own code only. Libraries print requests, headers and messages at their finer
//! levels (tungstenite whole messages), so no setting turns those on: a secret must not reach a log because somebody
//! was looking for a fault.
//!
//! Lines of the target `audit` are no diagnostics but a record: they are there whatever the level.

use std::io;

use serde::Deserialize;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer as _, Registry, fmt, reload};

/// The `[log]` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The finest level that Porthole's own code writes.
    pub level: Level,
    /// How a line looks.
    pub format: Format,
}

impl Default for Config {
    fn default() -> Self {
        Self { level: Level::Info, format: Format::Text }
    }
}

/// How much is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What needs a person.
    Error,
    /// What may need a person soon.
    Warn,
    /// What an operator wants to have read afterwards: sessions, connections, reloads.
    Info,
    /// Each decision.
    Debug,
    /// Each step.
    Trace,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people and journald.
    Text,
    /// One JSON object a line.
    Json,
}

/// Changes how much is written. Clones are the same.
#[derive(Debug, Clone)]
pub struct Logs(reload::Handle<Targets, Registry>);

impl Logs {
    /// From now on so much.
    pub fn set_level(&self, level: Level) {
        // Fails only where there is no subscriber any more.
        drop(self.0.reload(filter(level)));
    }
}

/// Logs to standard error from now on. To be called once, by `main`.
pub fn init(config: Config) -> Result<Logs, TryInitError> {
    let (filter, handle) = reload::Layer::new(filter(config.level));
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match config.format {
        Format::Text => lines.with_ansi(false).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).try_init()?;
    Ok(Logs(handle))
}

fn filter(level: Level) -> Targets {
    let own = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_default(LevelFilter::WARN.min(own))
        .with_target("porthole", own)
        .with_target("audit", LevelFilter::INFO)
}
