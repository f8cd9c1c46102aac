//! `porthole pki`: files, and handshakes with them by the code that the daemons use.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use porthole_shared::clock::{Clock as _, SystemClock};
use porthole_shared::tls::{
    AgentIdentity, CertificateFacts, EdgeClientConfigs, EdgePolicy, IdentityFiles, NotAnEdge, Role,
    agent_server_config, certificate_facts, load_certificates, load_key, provider,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use tempfile::TempDir;

use crate::run::{Ran, command, run};

/// A folder of certificates.
struct Pki(TempDir);

impl Pki {
    fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With a CA, an agent `n1` and an edge `e1`.
    fn whole() -> Self {
        let pki = Self::empty();
        pki.run(&["init"]).ok();
        pki.run(&["agent", "--node", "n1", "--san", "127.0.0.1", "--san", "n1.example.org"]).ok();
        pki.run(&["edge", "--name", "e1"]).ok();
        pki
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("pki")
    }

    fn arguments<'a>(dir: &'a str, words: &[&'a str]) -> Vec<&'a str> {
        [&["pki", "--dir", dir], words].concat()
    }

    fn run(&self, words: &[&str]) -> Ran {
        run(&Self::arguments(self.root().to_str().unwrap(), words))
    }

    fn spawn(&self, words: &[&str]) -> std::process::Child {
        let root = self.root();
        let mut command = command(&Self::arguments(root.to_str().unwrap(), words));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root().join(below)
    }

    fn text(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    fn identity(&self, below: &str) -> IdentityFiles {
        let file = |name: &str| self.path(below).join(name);
        IdentityFiles { certificate: file("cert.pem"), key: file("key.pem"), ca: file("ca.pem") }
    }

    fn facts(&self, below: &str) -> CertificateFacts {
        certificate_facts(&load_certificates(&self.path(below)).unwrap()[0]).unwrap()
    }

    /// Every file with its content.
    fn everything(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.root()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push((path.clone(), fs::read(path).unwrap())) }
            }
        }
        found.sort();
        found
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Passes bytes between the two until neither has any, or one fails.
fn handshake(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), rustls::Error> {
    loop {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut there).unwrap();
        }
        let mut rest = there.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        while server.wants_write() {
            server.write_tls(&mut back).unwrap();
        }
        let mut rest = back.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
        if there.is_empty() && back.is_empty() {
            return Ok(());
        }
    }
}

fn connect(edge: &IdentityFiles, node: &str, agent: &IdentityFiles) -> Result<ServerConnection, rustls::Error> {
    connect_as(edge, &AgentIdentity::Role(node.parse().unwrap()), agent)
}

fn connect_as(
    edge: &IdentityFiles,
    to: &AgentIdentity,
    agent: &IdentityFiles,
) -> Result<ServerConnection, rustls::Error> {
    let configs = EdgeClientConfigs::load(edge).unwrap();
    let mut client = ClientConnection::new(configs.for_agent(to), to.server_name().unwrap()).unwrap();
    let mut server = ServerConnection::new(agent_server_config(agent).unwrap()).unwrap();
    handshake(&mut client, &mut server)?;
    Ok(server)
}

#[test]
fn what_is_made_is_what_the_daemons_take() {
    let pki = Pki::whole();
    let (agent, edge) = (pki.identity("agents/n1"), pki.identity("edges/e1"));
    let server = connect(&edge, "n1", &agent).unwrap();
    assert_eq!(EdgePolicy::default().admit(server.peer_certificates(), SystemClock.now()), Ok("e1".parse().unwrap()));
    // By DNS name too, as an operator's directory may have it.
    for name in ["n1", "n1.example.org"] {
        connect_as(&edge, &AgentIdentity::Dns(name.parse().unwrap()), &agent).unwrap();
    }
    assert!(connect(&edge, "n2", &agent).is_err(), "another node's name");
    // The usages are apart: neither can take the other's part.
    assert!(connect(&edge, "e1", &edge).is_err());
    assert!(connect(&agent, "n1", &agent).is_err());
    let chain = load_certificates(&agent.certificate).unwrap();
    assert!(matches!(EdgePolicy::default().admit(Some(&chain), SystemClock.now()), Err(NotAnEdge::OtherRole { .. })));

    let other = Pki::whole();
    assert!(connect(&other.identity("edges/e1"), "n1", &agent).is_err());
    assert!(connect(&edge, "n1", &other.identity("agents/n1")).is_err());
}

#[test]
fn keys_are_private_whatever_the_umask() {
    let pki = Pki::empty();
    let root = pki.root();
    for umask in ["000", "077"] {
        let root = root.with_extension(umask);
        let script = "umask \"$1\"; p=$2; d=$3; \"$p\" pki init --dir \"$d\" && \"$p\" pki agent --dir \"$d\" --node n1 \
                      && \"$p\" pki public --dir \"$d\" --san localhost && \"$p\" pki renew agent n1 --dir \"$d\"";
        let binary = env!("CARGO_BIN_EXE_porthole");
        let ran = Command::new("sh").args(["-ec", script, "sh", umask, binary]).arg(&root).output().unwrap();
        Ran::from(ran).ok();
        for key in ["ca.key", "agents/n1/key.pem", "public/key.pem"] {
            assert_eq!(mode(&root.join(key)), 0o600, "{key} with umask {umask}");
        }
        for folder in ["", "agents", "agents/n1", "public"] {
            assert_eq!(mode(&root.join(folder)), 0o700, "{folder} with umask {umask}");
        }
    }
}

#[test]
fn nothing_is_overwritten() {
    let pki = Pki::whole();
    pki.run(&["public", "--san", "localhost"]).ok();
    let before = pki.everything();
    pki.run(&["init"]).failed(1).saying(&["ca.pem", "already", "renew ca", pki.root().to_str().unwrap()]);
    pki.run(&["agent", "--node", "n1", "--san", "10.0.0.9"]).failed(1).saying(&["already", "renew agent n1"]);
    pki.run(&["edge", "--name", "e1"]).failed(1).saying(&["renew edge e1"]);
    pki.run(&["public", "--san", "other"]).failed(1).saying(&["renew public"]);
    assert_eq!(pki.everything(), before);
}

#[test]
fn one_is_renewed_without_the_rest() {
    let pki = Pki::whole();
    let (edge_before, ca_before) = (pki.text("edges/e1/cert.pem"), pki.text("ca.pem"));
    let (key_before, certificate_before) = (pki.text("agents/n1/key.pem"), pki.text("agents/n1/cert.pem"));
    let names_before = pki.facts("agents/n1/cert.pem");

    let written = pki.run(&["renew", "agent", "n1", "--json"]).ok().json();
    assert_eq!(written["renewed"], true);
    assert_eq!(written["names"], serde_json::json!(["n1", "127.0.0.1", "n1.example.org"]));
    let key_after = pki.text("agents/n1/key.pem");
    assert_ne!(key_after, key_before);
    let facts = pki.facts("agents/n1/cert.pem");
    assert_eq!((&facts.roles, &facts.dns_names), (&names_before.roles, &names_before.dns_names));

    pki.run(&["renew", "agent", "n1", "--keep-key"]).ok();
    assert_eq!(pki.text("agents/n1/key.pem"), key_after);
    assert_ne!(pki.text("agents/n1/cert.pem"), certificate_before);
    assert_eq!(mode(&pki.path("agents/n1/key.pem")), 0o600);
    assert_eq!((pki.text("edges/e1/cert.pem"), pki.text("ca.pem")), (edge_before, ca_before));
    connect(&pki.identity("edges/e1"), "n1", &pki.identity("agents/n1")).unwrap();

    let written = pki.run(&["renew", "agent", "n1", "--san", "10.0.0.6", "--json"]).ok().json();
    assert_eq!(written["names"], serde_json::json!(["n1", "10.0.0.6"]));
    pki.run(&["renew", "edge", "e1"]).ok();
    connect(&pki.identity("edges/e1"), "n1", &pki.identity("agents/n1")).unwrap();
    pki.run(&["renew", "agent", "n2"]).failed(1).saying(&["n2", "agent --node n2", "pki show"]);
}

#[test]
fn a_renewed_ca_trusts_what_it_signed_and_is_trusted_by_who_has_the_old_one() {
    let pki = Pki::whole();
    let old = pki.0.path().join("old.pem");
    fs::copy(pki.path("ca.pem"), &old).unwrap();
    let leaf = pki.text("edges/e1/cert.pem");
    pki.run(&["renew", "ca", "--days", "7300"]).ok();
    assert_ne!(pki.text("ca.pem"), fs::read_to_string(&old).unwrap());
    assert_eq!(pki.text("agents/n1/ca.pem"), pki.text("ca.pem"), "the copies go with it");
    assert_eq!(pki.text("edges/e1/cert.pem"), leaf);
    connect(&pki.identity("edges/e1"), "n1", &pki.identity("agents/n1")).unwrap();

    // Signed by the new one, met by an edge that has not got it yet.
    pki.run(&["renew", "agent", "n1"]).ok();
    let late = IdentityFiles { ca: old, ..pki.identity("edges/e1") };
    connect(&late, "n1", &pki.identity("agents/n1")).unwrap();
}

#[test]
fn the_public_one_is_apart_and_serves_names_and_addresses() {
    let pki = Pki::empty();
    // Works without a CA: it is not of it.
    pki.run(&["public", "--san", "localhost", "--san", "127.0.0.1", "--san", "::1"]).ok();
    let certificate = pki.path("public/cert.pem");
    let chain = load_certificates(&certificate).unwrap();
    assert_eq!(certificate_facts(&chain[0]).unwrap().roles, []);
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.clone(), load_key(&pki.path("public/key.pem")).unwrap())
        .map(Arc::new)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(chain[0].clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Arc::new(client);
    let try_name = |name: &'static str| {
        let mut client = ClientConnection::new(Arc::clone(&client), ServerName::try_from(name).unwrap()).unwrap();
        handshake(&mut client, &mut ServerConnection::new(Arc::clone(&server)).unwrap())
    };
    for name in ["localhost", "127.0.0.1", "::1"] {
        try_name(name).unwrap();
    }
    assert!(try_name("example.org").is_err());
    pki.run(&["public", "--san", "x", "--days", "398"]).failed(1).saying(&["397"]);
    assert!(!pki.path("ca.pem").exists());
}

#[test]
fn without_a_whole_ca_nothing_is_signed_and_nothing_is_left() {
    let pki = Pki::empty();
    pki.run(&["agent", "--node", "n1"]).failed(1).saying(&["there is no CA", "pki init"]);
    pki.run(&["renew", "ca"]).failed(1).saying(&["there is no CA"]);
    assert!(!pki.root().exists());

    pki.run(&["init"]).ok();
    let key = pki.text("ca.key");
    fs::remove_file(pki.path("ca.key")).unwrap();
    let before = pki.everything();
    pki.run(&["agent", "--node", "n1"]).failed(1).saying(&["but not", "ca.key", "backup"]);
    pki.run(&["init"]).failed(1).saying(&["but not", "ca.key"]);
    fs::write(pki.path("ca.key"), "no key").unwrap();
    pki.run(&["agent", "--node", "n1"]).failed(4).saying(&["key"]);
    fs::write(pki.path("ca.key"), Pki::whole().text("ca.key")).unwrap();
    pki.run(&["edge", "--name", "e1"]).failed(1).saying(&["the key is another's", "backup"]);
    fs::remove_file(pki.path("ca.key")).unwrap();
    assert_eq!(pki.everything(), before);
    fs::write(pki.path("ca.key"), key).unwrap();
    pki.run(&["agent", "--node", "n1"]).ok();
}

#[test]
fn an_error_in_the_middle_leaves_nothing() {
    let pki = Pki::empty();
    pki.run(&["init"]).ok();
    // Where the folder of agents should be, there is a file.
    fs::write(pki.path("agents"), "").unwrap();
    let before = pki.everything();
    pki.run(&["agent", "--node", "n1"]).failed(4).saying(&["agents"]);
    pki.run(&["agent", "--node", "10.0.0.1"]).failed(2).saying(&["10.0.0.1", "no address"]);
    pki.run(&["agent", "--node", "7"]).failed(2).saying(&["no address"]);
    assert_eq!(pki.everything(), before);
    fs::set_permissions(pki.root(), fs::Permissions::from_mode(0o777)).unwrap();
    pki.run(&["edge", "--name", "e1"]).failed(1).saying(&["every user", "chmod o-w"]);
}

#[test]
fn many_at_once_do_not_get_in_each_others_way() {
    let pki = Pki::empty();
    let inits: Vec<_> = (0..6).map(|_| pki.spawn(&["init"])).collect();
    let codes: Vec<i32> = inits.into_iter().map(|child| Ran::from(child.wait_with_output().unwrap()).code).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 1).count(), 5, "{codes:?}");

    let names = ["a", "b", "c", "d"];
    let mut children: Vec<_> = names.iter().map(|name| pki.spawn(&["agent", "--node", name])).collect();
    children.extend(names.iter().map(|name| pki.spawn(&["edge", "--name", name])));
    for child in children {
        Ran::from(child.wait_with_output().unwrap()).ok();
    }
    let renewals: Vec<_> = (0..6).map(|_| pki.spawn(&["renew", "agent", "a"])).collect();
    for child in renewals {
        Ran::from(child.wait_with_output().unwrap()).ok();
    }
    for name in names {
        connect(&pki.identity(&format!("edges/{name}")), name, &pki.identity(&format!("agents/{name}"))).unwrap();
    }
    let left: Vec<_> =
        pki.everything().into_iter().filter(|(path, _)| path.to_string_lossy().contains(".new-")).collect();
    assert_eq!(left, []);
}

#[test]
fn what_is_made_says_where_it_goes() {
    let pki = Pki::empty();
    let root = pki.root();
    let text = pki.run(&["init"]).ok().stdout;
    assert!(text.contains(&format!("pki agent --node NODE --san ADDRESS --dir {}", root.display())), "{text}");
    let written = pki.run(&["agent", "--node", "n1", "--days", "30", "--json"]).ok().json();
    assert_eq!(written["certificate"], root.join("agents/n1/cert.pem").to_str().unwrap());
    assert_eq!(written["key"], root.join("agents/n1/key.pem").to_str().unwrap());
    assert_eq!(written["ca"], root.join("agents/n1/ca.pem").to_str().unwrap());
    assert_eq!(pki.facts("agents/n1/cert.pem").roles, [Role::Agent("n1".parse().unwrap())]);
    let text = pki.run(&["edge", "--name", "e1", "--days", "36500"]).ok().stdout;
    assert!(text.contains("less long than asked for") && text.contains("[agents]"), "{text}");
    assert_eq!(pki.facts("edges/e1/cert.pem").not_after, pki.facts("ca.pem").not_after);
}

#[test]
fn what_there_is_is_shown_with_what_to_do() {
    let pki = Pki::empty();
    let ran = pki.run(&["show"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert!(ran.stderr.contains("pki init"));

    pki.run(&["init"]).ok();
    pki.run(&["agent", "--node", "n1", "--san", "10.0.0.5"]).ok();
    pki.run(&["agent", "--node", "soon", "--days", "29"]).ok();
    pki.run(&["edge", "--name", "e1"]).ok();
    pki.run(&["public", "--san", "localhost"]).ok();
    let other = Pki::whole();
    fs::copy(other.path("edges/e1/cert.pem"), pki.path("edges/e1/cert.pem")).unwrap();
    fs::write(pki.path("public/cert.pem"), "no certificate").unwrap();
    fs::set_permissions(pki.path("agents/n1/key.pem"), fs::Permissions::from_mode(0o604)).unwrap();

    let shown = pki.run(&["show", "--json"]).ok().json();
    let all = shown["certificates"].as_array().unwrap();
    let states: Vec<_> =
        all.iter().map(|entry| (&entry["what"], &entry["state"])).map(|(w, s)| format!("{w} {s}")).collect();
    let expected = ["ca valid", "agent n1 valid", "agent soon expiring", "edge e1 foreign", "public unreadable"];
    assert_eq!(states.iter().map(|state| state.replace('"', "")).collect::<Vec<_>>(), expected);
    assert_eq!(all[1]["roles"][0], "porthole://agent/n1");
    let days = all[1]["days_left"].as_i64().unwrap();
    assert!((364..=365).contains(&days), "{days}");
    assert!(all[1]["advice"].as_str().unwrap().contains("mode 0604"));
    assert!(all[2]["advice"].as_str().unwrap().contains("renew agent soon"));

    let table = pki.run(&["status"]).ok().stdout;
    assert_eq!(table.lines().count(), 6);
    assert!(table.starts_with("WHAT") && table.contains("n1,10.0.0.5") && !table.contains('\u{1b}'), "{table}");
    let within = pki.run(&["show", "--within", "400", "--json"]).ok().json();
    assert_eq!(within["certificates"][1]["state"], "expiring");
}

#[test]
fn a_clients_certificate_has_its_name_and_no_role() {
    let pki = Pki::whole();
    let text = pki.run(&["client", "--name", "dashboard.example.org"]).ok().stdout;
    for words in ["[[api.client]]", "name = \"dashboard.example.org\"", "curl --cacert"] {
        assert!(text.contains(words), "{words:?} is missing in: {text}");
    }
    let shown = pki.run(&["show", "--json"]).ok().json();
    let all = shown["certificates"].as_array().unwrap();
    let ours = all.iter().find(|one| one.to_string().contains("dashboard.example.org")).unwrap();
    assert_eq!((&ours["roles"], &ours["state"]), (&serde_json::json!([]), &serde_json::json!("valid")), "{ours}");
    pki.run(&["client", "--name", "dashboard.example.org"]).failed(1).saying(&["renew client dashboard.example.org"]);
    let renewed = pki.run(&["renew", "client", "dashboard.example.org"]).ok().stdout;
    assert!(!renewed.contains("[[api.client]]"), "{renewed}");
    pki.run(&["renew", "client", "nobody"]).failed(1).saying(&["client --name nobody"]);
}
