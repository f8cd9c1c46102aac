//! What was written, and what to do with it.

use std::path::{Path, PathBuf};

use porthole_shared::names::{ClientName, EdgeName, NodeName};
use serde_json::{Value, json};

use super::authority::Term;
use super::command;
use super::issue::{AUTHORITY, AUTHORITY_KEY, CERTIFICATE, KEY};
use super::names::{Purpose, SubjectName};

/// Where the advice has the files copied to.
const INSTALLED: &str = "/etc/porthole/tls";

/// The outcome of making or renewing one certificate.
#[derive(Debug)]
pub(super) struct Written {
    /// The folder of everything.
    pub(super) root: PathBuf,
    /// What the certificate is for.
    pub(super) purpose: Purpose,
    /// The names on it.
    pub(super) names: Vec<SubjectName>,
    /// When it is valid.
    pub(super) term: Term,
    /// It ends with the CA, sooner than asked for.
    pub(super) cut_short: bool,
    /// It took the place of another.
    pub(super) renewed: bool,
}

impl Written {
    /// For `--json`.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "purpose": self.purpose.word(),
            "name": self.purpose.name(),
            "certificate": self.certificate(),
            "key": self.key(),
            "ca": self.authority(),
            "names": self.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "not_before": self.term.not_before.to_rfc3339(),
            "not_after": self.term.not_after.to_rfc3339(),
            "cut_short": self.cut_short,
            "renewed": self.renewed,
        })
    }

    /// For people.
    pub(super) fn to_text(&self) -> String {
        let done = if self.renewed { "Renewed" } else { "Made" };
        let mut text = format!("{done} the certificate of {}, valid until {}:\n\n", self.purpose, self.term.not_after);
        line(&mut text, &self.certificate(), "the certificate");
        line(&mut text, &self.key(), "its private key, mode 0600");
        if let Some(path) = self.authority().filter(|_| self.purpose != Purpose::Authority) {
            line(&mut text, &path, "a copy of the CA's certificate");
        }
        if self.cut_short {
            let renew = command(&self.root, "renew ca");
            text.extend(["\nIt is valid for less long than asked for, because the CA expires then: ", &renew, "\n"]);
        }
        text.push('\n');
        text.push_str(&match &self.purpose {
            Purpose::Authority => self.authority_advice(),
            Purpose::Agent(node) => self.agent_advice(node),
            Purpose::Edge(edge) => self.edge_advice(edge),
            Purpose::Client(client) => self.client_advice(client),
            Purpose::Public => self.public_advice(),
        });
        text
    }

    fn certificate(&self) -> PathBuf {
        match self.purpose {
            Purpose::Authority => self.root.join(AUTHORITY),
            Purpose::Agent(_) | Purpose::Edge(_) | Purpose::Client(_) | Purpose::Public => {
                self.folder().join(CERTIFICATE)
            }
        }
    }

    fn key(&self) -> PathBuf {
        match self.purpose {
            Purpose::Authority => self.root.join(AUTHORITY_KEY),
            Purpose::Agent(_) | Purpose::Edge(_) | Purpose::Client(_) | Purpose::Public => self.folder().join(KEY),
        }
    }

    /// The CA's certificate beside it.
    fn authority(&self) -> Option<PathBuf> {
        (self.purpose != Purpose::Public).then(|| self.folder().join(AUTHORITY))
    }

    fn folder(&self) -> PathBuf {
        self.root.join(self.purpose.folder())
    }

    fn authority_advice(&self) -> String {
        if self.renewed {
            format!(
                "Its name and key are as before, so what it signed stays good. Copy the new {AUTHORITY} to every agent and\n\
                 edge, as {INSTALLED}/{AUTHORITY}; they take it up by themselves.\n"
            )
        } else {
            format!(
                "Keep {AUTHORITY_KEY} where only you can read it, and a copy off this machine: whoever has it can be any agent\n\
                 and any edge. Agents and edges need {AUTHORITY} only; they get it with their certificates:\n\n  \
                 {}\n  {}\n",
                command(&self.root, "agent --node NODE --san ADDRESS"),
                command(&self.root, "edge --name NAME"),
            )
        }
    }

    fn agent_advice(&self, node: &NodeName) -> String {
        let copy = self.copy_advice(&format!("the node {node}"), "agent");
        if self.renewed {
            return copy;
        }
        // Where edges reach it: the first name that is not just the node's own.
        let host = self.names.iter().find(|name| name.to_string() != node.as_str()).map_or_else(
            || node.to_string(),
            |name| match name {
                SubjectName::Address(std::net::IpAddr::V6(address)) => format!("[{address}]"),
                SubjectName::Address(_) | SubjectName::Dns(_) => name.to_string(),
            },
        );
        format!(
            "{copy}\nIn its agent.toml:\n\n{}\nIn the nodes.toml of each edge:\n\n{}",
            indented(&format!("[node]\nname = \"{node}\"\n\n{}", identity("tunnel"))),
            indented(&format!("[[node]]\nname = \"{node}\"\naddress = \"{host}:6090\"\n")),
        )
    }

    fn edge_advice(&self, edge: &EdgeName) -> String {
        let copy = self.copy_advice(&format!("the edge {edge}"), "edge");
        if self.renewed {
            return copy;
        }
        let toml = indented(&format!("[edge]\nname = \"{edge}\"\n\n{}", identity("agents")));
        format!(
            "{copy}\nIn its edge.toml:\n\n{toml}\nThis is not what browsers see: [public] tls wants a certificate of a public \
             CA, or, for a trial,\none of `porthole pki public`.\n"
        )
    }

    fn client_advice(&self, client: &ClientName) -> String {
        let copy = format!(
            "Give these files to {client}, readable by its user only. It reaches an agent's API as\n\n  \
             curl --cacert {AUTHORITY} --cert {CERTIFICATE} --key {KEY} https://HOST:6092/v1/status\n"
        );
        if self.renewed {
            return copy;
        }
        let toml = format!("[[api.client]]\nname = \"{client}\"\nrole = \"minter\"\n");
        format!(
            "{copy}\nIn each agent.toml, with [api] listen, and the role that it shall have:\n\n{}",
            indented(&toml)
        )
    }

    fn public_advice(&self) -> String {
        let (certificate, key) = (self.certificate(), self.key());
        let toml = format!("[public.tls]\ncertificate = {}\nkey = {}\n", quoted(&certificate), quoted(&key));
        format!(
            "It is signed by itself: browsers will warn, and clients must be told to trust this very file. For trials only.\n\
             \nIn edge.toml:\n\n{}",
            indented(&toml)
        )
    }

    fn copy_advice(&self, whose: &str, service: &str) -> String {
        let again =
            if self.renewed { " again; it takes them up by itself" } else { ", readable by the service's user only" };
        format!(
            "Copy these files to {whose}, into {INSTALLED}/{again}:\n\n  \
             scp -p {}/*.pem {}:{INSTALLED}/\n",
            self.folder().display(),
            self.purpose.name().unwrap_or(service),
        )
    }
}

fn line(text: &mut String, path: &Path, what: &str) {
    text.extend(["  ", &path.display().to_string(), "  ", what, "\n"]);
}

/// The settings that shared's `IdentityFiles` reads.
fn identity(section: &str) -> String {
    let path = |name: &str| quoted(&Path::new(INSTALLED).join(name));
    format!("[{section}]\ncertificate = {}\nkey = {}\nca = {}\n", path(CERTIFICATE), path(KEY), path(AUTHORITY))
}

/// A TOML basic string.
fn quoted(path: &Path) -> String {
    Value::String(path.display().to_string()).to_string()
}

fn indented(text: &str) -> String {
    text.lines().fold(String::new(), |mut all, line| {
        all.push_str(if line.is_empty() { "" } else { "  " });
        all.push_str(line);
        all.push('\n');
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use porthole_shared::clock::UnixTime;
    use porthole_shared::tls::IdentityFiles;

    fn written(purpose: Purpose, names: &[&str]) -> Written {
        Written {
            root: "/pki".into(),
            purpose,
            names: names.iter().map(|name| name.parse().unwrap()).collect(),
            term: Term::days(UnixTime(0), 1),
            cut_short: false,
            renewed: false,
        }
    }

    /// The TOML in an advice: its indented lines between two sentences.
    fn toml_after(text: &str, marker: &str) -> toml::Table {
        let block = text.split_once(marker).unwrap().1;
        let lines = block.lines().skip(2).take_while(|line| line.is_empty() || line.starts_with("  "));
        toml::from_str(&lines.map(str::trim).collect::<Vec<_>>().join("\n")).unwrap()
    }

    #[test]
    fn what_is_to_be_put_into_configuration_files_is_toml_that_the_daemons_read() {
        let agent = written(Purpose::Agent("n1".parse().unwrap()), &["n1", "2001:db8::5"]).to_text();
        let config = toml_after(&agent, "In its agent.toml:");
        assert_eq!(config["node"]["name"].as_str(), Some("n1"));
        let files: IdentityFiles = config["tunnel"].clone().try_into().unwrap();
        assert_eq!(files.key, Path::new("/etc/porthole/tls/key.pem"));
        let nodes = toml_after(&agent, "In the nodes.toml of each edge:");
        assert_eq!(nodes["node"][0]["address"].as_str(), Some("[2001:db8::5]:6090"));

        let edge = written(Purpose::Edge("e1".parse().unwrap()), &[]).to_text();
        let config = toml_after(&edge, "In its edge.toml:");
        assert_eq!(config["edge"]["name"].as_str(), Some("e1"));
        assert!(config["agents"].clone().try_into::<IdentityFiles>().is_ok());

        let public = written(Purpose::Public, &["localhost"]).to_text();
        let config = toml_after(&public, "In edge.toml:");
        assert_eq!(config["public"]["tls"]["certificate"].as_str(), Some("/pki/public/cert.pem"));
    }

    #[test]
    fn a_renewal_says_what_to_copy_and_not_what_is_configured_already() {
        for purpose in [Purpose::Agent("n1".parse().unwrap()), Purpose::Edge("e1".parse().unwrap())] {
            let text = Written { renewed: true, ..written(purpose, &["n1"]) }.to_text();
            assert!(text.starts_with("Renewed") && text.contains("scp") && !text.contains("toml"), "{text}");
        }
        let cut = Written { cut_short: true, ..written(Purpose::Edge("e1".parse().unwrap()), &[]) }.to_text();
        assert!(cut.contains("porthole pki renew ca"), "{cut}");
    }
}
