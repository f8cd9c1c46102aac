//! What a certificate on disk says: read, not trusted.

use std::net::IpAddr;
use std::path::Path;

use porthole_shared::clock::UnixTime;
use porthole_shared::tls::{Role, TlsError, load_certificates};
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};

use super::names::SubjectName;

/// What of a certificate matters to whoever keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The roles in its URI SANs.
    pub(crate) roles: Vec<Role>,
    /// Its DNS names and addresses.
    pub(crate) names: Vec<SubjectName>,
    /// Its subject's common name, if that is text.
    pub(crate) common_name: Option<String>,
    /// Its subject, as encoded.
    pub(crate) subject: Vec<u8>,
    /// Its issuer, as encoded.
    pub(crate) issuer: Vec<u8>,
    /// The id of its key.
    pub(crate) key_id: Option<Vec<u8>>,
    /// The id of the key that signed it.
    pub(crate) signer_id: Option<Vec<u8>>,
    /// Its public key, as encoded (`SubjectPublicKeyInfo`).
    pub(crate) public_key: Vec<u8>,
    /// It may sign others.
    pub(crate) authority: bool,
    /// From when it is valid.
    pub(crate) not_before: UnixTime,
    /// Until when it is valid.
    pub(crate) not_after: UnixTime,
}

impl Facts {
    /// Reads a PEM file's first certificate.
    pub(crate) fn read(path: &Path) -> Result<Self, TlsError> {
        let chain = load_certificates(path)?;
        let leaf = chain.first().ok_or_else(|| TlsError::Empty { path: path.to_owned() })?;
        Self::parse(leaf)
    }

    /// From DER.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, TlsError> {
        let (_rest, parsed) = X509Certificate::from_der(der).map_err(|_| TlsError::NotX509)?;
        let mut facts = Self {
            roles: Vec::new(),
            names: Vec::new(),
            common_name: parsed.subject().iter_common_name().find_map(|name| name.as_str().ok()).map(str::to_owned),
            subject: parsed.subject().as_raw().to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
            key_id: None,
            signer_id: None,
            public_key: parsed.public_key().raw.to_vec(),
            authority: parsed.is_ca(),
            not_before: UnixTime(parsed.validity().not_before.timestamp()),
            not_after: UnixTime(parsed.validity().not_after.timestamp()),
        };
        for extension in parsed.extensions() {
            if let ParsedExtension::SubjectAlternativeName(alternative) = extension.parsed_extension() {
                alternative.general_names.iter().for_each(|name| facts.take_name(name));
            } else if let ParsedExtension::SubjectKeyIdentifier(id) = extension.parsed_extension() {
                facts.key_id = Some(id.0.to_vec());
            } else if let ParsedExtension::AuthorityKeyIdentifier(id) = extension.parsed_extension() {
                facts.signer_id = id.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
        }
        Ok(facts)
    }

    /// Is this the CA that signed that certificate, as far as names and key ids tell?
    pub(crate) fn issued(&self, leaf: &Self) -> bool {
        self.subject == leaf.issuer && (leaf.signer_id.is_none() || leaf.signer_id == self.key_id)
    }

    fn take_name(&mut self, name: &GeneralName<'_>) {
        if let GeneralName::URI(uri) = name {
            self.roles.extend(Role::from_uri(uri));
        } else if let GeneralName::DNSName(dns) = name {
            self.names.push(SubjectName::Dns(dns.to_ascii_lowercase()));
        } else if let GeneralName::IPAddress(octets) = name {
            let four = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from));
            self.names.extend(address.map(SubjectName::Address));
        }
    }
}
