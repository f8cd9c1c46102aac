//! TLS between edge and agent: who is who, and the two rustls configurations.
//!
//! A certificate says its holder's role in a URI SAN: `porthole://agent/NODE` or `porthole://edge/NAME`. Where an
//! operator's own PKI cannot put those in, an agent's configuration lists the DNS names that are edges, and an edge's
//! node directory gives the DNS name of each agent. The chain is checked by webpki; what a role may *do* is the
//! listener's to decide. QEMU and others ignore extended key usage, so roles never rest on it, nor on a CA's identity.
//!
//! A resumed TLS session brings no certificate of its own but the one of the first handshake, so roles are read from
//! the connection after every handshake, and new configurations (new trust) come with new ticket keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime as TlsTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme, version,
};
use serde::Deserialize;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::clock::UnixTime;
use crate::names::{EdgeName, NodeName};

/// What a role's URI starts with.
const ROLE_SCHEME: &str = "porthole://";

/// How many agents' TLS sessions an edge remembers for resumption.
const RESUMABLE_AGENTS: usize = 4096;

/// The PEM files of one side of the tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityFiles {
    /// This side's certificate, followed by intermediates.
    pub certificate: PathBuf,
    /// Its private key (PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
    /// The CA certificates that the other side's certificate must chain to.
    pub ca: PathBuf,
}

impl IdentityFiles {
    /// The files, to watch for changes.
    pub fn paths(&self) -> [PathBuf; 3] {
        [self.certificate.clone(), self.key.clone(), self.ca.clone()]
    }
}

/// TLS material cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read or parsed.
    #[error("cannot read {what} from {}", path.display())]
    Pem {
        /// What was expected in it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// A PEM file holds no certificate.
    #[error("{} holds no certificate (expected `-----BEGIN CERTIFICATE-----`)", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The certificate cannot be parsed.
    #[error("not an X.509 certificate")]
    NotX509,
    /// A CA certificate is of no use.
    #[error("no certificate in {} can serve as a trust anchor", path.display())]
    NoTrustAnchor {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key do not go together, or rustls refuses them for another reason.
    #[error("certificate {} and key {} cannot be used together", certificate.display(), key.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// rustls refuses the combination.
    #[error("TLS cannot be set up")]
    Config(#[from] rustls::Error),
}

/// The one cryptographic provider of both daemons.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Reads a PEM file's certificates, leaf first.
pub fn load_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = |source| TlsError::Pem { what: "certificates", path: path.to_owned(), source };
    let chain = CertificateDer::pem_file_iter(path).map_err(pem)?.collect::<Result<Vec<_>, _>>().map_err(pem)?;
    if chain.is_empty() { Err(TlsError::Empty { path: path.to_owned() }) } else { Ok(chain) }
}

/// Reads a PEM file's private key.
pub fn load_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError::Pem {
        what: "a private key",
        path: path.to_owned(),
        source,
    })
}

/// Reads a PEM file's CA certificates.
pub fn load_roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let (added, _ignored) = roots.add_parsable_certificates(load_certificates(path)?);
    if added == 0 { Err(TlsError::NoTrustAnchor { path: path.to_owned() }) } else { Ok(roots) }
}

/// Whom a certificate makes its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The agent of a node.
    Agent(NodeName),
    /// An edge.
    Edge(EdgeName),
}

impl Role {
    /// As it stands in a URI SAN.
    pub fn to_uri(&self) -> String {
        match self {
            Self::Agent(node) => format!("{ROLE_SCHEME}agent/{node}"),
            Self::Edge(edge) => format!("{ROLE_SCHEME}edge/{edge}"),
        }
    }

    fn is_edge(&self, name: &EdgeName) -> bool {
        matches!(self, Self::Edge(edge) if edge == name)
    }

    /// From a URI SAN; `None` for any other URI.
    pub fn from_uri(uri: &str) -> Option<Self> {
        let (role, name) = uri.strip_prefix(ROLE_SCHEME)?.split_once('/')?;
        match role {
            "agent" => name.parse().ok().map(Self::Agent),
            "edge" => name.parse().ok().map(Self::Edge),
            _ => None,
        }
    }
}

/// What of a certificate matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The roles in its URI SANs.
    pub roles: Vec<Role>,
    /// Its DNS SANs, in lower case.
    pub dns_names: Vec<String>,
    /// From when it is valid.
    pub not_before: UnixTime,
    /// Until when it is valid.
    pub not_after: UnixTime,
}

/// Reads them. Says nothing about whether the certificate can be trusted.
pub fn certificate_facts(certificate: &CertificateDer<'_>) -> Result<CertificateFacts, TlsError> {
    let (_rest, parsed) = X509Certificate::from_der(certificate).map_err(|_| TlsError::NotX509)?;
    let names = parsed
        .subject_alternative_name()
        .map_err(|_| TlsError::NotX509)?
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let mut facts = CertificateFacts {
        roles: Vec::new(),
        dns_names: Vec::new(),
        not_before: UnixTime(parsed.validity().not_before.timestamp()),
        not_after: UnixTime(parsed.validity().not_after.timestamp()),
    };
    for name in names {
        if let GeneralName::URI(uri) = name {
            facts.roles.extend(Role::from_uri(uri));
        } else if let GeneralName::DNSName(dns) = name {
            facts.dns_names.push(dns.to_ascii_lowercase());
        }
    }
    Ok(facts)
}

/// Which certificates an agent takes for an edge's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EdgePolicy {
    /// DNS names that are edges although their certificates carry no role: an operator's own PKI.
    pub dns_names: Vec<EdgeName>,
    /// Edges that are refused whatever their certificate says.
    pub denied: Vec<EdgeName>,
}

/// A connection's certificate does not make its holder an edge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEdge {
    /// There is none, or it cannot be read.
    #[error("the peer has no readable certificate")]
    NoCertificate,
    /// It says another role, or none, and its DNS names are not listed.
    #[error(
        "the peer's certificate does not name an edge: it needs a URI SAN porthole://edge/NAME, or one of its DNS \
         names ({}) in [tunnel] edges", dns_names.join(", ")
    )]
    OtherRole {
        /// The DNS names it has.
        dns_names: Vec<String>,
    },
    /// It is not valid at this time: a resumed TLS session does not look at that.
    #[error("the peer's certificate is valid from {not_before} to {not_after} only")]
    Expired {
        /// From when it is valid.
        not_before: UnixTime,
        /// Until when it is valid.
        not_after: UnixTime,
    },
    /// It is on the deny list.
    #[error("edge {0} is denied")]
    Denied(EdgeName),
}

impl EdgePolicy {
    /// Whose edge connection is this, now? To be asked after every handshake, full or resumed.
    pub fn admit(&self, chain: Option<&[CertificateDer<'_>]>, now: UnixTime) -> Result<EdgeName, NotAnEdge> {
        let leaf = chain.and_then(<[_]>::first).ok_or(NotAnEdge::NoCertificate)?;
        let facts = certificate_facts(leaf).map_err(|_| NotAnEdge::NoCertificate)?;
        let CertificateFacts { not_before, not_after, .. } = facts;
        if now < not_before || now > not_after {
            return Err(NotAnEdge::Expired { not_before, not_after });
        }
        let by_role = facts.roles.iter().find_map(|role| match role {
            Role::Edge(name) => Some(name.clone()),
            Role::Agent(_) => None,
        });
        let has_name = |name: &EdgeName| facts.dns_names.iter().any(|dns| dns == name.as_str());
        let by_name = || self.dns_names.iter().find(|name| has_name(name));
        // By any of its names: a certificate of several names does not get by under another one.
        let is_denied = |name: &&EdgeName| has_name(name) || facts.roles.iter().any(|role| role.is_edge(name));
        if let Some(denied) = self.denied.iter().find(is_denied) {
            return Err(NotAnEdge::Denied(denied.clone()));
        }
        // A certificate that says it is an agent's is never an edge's, whatever else it says.
        let agents = facts.roles.iter().any(|role| matches!(role, Role::Agent(_)));
        let edge = by_role.or_else(|| facts.roles.is_empty().then(by_name).flatten().cloned());
        edge.filter(|_| !agents).ok_or(NotAnEdge::OtherRole { dns_names: facts.dns_names })
    }
}

/// The agent's side: TLS 1.3 only, a certificate of the CA required. Roles are for [`EdgePolicy::admit`].
pub fn agent_server_config(files: &IdentityFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(load_roots(&files.ca)?), provider.clone())
        .build()
        .map_err(|_| TlsError::NoTrustAnchor { path: files.ca.clone() })?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(load_certificates(&files.certificate)?, load_key(&files.key)?)
        .map_err(|source| mismatch(files, source))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// How an edge recognises an agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AgentIdentity {
    /// By the role `porthole://agent/NODE`.
    Role(NodeName),
    /// By a DNS SAN that the directory gives for it.
    Dns(NodeName),
}

impl AgentIdentity {
    /// The TLS server name to connect with. Each agent has its own, so sessions are resumed with the right one only.
    pub fn server_name(&self) -> Result<ServerName<'static>, TlsError> {
        let (Self::Role(name) | Self::Dns(name)) = self;
        // Every NodeName is a DNS name, so this does not fail for any value of the type.
        ServerName::try_from(name.as_str().to_owned()).map_err(|_| TlsError::NotX509)
    }
}

/// The edge's side: TLS 1.3 only, with resumption, presenting the edge's internal client certificate.
#[derive(Debug, Clone)]
pub struct EdgeClientConfigs {
    by_role: Arc<ClientConfig>,
    by_dns: Arc<ClientConfig>,
}

impl EdgeClientConfigs {
    /// Reads the files.
    pub fn load(files: &IdentityFiles) -> Result<Self, TlsError> {
        Ok(Self { by_role: client_config(files, Match::Role)?, by_dns: client_config(files, Match::Dns)? })
    }

    /// The configuration that recognises this agent.
    pub fn for_agent(&self, agent: &AgentIdentity) -> Arc<ClientConfig> {
        match agent {
            AgentIdentity::Role(_) => Arc::clone(&self.by_role),
            AgentIdentity::Dns(_) => Arc::clone(&self.by_dns),
        }
    }
}

fn client_config(files: &IdentityFiles, recognise: Match) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider();
    let verifier = AgentVerifier { roots: load_roots(&files.ca)?, provider: provider.clone(), recognise };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(load_certificates(&files.certificate)?, load_key(&files.key)?)
        .map_err(|source| mismatch(files, source))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(RESUMABLE_AGENTS);
    // Names of nodes are nobody's business on the wire; the agent has one certificate anyway.
    config.enable_sni = false;
    Ok(Arc::new(config))
}

fn mismatch(files: &IdentityFiles, source: rustls::Error) -> TlsError {
    TlsError::Mismatch { certificate: files.certificate.clone(), key: files.key.clone(), source }
}

#[derive(Debug, Clone, Copy)]
enum Match {
    Role,
    Dns,
}

/// Checks an agent's chain, then that it is the very node that was dialled.
#[derive(Debug)]
struct AgentVerifier {
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
    recognise: Match,
}

impl ServerCertVerifier for AgentVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: TlsTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        let wrong_name = || rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForName);
        match self.recognise {
            Match::Dns => verify_server_name(&parsed, server_name)?,
            Match::Role => {
                let facts = certificate_facts(end_entity).map_err(|_| wrong_name())?;
                let dialled = server_name.to_str();
                let is_it = |role: &Role| matches!(role, Role::Agent(node) if node.as_str() == dialled);
                if !facts.roles.iter().any(is_it) {
                    return Err(wrong_name());
                }
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}

#[cfg(test)]
mod tests;
