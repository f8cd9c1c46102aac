//! Certificates of the API's clients, by a CA of their own.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// A certificate and its key.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// A CA, and where what it signs lies.
pub(crate) struct Clients {
    directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Clients {
    pub(crate) fn make() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a CA");
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).expect("writing it");
        Self { directory, issuer: Issuer::new(params, key) }
    }

    /// What the agent is told to trust.
    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Adds another CA to that.
    pub(crate) fn trust(&self, ca: &Path) {
        let mut bundle = OpenOptions::new().append(true).open(self.ca()).expect("the bundle");
        bundle.write_all(&std::fs::read(ca).expect("a CA")).expect("writing it");
    }

    /// One whose certificate has this name.
    pub(crate) fn identity(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a DNS name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let made = params.signed_by(&key, &self.issuer).expect("a certificate");
        let at = |what: &str| self.directory.path().join(format!("{name}.{what}.pem"));
        let identity = Identity { certificate: at("cert"), key: at("key") };
        std::fs::write(&identity.certificate, made.pem()).expect("writing it");
        std::fs::write(&identity.key, key.serialize_pem()).expect("writing it");
        identity
    }
}
