//! The agent's configuration file: only what belongs together. What a setting means lies beside what it configures.

use std::path::{Path, PathBuf};

use porthole_shared::config::{LoadError, contradiction, parse, read};
use porthole_shared::names::{NodeId, NodeName};
use porthole_shared::telemetry;
use serde::Deserialize;

use crate::{admin, api, audit, consoles, hook, hypervisor, ports, serial, sessions, tokens, tunnel};

/// `agent.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which node this is.
    pub node: Node,
    /// How libvirt is reached.
    #[serde(default)]
    pub libvirt: hypervisor::Config,
    /// Where consoles that listen on ports do so.
    #[serde(default)]
    pub ports: ports::Config,
    /// Where this host keeps what belongs to consoles.
    #[serde(default)]
    pub consoles: porthole_domain::Host,
    /// For the node itself, and for control planes.
    #[serde(default)]
    pub api: api::Config,
    /// What libvirt runs at each step of a domain's life.
    #[serde(default)]
    pub hook: hook::Config,
    /// For whoever watches over the node.
    #[serde(default)]
    pub admin: admin::Config,
    /// For edges.
    pub tunnel: tunnel::Config,
    /// How long tokens live.
    #[serde(default)]
    pub tokens: tokens::Config,
    /// How long sessions last.
    #[serde(default)]
    pub sessions: sessions::Config,
    /// How much of serial ports is kept.
    #[serde(default)]
    pub serial: serial::Config,
    /// What is remembered of who did what.
    #[serde(default)]
    pub audit: audit::Config,
    /// Where consoles are shown.
    #[serde(default)]
    pub urls: tokens::Urls,
    /// Consoles that libvirt does not know.
    #[serde(default)]
    pub external: consoles::External,
    /// What is logged.
    #[serde(default)]
    pub log: telemetry::Config,
}

/// Which node this is, and where its agent keeps its state.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name, as in its certificate.
    pub name: NodeName,
    /// What tokens call it; by default derived from the name, as edges do.
    #[serde(default)]
    id: Option<NodeId>,
    /// The database and the signing keys.
    #[serde(default = "var_lib_porthole")]
    pub state_dir: PathBuf,
}

fn var_lib_porthole() -> PathBuf {
    PathBuf::from("/var/lib/porthole")
}

impl Node {
    /// What tokens call this node.
    pub fn id(&self) -> NodeId {
        self.id.clone().unwrap_or_else(|| NodeId::derived_from(&self.name))
    }
}

impl Config {
    /// Reads and checks the file.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        Self::parse(path, &read(path)?)
    }

    /// As [`Self::load`], where the text is at hand.
    pub fn parse(path: &Path, text: &str) -> Result<Self, LoadError> {
        let config: Self = parse(path, text)?;
        match config.problem() {
            Some(problem) => Err(contradiction(path, text, &problem)),
            None => Ok(config),
        }
    }

    fn problem(&self) -> Option<String> {
        let nothing = !self.libvirt.enabled && self.external.consoles().is_empty();
        let nothing = nothing.then(|| {
            "[libvirt] enabled is false and there is no [[external.console]]: this agent would have no console at all"
                .to_owned()
        });
        self.tokens
            .problem()
            .or_else(|| self.sessions.problem())
            .or_else(|| self.libvirt.problem())
            .or_else(|| self.ports.problem())
            .or_else(|| self.tunnel.problem())
            .or_else(|| self.api.problem(&self.tunnel))
            .or_else(|| self.hook.problem())
            .or_else(|| self.audit.problem())
            .or_else(|| self.serial.problem())
            .or_else(|| {
                let relative = [&self.node.state_dir, &self.api.socket].into_iter().find(|path| path.is_relative());
                relative.map(|path| format!("{} is a relative path; write it from `/` on", path.display()))
            })
            .or(nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = r#"
        [node]
        name = "compute-1"
        [tunnel]
        certificate = "/etc/porthole/agent.pem"
        key = "/etc/porthole/agent.key"
        ca = "/etc/porthole/ca.pem"
    "#;

    fn load_text(text: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn the_packaged_sample_is_valid_and_says_the_defaults() {
        let sample = Config::load(Path::new("../packaging/agent.toml")).unwrap();
        let smallest = load_text(SMALLEST).unwrap();
        assert_eq!(sample.tokens, smallest.tokens);
        assert_eq!(sample.sessions, smallest.sessions);
        assert_eq!(sample.audit, smallest.audit);
        assert_eq!(sample.serial, smallest.serial);
        assert_eq!(sample.libvirt, smallest.libvirt);
        assert_eq!(sample.ports, smallest.ports);
        assert_eq!(sample.consoles, smallest.consoles);
        assert_eq!(sample.log, smallest.log);
        assert_eq!(sample.api, smallest.api);
        assert_eq!(sample.admin, smallest.admin);
        assert_eq!(sample.node, smallest.node);
        assert!(sample.urls.vnc.is_some());
    }

    #[test]
    fn every_commented_line_of_the_sample_is_valid_too() {
        let text = std::fs::read_to_string("../packaging/agent.toml").unwrap();
        let all: String = text
            .lines()
            .map(|line| line.strip_prefix("#").filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        let config = load_text(&all).unwrap();
        assert_eq!(config.external.consoles().len(), 1);
        assert!(config.api.group.is_some() && config.node.id.is_some());
        assert!(config.api.client_ca.is_some() && config.api.client.len() == 1);
    }

    #[test]
    fn a_node_without_id_has_the_derived_one() {
        let config = load_text(SMALLEST).unwrap();
        assert_eq!(config.node.id(), NodeId::derived_from(&config.node.name));
        let named = load_text(&SMALLEST.replace("[node]", "[node]\nid = \"n-17\"")).unwrap();
        assert_eq!(named.node.id().as_str(), "n-17");
    }

    #[test]
    fn contradictions_are_found_and_named() {
        for (more, expected) in [
            ("[tokens]\nredeem_within = \"2h\"", "longest_ttl (1h) is shorter than redeem_within (2h)"),
            ("[tokens]\nkey_rotation = \"1h\"", "longer than key_lead"),
            ("[tokens]\nredeem_within = \"0s\"", "redeem_within is less than a second"),
            ("[sessions]\nmax = 0", "[sessions] max is 0"),
            ("[sessions]\nmax = 5", "max_per_console is 32"),
            ("[sessions]\nping_interval = \"0s\"", "ping_interval is 0"),
            ("[sessions]\nidle = \"0s\"", "[sessions] idle is 0s; use 1s to"),
            ("[sessions]\nidle = \"13h\"", "which is 12h"),
            ("[sessions]\nidle = \"2h\"\nlongest_idle = \"1h\"", "which is 1h"),
            ("[sessions]\nidle = \"2h\"\nlongest_idle = \"13h\"", "longer than longest (12h)"),
            ("[sessions]\nlongest_idle = \"1h\"", "set idle too"),
            ("[sessions]\nmax_per_requestor = 0", "max_per_requestor is 0"),
            ("[sessions]\nmax_per_client = 1001", "max_per_client is 1001"),
            ("[sessions]\nlongest = \"900ms\"", "longest is less than a second"),
            ("[libvirt]\ncall_timeout = \"0s\"", "call_timeout is 0"),
            ("[libvirt]\nenabled = false", "no console at all"),
            ("[api]\nsocket = \"agent.sock\"", "relative path"),
            ("[urls]\nvnc = \"consoles.example.org\"", "https://"),
            ("[urls]\nrdp = \"https://consoles.example.org/\"", "unknown field"),
            ("[serial]\nlast_kib = 1", "[serial] last_kib is 1"),
            ("[serial]\nmax_mib = 0", "[serial] max_mib is 0"),
            ("[ports]\nserial = \"20000:10000\"", "reversed"),
            ("[ports]\nserial = \"10000:20001\"", "overlap"),
            ("[audit]\nmax_mib = 0", "[audit] max_mib is 0"),
            ("[audit]\nretention = \"0s\"", "[audit] retention"),
            ("[tokens]\npolicy = \"twice\"", "twice"),
            ("[nodes]", "unknown field"),
        ] {
            let message = load_text(&format!("{SMALLEST}\n{more}")).unwrap_err();
            assert!(message.contains(expected) && message.contains("agent.toml"), "{more}: {message}");
        }
    }

    #[test]
    fn a_contradiction_names_its_line() {
        let line = 2 + SMALLEST.lines().count();
        let message = load_text(&format!("{SMALLEST}\n[sessions]\nmax = 0")).unwrap_err();
        assert!(message.contains(&format!("line {line}: [sessions] max is 0")), "{message}");
    }

    #[test]
    fn every_setting_that_holds_without_a_restart_is_in_the_sample() {
        let text = std::fs::read_to_string("../packaging/agent.toml").unwrap();
        for name in crate::reload::LIVE {
            let (table, setting) = name.split_once('.').unwrap_or((name, ""));
            let inside = text.split(&format!("[{table}]\n")).nth(1).unwrap_or_else(|| panic!("no [{table}]"));
            let inside = inside.split("\n[").next().unwrap();
            assert!(inside.lines().any(|line| line.trim_start_matches('#').starts_with(setting)), "{name}");
        }
    }
}
