//! TLS towards the public: one certificate, read again when its files change.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use porthole_shared::lifecycle::Shutdown;
use porthole_shared::tls::{TlsError, load_certificates, load_key, provider};
use porthole_shared::watch::FileWatch;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::version::{TLS12, TLS13};
use serde::Deserialize;
use tokio::sync::watch;

use porthole_shared::validity::Validity;

/// The PEM files of the public certificate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// The certificate, followed by its intermediates.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What is served now. Clones share one state.
#[derive(Debug, Clone)]
pub struct Certificate {
    files: Files,
    current: Arc<ArcSwap<Current>>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    validity: Validity,
}

impl Certificate {
    /// Reads the files.
    pub fn load(files: &Files) -> Result<Self, TlsError> {
        let current = Arc::new(ArcSwap::from_pointee(read(files)?));
        Ok(Self { files: files.clone(), current })
    }

    /// The configuration for the next handshake.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().config)
    }

    /// When the certificate is valid.
    pub fn validity(&self) -> Validity {
        self.current.load().validity
    }

    /// Reads the files again whenever they change or somebody asks for it, until the process stops. Files that cannot
    /// be used are told of in the log, and what was served before is served on.
    pub async fn watch(self, mut reloads: watch::Receiver<u64>, shutdown: Shutdown) {
        let mut changes = FileWatch::new([self.files.certificate.clone(), self.files.key.clone()]);
        loop {
            // At first, too: they may have changed between `load` and now.
            if let Err(error) = self.reload()
                && let Some(error) = changes.failed(&error)
            {
                tracing::error!(error, "the public certificate cannot be used: the one read before is served on");
            }
            tokio::select! {
                () = shutdown.hard.cancelled() => return,
                () = changes.changed() => {}
                Ok(()) = reloads.changed() => changes.forget(),
            }
        }
    }

    fn reload(&self) -> Result<(), TlsError> {
        let current = read(&self.files)?;
        let valid_until = current.validity.not_after;
        self.current.store(Arc::new(current));
        // Said once it is true: whoever reads this may connect and expect the new one.
        tracing::info!(%valid_until, "public certificate read");
        Ok(())
    }
}

fn read(files: &Files) -> Result<Current, TlsError> {
    let chain = load_certificates(&files.certificate)?;
    let leaf = chain.first().ok_or_else(|| TlsError::Empty { path: files.certificate.clone() })?;
    let validity = Validity::of(leaf)?;
    let mismatch =
        |source| TlsError::Mismatch { certificate: files.certificate.clone(), key: files.key.clone(), source };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, load_key(&files.key)?)
        .map_err(mismatch)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Tickets instead of a cache: resumption costs no memory here. New files come with new ticket keys.
    config.ticketer = Ticketer::new()?;
    Ok(Current { config: Arc::new(config), validity })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_pair(files: &Files, name: &str) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn a_bad_new_file_leaves_the_old_certificate_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files { certificate: dir.path().join("c.pem"), key: dir.path().join("k.pem") };
        assert!(Certificate::load(&files).unwrap_err().to_string().contains("c.pem"));
        write_pair(&files, "one.example");
        let certificate = Certificate::load(&files).unwrap();
        let first = certificate.config();

        std::fs::write(&files.certificate, "rubbish").unwrap();
        certificate.reload().unwrap_err();
        assert!(Arc::ptr_eq(&first, &certificate.config()));
        // A certificate whose key is not there yet.
        let other = rcgen::generate_simple_self_signed(["two.example".to_owned()]).unwrap();
        std::fs::write(&files.certificate, other.cert.pem()).unwrap();
        certificate.reload().unwrap_err();
        assert!(Arc::ptr_eq(&first, &certificate.config()));
        std::fs::write(&files.key, other.signing_key.serialize_pem()).unwrap();
        certificate.reload().unwrap();
        assert!(!Arc::ptr_eq(&first, &certificate.config()));
    }
}
