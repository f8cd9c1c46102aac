//! Who this agent is towards edges, and whom it takes for one: certificate, CA and policy, replaced while it runs.
//!
//! Each replacement is a new TLS configuration with new ticket keys, so a TLS session of earlier trust is not resumed.
//! Whom a certificate makes an edge is asked again after every handshake and before every request, because a
//! connection may outlive the trust it began with. Sessions that run are not cut off by that.

use std::sync::Arc;

use arc_swap::ArcSwap;
use porthole_shared::clock::{Clock as _, SystemClock, UnixTime};
use porthole_shared::names::EdgeName;
use porthole_shared::tls::{EdgePolicy, IdentityFiles, NotAnEdge, TlsError, agent_server_config, load_certificates};
use porthole_shared::validity::Validity;
use porthole_shared::watch::FileWatch;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;

/// A handle on it; clones are the same.
#[derive(Debug, Clone)]
pub struct Trust(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    files: IdentityFiles,
    current: ArcSwap<Current>,
    policy: ArcSwap<EdgePolicy>,
}

/// What was read from the files together.
#[derive(Debug)]
struct Current {
    tls: Arc<ServerConfig>,
    validity: Validity,
}

/// Keeps a [`Trust`] as its files are.
#[derive(Debug)]
pub(crate) struct Following {
    trust: Trust,
    watch: FileWatch,
}

impl Trust {
    /// Reads the files.
    pub(crate) fn load(files: IdentityFiles, policy: EdgePolicy) -> Result<(Self, Following), TlsError> {
        let watch = FileWatch::new(files.paths());
        let current = ArcSwap::from_pointee(Current::load(&files)?);
        let trust = Self(Arc::new(Shared { files, current, policy: ArcSwap::from_pointee(policy) }));
        Ok((trust.clone(), Following { trust, watch }))
    }

    /// Until when this agent's certificate is valid.
    pub fn certificate_expires(&self) -> UnixTime {
        self.validity().not_after
    }

    /// From when until when.
    pub fn validity(&self) -> Validity {
        self.0.current.load().validity
    }

    /// From now on these are edges, and those are not.
    pub fn set_policy(&self, policy: EdgePolicy) {
        self.0.policy.store(Arc::new(policy));
    }

    /// Whether a DNS name is that of an edge, be it listed or denied.
    pub fn names_an_edge(&self, dns: &str) -> bool {
        let policy = self.0.policy.load();
        policy.dns_names.iter().chain(&policy.denied).any(|edge| edge.as_str() == dns)
    }

    /// For the next handshake.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.current.load().tls)
    }

    /// Whose connection is this?
    pub(super) fn admit(&self, chain: Option<&[CertificateDer<'_>]>) -> Result<EdgeName, NotAnEdge> {
        self.0.policy.load().admit(chain, SystemClock.now())
    }

    pub(super) fn reload(&self) -> Result<(), TlsError> {
        let current = Current::load(&self.0.files)?;
        tracing::info!(expires = %current.validity.not_after, "tunnel certificate and CA read");
        self.0.current.store(Arc::new(current));
        Ok(())
    }
}

impl Following {
    /// Reads the files again whenever they change. Where they cannot be used, what was read before stays, and they are
    /// tried again.
    pub(super) async fn run(mut self) {
        loop {
            self.watch.changed().await;
            if let Err(error) = self.trust.reload()
                && let Some(error) = self.watch.failed(&error)
            {
                tracing::error!(
                    error,
                    expires = %self.trust.certificate_expires(),
                    "the tunnel's new certificate files cannot be used: going on with the old"
                );
            }
        }
    }
}

impl Current {
    fn load(files: &IdentityFiles) -> Result<Self, TlsError> {
        let tls = agent_server_config(files)?;
        let chain = load_certificates(&files.certificate)?;
        let leaf = chain.first().ok_or(TlsError::NotX509)?;
        Ok(Self { tls, validity: Validity::of(leaf)? })
    }
}
