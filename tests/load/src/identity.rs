//! TLS as all who are compared speak it: version 1.3, AES-128-GCM, by certificates from files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use porthole_shared::tls::{load_certificates, load_key, load_roots};
use porthole_tests::pki::Files;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { cipher_suites: vec![TLS13_AES_128_GCM_SHA256], ..aws_lc_rs::default_provider() })
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads them.
    pub fn load(files: &Files) -> Result<Self> {
        Ok(Self { chain: load_certificates(&files.certificate)?, key: load_key(&files.key)? })
    }

    /// A server; one that wants certificates of this CA, if so.
    pub fn server(self, clients: Option<&Path>) -> Result<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(ca) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(load_roots(ca)?), provider()).build()?,
            ),
        };
        let mut config = builder.with_single_cert(self.chain, self.key)?;
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// A client that trusts these certificates, and has one of its own if so.
pub fn trusting(ca: &Path, own: Option<&Files>) -> Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
    let builder = builder.with_root_certificates(load_roots(ca)?);
    Ok(match own {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let Identity { chain, key } = Identity::load(files)?;
            builder.with_client_auth_cert(chain, key)?
        }
    })
}

/// Makes a certificate for `localhost` with an RSA key of 2048 bits. It is trusted itself.
pub fn rsa(directory: &Path) -> Result<Files> {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    let certificate = CertificateParams::new(["localhost".to_owned()])?.self_signed(&key)?;
    let path = |name: &str| directory.join(name);
    std::fs::create_dir_all(directory)?;
    std::fs::write(path("cert.pem"), certificate.pem())?;
    std::fs::write(path("key.pem"), key.serialize_pem())?;
    Ok(Files { certificate: path("cert.pem"), key: path("key.pem"), ca: path("cert.pem") })
}

/// Certificate and key in one file, as HAProxy wants them.
pub fn joined(files: &Files) -> Result<PathBuf> {
    let path = files.certificate.with_file_name("joined.pem");
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("reading {}", path.display()));
    std::fs::write(&path, [read(&files.certificate)?, read(&files.key)?].concat())?;
    Ok(path)
}
