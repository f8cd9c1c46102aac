//! The edge's configuration file. Each table lives with what it configures; here they are only put together.

use porthole_shared::config::Duration;
use porthole_shared::names::EdgeName;
use porthole_shared::telemetry;
use serde::Deserialize;

use crate::directory;
use crate::serve::{admin, public};

/// `edge.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[edge]`: who this is.
    pub edge: Edge,
    /// `[public]`: the listener that people reach.
    pub public: public::Config,
    /// `[admin]`: the listener for health checks.
    #[serde(default)]
    pub admin: admin::Config,
    /// `[agents]`: who this edge is towards agents, and where they are.
    pub agents: directory::Config,
    /// `[drain]`: how to stop.
    #[serde(default)]
    pub drain: Drain,
    /// `[log]`.
    #[serde(default)]
    pub log: telemetry::Config,
}

/// The `[edge]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// The edge's name, for its own logs. Agents go by its certificate.
    pub name: EdgeName,
}

/// The `[drain]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// How long sessions get to end after SIGTERM.
    pub deadline: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(30) }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::directory::{Directory, Source};
    use crate::serve::public::Transport;

    fn packaged(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name)
    }

    #[test]
    fn the_packaged_files_are_good() {
        let config: Config = porthole_shared::config::load(&packaged("edge.toml")).unwrap();
        assert!(matches!(config.public.transport, Transport::Tls(_)));
        assert_eq!(config.agents.nodes, Source::File("/etc/porthole/nodes.toml".into()));
        let nodes = Directory::open(&Source::File(packaged("nodes.toml"))).unwrap();
        assert!(!nodes.nodes().is_empty());
    }

    #[test]
    fn what_is_commented_out_in_the_packaged_file_is_good_too() {
        let text = std::fs::read_to_string(packaged("edge.toml")).unwrap();
        // A line `#setting = …` shows a default or an alternative; the alternatives of one choice exclude each other.
        let alternatives = ["#behind_load_balancer", "#scheme", "#template"];
        let lines = text.lines().map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') && !alternatives.iter().any(|name| line.starts_with(name)) => {
                setting
            }
            _ => line,
        });
        let text: Vec<&str> = lines.collect();
        let config: Config = toml::from_str(&text.join("\n")).unwrap();
        let shipped: Config = porthole_shared::config::load(&packaged("edge.toml")).unwrap();
        assert_eq!(config.drain, shipped.drain, "what is commented out shows the default");
        assert_eq!(config.public.head_timeout, shipped.public.head_timeout);
        assert_eq!(config.public.max_connections, shipped.public.max_connections);
        assert_eq!(config.public.max_connections_per_address, shipped.public.max_connections_per_address);
        assert_eq!(config.admin, shipped.admin);
        assert_eq!(config.log, shipped.log);
    }

    #[test]
    fn every_setting_that_holds_without_a_restart_is_in_the_packaged_file() {
        let text = std::fs::read_to_string(packaged("edge.toml")).unwrap();
        for name in crate::reload::LIVE {
            let (table, setting) = name.split_once('.').unwrap();
            let inside = text.split(&format!("[{table}]\n")).nth(1).unwrap().split("\n[").next().unwrap();
            assert!(inside.lines().any(|line| line.trim_start_matches('#').starts_with(setting)), "{name}");
        }
    }

    #[test]
    fn a_setting_that_does_not_exist_is_an_error_that_names_it() {
        let text = std::fs::read_to_string(packaged("edge.toml")).unwrap();
        for table in ["[edge]", "[public]", "[admin]", "[agents]", "[drain]", "[log]"] {
            assert!(text.contains(table), "{table}");
            let broken = text.replace(table, &format!("{table}\nno_such_setting = 1"));
            let message = toml::from_str::<Config>(&broken).unwrap_err().to_string();
            assert!(message.contains("no_such_setting"), "{table}: {message}");
        }
    }
}
