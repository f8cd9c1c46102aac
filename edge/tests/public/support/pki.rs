//! Certificates of a CA that lives as long as one test.

use std::path::{Path, PathBuf};

use porthole_shared::tls::{IdentityFiles, Role};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};

pub(crate) struct Pki {
    dir: PathBuf,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    pub(crate) fn new(dir: &Path) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
        Self { dir: dir.to_owned(), ca }
    }

    /// A certificate of the tunnel.
    pub(crate) fn identity(&self, file: &str, role: &Role) -> IdentityFiles {
        self.issue(file, &[], Some(role))
    }

    /// A certificate that browsers see.
    pub(crate) fn public(&self, file: &str, names: &[&str]) -> IdentityFiles {
        self.issue(file, names, None)
    }

    fn issue(&self, file: &str, names: &[&str], role: Option<&Role>) -> IdentityFiles {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.subject_alt_names.extend(role.map(|role| SanType::URI(role.to_uri().try_into().unwrap())));
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        let path = |suffix: &str| self.dir.join(format!("{file}.{suffix}"));
        std::fs::write(path("pem"), certificate.pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        IdentityFiles { certificate: path("pem"), key: path("key"), ca: self.dir.join("ca.pem") }
    }
}
