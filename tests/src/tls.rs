//! Client sides of TLS for the tests, over rustls.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What a client trusts and shows.
#[derive(Debug, Clone)]
pub struct Client<'a> {
    /// PEM file of certificates to trust.
    pub ca: &'a Path,
    /// PEM files of its own certificate and key.
    pub identity: Option<(&'a Path, &'a Path)>,
    /// The versions that it speaks.
    pub versions: &'a [&'static SupportedProtocolVersion],
}

impl<'a> Client<'a> {
    /// Trusts these certificates, has none itself, speaks TLS 1.2 and 1.3.
    pub fn trusting(ca: &'a Path) -> Self {
        Self { ca, identity: None, versions: rustls::ALL_VERSIONS }
    }

    /// Does the handshake, and verifies that the server has this name.
    pub async fn connect(&self, name: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
        let server = ServerName::try_from(name.to_owned()).with_context(|| format!("{name} as a server's name"))?;
        let connector = TlsConnector::from(Arc::new(self.config()?));
        connector.connect(server, stream).await.with_context(|| format!("TLS with {name}"))
    }

    fn config(&self) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(self.ca)? {
            roots.add(certificate)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(self.versions)?;
        let config = config.with_root_certificates(roots);
        Ok(match self.identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("reading {}", key.display()))?;
                config.with_client_auth_cert(certificates(certificate)?, key)?
            }
        })
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let reading = || format!("reading {}", file.display());
    CertificateDer::pem_file_iter(file).with_context(reading)?.collect::<Result<_, _>>().with_context(reading)
}
