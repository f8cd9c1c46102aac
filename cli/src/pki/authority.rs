//! The CA, and what it signs.
//!
//! Every key is ECDSA (P-256 unless told otherwise), every serial number random. Extended key usage says what a
//! certificate is for, but roles rest on the URI SAN alone: see [`porthole_shared::tls`]. Nothing here touches a file.

use aws_lc_rs::rand;
use clap::ValueEnum;
use porthole_shared::clock::UnixTime;
use porthole_shared::secret::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData as _, SanType,
    SerialNumber, SignatureAlgorithm,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::OffsetDateTime;

use super::facts::Facts;
use super::names::{Purpose, SubjectName};

/// How much earlier than now a certificate becomes valid: the clock of the machine that it goes to may be behind.
const BACKDATED_SECONDS: i64 = 300;

const DAY_SECONDS: i64 = 86_400;

/// The longest common name (RFC 5280, `ub-common-name`); a longer name stands in the alternative names only.
const LONGEST_COMMON_NAME: usize = 64;

/// A certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssueError {
    /// Encoding or signing failed.
    #[error("cannot make the certificate")]
    Make(#[from] rcgen::Error),
    /// A key file holds no key that can be used.
    #[error("the private key cannot be used")]
    Key(#[source] rcgen::Error),
    /// No randomness could be had.
    #[error("the system gave no random bytes")]
    NoRandomness,
    /// A date beyond what certificates can say.
    #[error("{0} days from now is beyond what a certificate can say")]
    TooFar(u32),
    /// The CA's certificate and key are of no use.
    #[error("the CA's certificate is not one that can sign: {0}")]
    NotAuthority(&'static str),
    /// The CA's time is over.
    #[error("the CA expired on {0}")]
    Expired(UnixTime),
    /// The CA was made by something else, so its subject cannot be written again as it was.
    #[error("the CA was not made by `porthole pki`")]
    Foreign,
}

/// The sort of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum KeyType {
    /// ECDSA on P-256
    #[default]
    #[value(name = "p256")]
    P256,
    /// ECDSA on P-384
    #[value(name = "p384")]
    P384,
}

impl KeyType {
    /// A new key.
    pub(crate) fn generate(self) -> Result<KeyPair, IssueError> {
        let algorithm: &'static SignatureAlgorithm = match self {
            Self::P256 => &PKCS_ECDSA_P256_SHA256,
            Self::P384 => &PKCS_ECDSA_P384_SHA384,
        };
        Ok(KeyPair::generate_for(algorithm)?)
    }
}

/// A key from its PEM file.
pub(crate) fn parse_key(pem: &Secret<String>) -> Result<KeyPair, IssueError> {
    KeyPair::from_pem(pem.expose()).map_err(IssueError::Key)
}

/// When something is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Term {
    /// From when.
    pub(crate) not_before: UnixTime,
    /// Until when.
    pub(crate) not_after: UnixTime,
}

impl Term {
    /// So many days from now, and a little before.
    pub(crate) const fn days(now: UnixTime, days: u32) -> Self {
        Self { not_before: now.plus(-BACKDATED_SECONDS), not_after: now.plus(days as i64 * DAY_SECONDS) }
    }
}

/// A certificate to be made.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    /// What for.
    pub(crate) purpose: &'a Purpose,
    /// The DNS names and addresses on it.
    pub(crate) names: &'a [SubjectName],
    /// For how many days from now.
    pub(crate) days: u32,
}

/// A new certificate and its key, in PEM.
#[derive(Debug)]
pub(crate) struct Made {
    /// The certificate.
    pub(crate) certificate: String,
    /// The key.
    pub(crate) key: Secret<String>,
    /// When it is valid.
    pub(crate) term: Term,
    /// It is valid for less long than ordered, because the CA is.
    pub(crate) cut_short: bool,
}

/// The CA: certificate and key, ready to sign.
#[derive(Debug)]
pub(crate) struct Authority {
    /// Its certificate, in PEM.
    pub(crate) certificate: String,
    facts: Facts,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new CA of that name.
    pub(crate) fn create(name: &str, key: &KeyPair, days: u32, now: UnixTime) -> Result<Made, IssueError> {
        let term = Term::days(now, days);
        let params = authority_params(name, term, days, KeyIdMethod::Sha256)?;
        let certificate = params.self_signed(key)?.pem();
        Ok(Made { certificate, key: Secret::new(key.serialize_pem()), term, cut_short: false })
    }

    /// From its files' content. Refuses one that nothing could be signed with.
    pub(crate) fn load(certificate: String, key: &Secret<String>) -> Result<Self, IssueError> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| IssueError::NotAuthority("it cannot be read"))?;
        let facts = Facts::parse(&der).map_err(|_| IssueError::NotAuthority("it cannot be read"))?;
        let key = parse_key(key)?;
        if !facts.authority {
            return Err(IssueError::NotAuthority("it is no CA"));
        }
        if facts.public_key != key.subject_public_key_info() {
            return Err(IssueError::NotAuthority("the key is another's"));
        }
        Ok(Self { certificate, facts, issuer: Issuer::from_ca_cert_der(&der, key)? })
    }

    /// The same CA (name and key) with a new term: certificates that it signed stay good.
    pub(crate) fn renew(&self, days: u32, now: UnixTime) -> Result<Made, IssueError> {
        let name = self.facts.common_name.as_deref().ok_or(IssueError::Foreign)?;
        let key_id = self.facts.key_id.clone().ok_or(IssueError::Foreign)?;
        let term = Term::days(now, days);
        let key = self.issuer.key();
        let made = authority_params(name, term, days, KeyIdMethod::PreSpecified(key_id))?.self_signed(key)?;
        let same = Facts::parse(made.der()).is_ok_and(|new| new.subject == self.facts.subject);
        if !same {
            return Err(IssueError::Foreign);
        }
        Ok(Made { certificate: made.pem(), key: Secret::new(key.serialize_pem()), term, cut_short: false })
    }

    /// Signs a certificate for this key.
    pub(crate) fn sign(&self, order: &Order<'_>, key: &KeyPair, now: UnixTime) -> Result<Made, IssueError> {
        if self.facts.not_after <= now {
            return Err(IssueError::Expired(self.facts.not_after));
        }
        let mut term = Term::days(now, order.days);
        let cut_short = term.not_after > self.facts.not_after;
        term.not_after = term.not_after.min(self.facts.not_after);
        let certificate = leaf_params(order, term)?.signed_by(key, &self.issuer)?.pem();
        Ok(Made { certificate, key: Secret::new(key.serialize_pem()), term, cut_short })
    }
}

/// A certificate that its own key signs: for trials, where there is no public CA.
pub(crate) fn sign_itself(order: &Order<'_>, key: &KeyPair, now: UnixTime) -> Result<Made, IssueError> {
    let term = Term::days(now, order.days);
    let certificate = leaf_params(order, term)?.self_signed(key)?.pem();
    Ok(Made { certificate, key: Secret::new(key.serialize_pem()), term, cut_short: false })
}

fn authority_params(name: &str, term: Term, days: u32, key_id: KeyIdMethod) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (date(term.not_before, days)?, date(term.not_after, days)?);
    params.serial_number = Some(random_serial()?);
    params.distinguished_name = subject(name);
    // It signs leaves, not further CAs.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.key_identifier_method = key_id;
    Ok(params)
}

fn leaf_params(order: &Order<'_>, term: Term) -> Result<CertificateParams, IssueError> {
    let usage = match order.purpose {
        Purpose::Authority => return Err(IssueError::NotAuthority("it would sign another CA")),
        Purpose::Agent(_) | Purpose::Public => ExtendedKeyUsagePurpose::ServerAuth,
        Purpose::Edge(_) | Purpose::Client(_) => ExtendedKeyUsagePurpose::ClientAuth,
    };
    let common_name = order.purpose.name().map(str::to_owned).or_else(|| order.names.first().map(ToString::to_string));
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (date(term.not_before, order.days)?, date(term.not_after, order.days)?);
    params.serial_number = Some(random_serial()?);
    params.distinguished_name = subject(common_name.as_deref().unwrap_or_default());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    if let Some(role) = order.purpose.role() {
        params.subject_alt_names.push(SanType::URI(role.to_uri().try_into()?));
    }
    for name in order.names {
        params.subject_alt_names.push(match name {
            SubjectName::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
            SubjectName::Address(address) => SanType::IpAddress(*address),
        });
    }
    Ok(params)
}

fn subject(common_name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "Porthole");
    if !common_name.is_empty() && common_name.len() <= LONGEST_COMMON_NAME {
        subject.push(DnType::CommonName, common_name);
    }
    subject
}

fn date(when: UnixTime, days: u32) -> Result<OffsetDateTime, IssueError> {
    OffsetDateTime::from_unix_timestamp(when.0).map_err(|_| IssueError::TooFar(days))
}

/// 127 random bits, not starting with a zero byte (RFC 5280 section 4.1.2.2: positive, at most 20 bytes).
fn random_serial() -> Result<SerialNumber, IssueError> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| IssueError::NoRandomness)?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

/// Eight random hex digits: tells the CAs of two trials apart.
pub(crate) fn random_label() -> Result<String, IssueError> {
    let mut bytes = [0; 4];
    rand::fill(&mut bytes).map_err(|_| IssueError::NoRandomness)?;
    Ok(porthole_shared::names::hex(bytes))
}

#[cfg(test)]
mod tests;
