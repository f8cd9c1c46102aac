use super::*;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// 2026-11-20T00:00:00Z.
const NOW: UnixTime = UnixTime(1_795_132_800);

fn made_authority(days: u32) -> Authority {
    let made = Authority::create("Test CA", &KeyType::P256.generate().unwrap(), days, NOW).unwrap();
    Authority::load(made.certificate, &made.key).unwrap()
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn agent(name: &str) -> Purpose {
    Purpose::Agent(name.parse().unwrap())
}

fn sign(authority: &Authority, purpose: &Purpose, days: u32, now: UnixTime) -> Result<Made, IssueError> {
    authority.sign(&Order { purpose, names: &[], days }, &KeyType::P256.generate().unwrap(), now)
}

#[test]
fn each_certificate_may_do_its_own_part_only() {
    let authority = made_authority(10);
    let ca = der(&authority.certificate);
    let (_, ca) = X509Certificate::from_der(&ca).unwrap();
    let constraints = ca.basic_constraints().unwrap().unwrap().value;
    assert_eq!((constraints.ca, constraints.path_len_constraint), (true, Some(0)));
    let usage = ca.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());

    let (edge, client) = (Purpose::Edge("e1".parse().unwrap()), Purpose::Client("c.example.org".parse().unwrap()));
    for (purpose, server) in [(agent("n1"), true), (edge, false), (client, false)] {
        let leaf = der(&sign(&authority, &purpose, 1, NOW).unwrap().certificate);
        let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
        let extended = leaf.extended_key_usage().unwrap().unwrap().value;
        assert_eq!((extended.server_auth, extended.client_auth, extended.any), (server, !server, false));
        let usage = leaf.key_usage().unwrap().unwrap().value;
        assert!(usage.digital_signature() && !usage.key_cert_sign());
        assert!(!leaf.is_ca());
    }
}

#[test]
fn a_certificate_is_valid_from_a_little_before_until_the_ordered_day_or_the_cas_end() {
    let authority = made_authority(100);
    let whole = sign(&authority, &agent("n1"), 100, NOW).unwrap();
    assert_eq!((whole.term.not_before, whole.cut_short), (NOW.plus(-300), false));
    assert_eq!(whole.term.not_after, NOW.plus(100 * DAY_SECONDS));
    let cut = sign(&authority, &agent("n1"), 101, NOW).unwrap();
    assert_eq!((cut.term.not_after, cut.cut_short), (whole.term.not_after, true));
    let facts = Facts::parse(&der(&cut.certificate)).unwrap();
    assert_eq!((facts.not_before, facts.not_after), (cut.term.not_before, cut.term.not_after));
}

#[test]
fn an_expired_ca_signs_nothing_until_it_is_renewed() {
    let authority = made_authority(100);
    let later = NOW.plus(100 * DAY_SECONDS);
    assert!(matches!(sign(&authority, &agent("n1"), 1, later), Err(IssueError::Expired(_))));
    let renewed = authority.renew(200, later).unwrap();
    let renewed = Authority::load(renewed.certificate, &renewed.key).unwrap();
    let leaf = sign(&renewed, &agent("n1"), 1, later).unwrap();
    let leaf = Facts::parse(&der(&leaf.certificate)).unwrap();
    assert!(renewed.facts.issued(&leaf) && authority.facts.issued(&leaf));
}

#[test]
fn two_cas_are_told_apart_even_if_they_have_one_name() {
    let (one, other) = (made_authority(1), made_authority(1));
    let leaf = Facts::parse(&der(&sign(&one, &agent("n1"), 1, NOW).unwrap().certificate)).unwrap();
    assert!(one.facts.issued(&leaf) && !other.facts.issued(&leaf));
}

#[test]
fn serial_numbers_differ_with_one_key() {
    let authority = made_authority(1);
    let key = KeyType::P384.generate().unwrap();
    let purpose = agent("n1");
    let serial = || {
        let made = authority.sign(&Order { purpose: &purpose, names: &[], days: 1 }, &key, NOW).unwrap();
        let leaf = der(&made.certificate);
        let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
        leaf.raw_serial().to_vec()
    };
    let (one, other) = (serial(), serial());
    assert!(one != other && one.len() == 16 && other.len() == 16, "{one:?} {other:?}");
}

#[test]
fn a_name_too_long_for_a_common_name_stands_in_the_alternative_names() {
    let name = ["a".repeat(63), "b".repeat(63)].join(".");
    let made = sign(&made_authority(1), &agent(&name), 1, NOW).unwrap();
    let facts = Facts::parse(&der(&made.certificate)).unwrap();
    assert_eq!((facts.common_name, facts.roles), (None, vec![agent(&name).role().unwrap()]));
}

#[test]
fn what_is_no_ca_is_refused() {
    let authority = made_authority(1);
    let leaf = sign(&authority, &agent("n1"), 1, NOW).unwrap();
    assert!(matches!(Authority::load(leaf.certificate, &leaf.key), Err(IssueError::NotAuthority("it is no CA"))));
    assert!(matches!(Authority::load(String::new(), &leaf.key), Err(IssueError::NotAuthority(_))));
    let key = Secret::new(KeyType::P256.generate().unwrap().serialize_pem());
    assert!(matches!(Authority::load(authority.certificate, &key), Err(IssueError::NotAuthority(_))));
}
