use super::*;
use crate::clock::{Clock as _, SystemClock};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::{ClientConnection, ServerConnection};
use std::fs;
use tempfile::TempDir;

/// A CA in a directory, and certificates of it.
struct Pki {
    dir: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
        Self { dir, ca }
    }

    fn issue(&self, file: &str, roles: &[Role], dns: &[&str]) -> IdentityFiles {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(dns.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        for role in roles {
            params.subject_alt_names.push(SanType::URI(role.to_uri().try_into().unwrap()));
        }
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        let path = |suffix: &str| self.dir.path().join(format!("{file}.{suffix}"));
        fs::write(path("pem"), certificate.pem()).unwrap();
        fs::write(path("key"), key.serialize_pem()).unwrap();
        IdentityFiles { certificate: path("pem"), key: path("key"), ca: self.dir.path().join("ca.pem") }
    }
}

fn edge(name: &str) -> Role {
    Role::Edge(name.parse().unwrap())
}

fn agent(name: &str) -> Role {
    Role::Agent(name.parse().unwrap())
}

fn now() -> UnixTime {
    SystemClock.now()
}

/// Passes bytes between the two until neither has any, or one fails.
fn handshake(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), rustls::Error> {
    loop {
        let mut moved = 0;
        let mut wire = Vec::new();
        while client.wants_write() {
            moved += client.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            moved += server.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
        if moved == 0 {
            return Ok(());
        }
    }
}

fn connect(
    client: &EdgeClientConfigs,
    to: &AgentIdentity,
    server: &Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let mut client = ClientConnection::new(client.for_agent(to), to.server_name().unwrap()).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    handshake(&mut client, &mut server)?;
    Ok((client, server))
}

#[test]
fn an_edge_reaches_the_node_it_dialled_and_is_recognised_also_when_resumed() {
    let pki = Pki::new();
    let server = agent_server_config(&pki.issue("agent", &[agent("n1")], &[])).unwrap();
    let client = EdgeClientConfigs::load(&pki.issue("edge", &[edge("e1")], &[])).unwrap();
    let to = AgentIdentity::Role("n1".parse().unwrap());
    let policy = EdgePolicy::default();

    let (_, first) = connect(&client, &to, &server).unwrap();
    assert_eq!(first.handshake_kind(), Some(rustls::HandshakeKind::Full));
    assert_eq!(policy.admit(first.peer_certificates(), now()), Ok("e1".parse().unwrap()));

    let (_, second) = connect(&client, &to, &server).unwrap();
    assert_eq!(second.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    let denied = EdgePolicy { denied: vec!["e1".parse().unwrap()], ..EdgePolicy::default() };
    assert_eq!(denied.admit(second.peer_certificates(), now()), Err(NotAnEdge::Denied("e1".parse().unwrap())));

    // Reloaded trust takes no ticket of before.
    let reloaded = agent_server_config(&pki.issue("agent", &[agent("n1")], &[])).unwrap();
    let (_, third) = connect(&client, &to, &reloaded).unwrap();
    assert_eq!(third.handshake_kind(), Some(rustls::HandshakeKind::Full));
}

#[test]
fn another_nodes_certificate_is_refused_by_the_edge() {
    let pki = Pki::new();
    let server = agent_server_config(&pki.issue("agent", &[agent("n2")], &["n1"])).unwrap();
    let client = EdgeClientConfigs::load(&pki.issue("edge", &[edge("e1")], &[])).unwrap();
    let error = connect(&client, &AgentIdentity::Role("n1".parse().unwrap()), &server).unwrap_err();
    assert_eq!(error, rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForName));

    // An edge's certificate does not pass for an agent's either.
    let server = agent_server_config(&pki.issue("edge2", &[edge("n1")], &[])).unwrap();
    assert!(connect(&client, &AgentIdentity::Role("n1".parse().unwrap()), &server).is_err());
}

#[test]
fn another_cas_certificate_is_refused_by_both() {
    let (ours, theirs) = (Pki::new(), Pki::new());
    let to = AgentIdentity::Role("n1".parse().unwrap());
    let our_agent = agent_server_config(&ours.issue("agent", &[agent("n1")], &[])).unwrap();
    let their_agent = agent_server_config(&theirs.issue("agent", &[agent("n1")], &[])).unwrap();
    let our_edge = EdgeClientConfigs::load(&ours.issue("edge", &[edge("e1")], &[])).unwrap();
    let mut mixed = theirs.issue("edge", &[edge("e1")], &[]);
    mixed.ca = ours.dir.path().join("ca.pem");
    let their_edge = EdgeClientConfigs::load(&mixed).unwrap();
    assert!(connect(&our_edge, &to, &their_agent).is_err());
    assert!(connect(&their_edge, &to, &our_agent).is_err());
}

#[test]
fn an_operators_own_names_work_where_they_are_listed() {
    let pki = Pki::new();
    let server = agent_server_config(&pki.issue("agent", &[], &["host1.example.org"])).unwrap();
    let client = EdgeClientConfigs::load(&pki.issue("edge", &[], &["edge1.example.org"])).unwrap();
    let by_name = AgentIdentity::Dns("host1.example.org".parse().unwrap());
    let (_, connection) = connect(&client, &by_name, &server).unwrap();

    let listed = EdgePolicy { dns_names: vec!["edge1.example.org".parse().unwrap()], ..EdgePolicy::default() };
    assert_eq!(listed.admit(connection.peer_certificates(), now()), Ok("edge1.example.org".parse().unwrap()));
    let unlisted = EdgePolicy::default().admit(connection.peer_certificates(), now()).unwrap_err();
    assert!(unlisted.to_string().contains("edge1.example.org"), "{unlisted}");

    let other = AgentIdentity::Dns("host2.example.org".parse().unwrap());
    assert!(connect(&client, &other, &server).is_err());
    let by_role = AgentIdentity::Role("host1.example.org".parse().unwrap());
    assert!(connect(&client, &by_role, &server).is_err());
}

#[test]
fn an_agents_certificate_never_makes_an_edge() {
    let pki = Pki::new();
    let files = pki.issue("agent", &[agent("n1")], &["edge1.example.org"]);
    let chain = load_certificates(&files.certificate).unwrap();
    let listed = EdgePolicy { dns_names: vec!["edge1.example.org".parse().unwrap()], ..EdgePolicy::default() };
    assert!(matches!(listed.admit(Some(&chain), now()), Err(NotAnEdge::OtherRole { .. })));
    assert_eq!(listed.admit(None, now()), Err(NotAnEdge::NoCertificate));
}

#[test]
fn an_agents_certificate_is_not_an_edges_by_a_second_role_either() {
    let pki = Pki::new();
    let chain = load_certificates(&pki.issue("both", &[edge("e1"), agent("n1")], &[]).certificate).unwrap();
    assert!(matches!(EdgePolicy::default().admit(Some(&chain), now()), Err(NotAnEdge::OtherRole { .. })));
}

#[test]
fn a_denied_edge_does_not_get_in_under_another_of_its_names() {
    let pki = Pki::new();
    let name = |text: &str| text.parse::<EdgeName>().unwrap();
    let policy =
        EdgePolicy { dns_names: vec![name("good.example"), name("bad.example")], denied: vec![name("bad.example")] };
    for files in [
        pki.issue("dns", &[], &["good.example", "bad.example"]),
        pki.issue("roles", &[edge("good.example"), edge("bad.example")], &[]),
        pki.issue("mixed", &[edge("good.example")], &["bad.example"]),
    ] {
        let chain = load_certificates(&files.certificate).unwrap();
        assert_eq!(policy.admit(Some(&chain), now()), Err(NotAnEdge::Denied(name("bad.example"))));
    }
    let chain = load_certificates(&pki.issue("good", &[], &["good.example"]).certificate).unwrap();
    assert_eq!(policy.admit(Some(&chain), now()), Ok(name("good.example")));
}

#[test]
fn an_edge_is_one_while_its_certificate_is_valid() {
    let pki = Pki::new();
    let chain = load_certificates(&pki.issue("edge", &[edge("e1")], &[]).certificate).unwrap();
    let CertificateFacts { not_before, not_after, .. } = certificate_facts(&chain[0]).unwrap();
    let admitted = |now| EdgePolicy::default().admit(Some(&chain), now);
    for valid in [not_before, not_after] {
        assert_eq!(admitted(valid), Ok("e1".parse().unwrap()));
    }
    for invalid in [not_before.plus(-1), not_after.plus(1)] {
        let error = admitted(invalid).unwrap_err();
        assert_eq!(error, NotAnEdge::Expired { not_before, not_after });
        assert!(error.to_string().contains(&not_after.to_string()), "{error}");
    }
}

#[test]
fn bad_files_are_named() {
    let pki = Pki::new();
    let good = pki.issue("a", &[agent("n1")], &[]);
    let other = pki.issue("b", &[agent("n1")], &[]);
    let swapped = IdentityFiles { key: other.key.clone(), ..good.clone() };
    let message = agent_server_config(&swapped).unwrap_err().to_string();
    assert!(message.contains("a.pem") && message.contains("b.key"), "{message}");
    let message = load_certificates(&good.key).unwrap_err().to_string();
    assert!(message.contains("a.key") && message.contains("no certificate"), "{message}");
    assert!(load_key(Path::new("/nonexistent")).unwrap_err().to_string().contains("/nonexistent"));
}

#[test]
fn roles_round_trip() {
    for role in [edge("e1"), agent("n1.example.org")] {
        assert_eq!(Role::from_uri(&role.to_uri()), Some(role));
    }
    for other in
        ["porthole://agent/", "porthole://agent", "porthole://root/x", "https://agent/n1", "porthole://agent/a/b"]
    {
        assert_eq!(Role::from_uri(other), None, "{other}");
    }
}
