//! The API's side of TLS: version 1.3 only, its certificate, and whose certificates are looked at; read again when the
//! files change.
//!
//! A client without a certificate gets through the handshake, because it may have a token. Each change of a file is a
//! new TLS configuration with new ticket keys, so a TLS session of earlier trust is not resumed.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use porthole_shared::tls::{TlsError, load_certificates, load_key, load_roots, provider};
use porthole_shared::watch::FileWatch;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use tokio_rustls::TlsAcceptor;

use super::Config;
use crate::tunnel;

/// What TLS is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    /// Only where clients are known by certificates.
    client_ca: Option<PathBuf>,
}

impl Files {
    fn of(api: &Config, tunnel: &tunnel::Config) -> Self {
        let or_tunnels = |own: &Option<PathBuf>, other: &PathBuf| own.as_ref().unwrap_or(other).clone();
        Self {
            certificate: or_tunnels(&api.certificate, &tunnel.certificate),
            key: or_tunnels(&api.key, &tunnel.key),
            client_ca: (!api.client.is_empty()).then(|| or_tunnels(&api.client_ca, &tunnel.ca)),
        }
    }

    fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[&TLS13])?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(load_roots(ca)?), provider)
                    .allow_unauthenticated()
                    .build()
                    .map_err(|_| TlsError::NoTrustAnchor { path: ca.clone() })?,
            ),
        };
        let mut config =
            builder.with_single_cert(load_certificates(&self.certificate)?, load_key(&self.key)?).map_err(
                |source| TlsError::Mismatch { certificate: self.certificate.clone(), key: self.key.clone(), source },
            )?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = Ticketer::new()?;
        Ok(Arc::new(config))
    }
}

/// Reads the files: what handshakes are done with, and what keeps it as the files are.
pub(super) fn load(api: &Config, tunnel: &tunnel::Config) -> Result<(Arc<Current>, Following), TlsError> {
    let files = Files::of(api, tunnel);
    let watch = FileWatch::new([&files.certificate, &files.key].into_iter().chain(&files.client_ca).cloned());
    let current = Arc::new(Current(ArcSwap::new(files.load()?)));
    Ok((Arc::clone(&current), Following { files, watch, current }))
}

/// What handshakes are done with.
#[derive(Debug)]
pub(super) struct Current(ArcSwap<ServerConfig>);

impl Current {
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0.load()))
    }
}

/// Keeps [`Current`] as the files are.
#[derive(Debug)]
pub(super) struct Following {
    files: Files,
    watch: FileWatch,
    current: Arc<Current>,
}

impl Following {
    /// Reads the files whenever they change. Where they cannot be used, what was read before stays, and they are tried
    /// again.
    pub(super) async fn run(mut self) {
        loop {
            self.watch.changed().await;
            match self.files.load() {
                Ok(config) => {
                    tracing::info!(certificate = %self.files.certificate.display(), "the API's certificate read");
                    self.current.0.store(config);
                }
                Err(error) => {
                    if let Some(error) = self.watch.failed(&error) {
                        tracing::error!(error, "the API's new certificate files cannot be used: going on with the old");
                    }
                }
            }
        }
    }
}
