//! What all connections of the public listener share, built from the configuration before anything listens.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use porthole_shared::clock::{Clock, SystemClock};
use porthole_shared::config::LoadError;
use porthole_shared::lifecycle::{Lifecycle, Shutdown};
use porthole_shared::names::EdgeInstance;
use porthole_shared::tls::TlsError;
use tokio_util::task::TaskTracker;

use super::admin::Health;
use super::answer::ShortPages;
use super::files::{Files, NoRoot};
use super::live::Live;
use super::public::Transport;
use super::resolve::SignedTokens;
use super::tls::Certificate;
use crate::config::Config;
use crate::dial::Dialer;
use crate::directory::Directory;
use crate::gate::OriginPolicy;
use crate::keys::Keys;
use crate::relay::Counters;

/// The configuration cannot be put to work.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The node directory.
    #[error("the node directory of [agents] cannot be used")]
    Directory(#[from] LoadError),
    /// The internal certificate.
    #[error("the certificate, key or CA of [agents] cannot be used")]
    Agents(#[source] TlsError),
    /// The public certificate.
    #[error("the certificate or key of [public] tls cannot be used")]
    Public(#[source] TlsError),
    /// The pages.
    #[error("the pages cannot be served")]
    Pages(#[from] NoRoot),
}

/// What all connections of the public listener share.
#[derive(Debug)]
pub struct Site {
    /// Which run of the edge this is.
    pub instance: EdgeInstance,
    /// The public certificate; `None` where a load balancer ends TLS.
    pub certificate: Option<Certificate>,
    /// Which pages may open a console.
    pub origins: OriginPolicy,
    /// Where nodes are.
    pub directory: Directory,
    /// Reaches agents.
    pub dialer: Dialer,
    /// Who says what a token admits to.
    pub resolver: SignedTokens,
    /// The pages, if there are any.
    pub files: Option<Files>,
    /// Short pages for when there is nothing else to show.
    pub short_pages: ShortPages,
    /// The live sessions.
    pub live: Live,
    /// What they have moved.
    pub counters: Counters,
    /// How long a client may take for a head, or for a body.
    pub head_timeout: Duration,
    /// How many connections are served at once.
    pub max_connections: NonZeroUsize,
    /// How many for one client address.
    pub max_connections_per_address: Option<NonZeroUsize>,
    /// Tells token times and certificate times.
    pub clock: Arc<dyn Clock>,
    /// Where connections and sessions run, so that the end of the process waits for them.
    pub tasks: TaskTracker,
    /// When to stop.
    pub shutdown: Shutdown,
}

impl Site {
    /// Reads every file that the configuration names, and listens nowhere yet.
    pub fn build(config: &Config, tasks: TaskTracker, shutdown: Shutdown) -> Result<Self, BuildError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let directory = Directory::open(&config.agents.nodes)?;
        let dialer = Dialer::new(&config.agents).map_err(BuildError::Agents)?;
        let keys = Keys::new(&dialer, directory.clone());
        let public = &config.public;
        let certificate = match &public.transport {
            Transport::Tls(files) => Some(Certificate::load(files).map_err(BuildError::Public)?),
            Transport::BehindLoadBalancer => None,
        };
        let files = public.web_root.as_deref().map(|root| Files::open(root, &public.frame_ancestors)).transpose()?;
        Ok(Self {
            instance: EdgeInstance::random(),
            certificate,
            origins: public.origins.clone(),
            resolver: SignedTokens::new(directory.clone(), keys, Arc::clone(&clock)),
            directory,
            dialer,
            files,
            short_pages: ShortPages::new(&public.frame_ancestors),
            live: Live::default(),
            counters: Counters::default(),
            head_timeout: public.head_timeout.get(),
            max_connections: public.max_connections,
            max_connections_per_address: public.max_connections_per_address,
            clock,
            tasks,
            shutdown,
        })
    }

    /// Looks after files that may change, until the process stops.
    pub fn watch_files(&self, life: &Lifecycle) {
        drop(tokio::spawn(self.directory.clone().watch(self.shutdown.clone())));
        drop(tokio::spawn(self.dialer.clone().watch(self.shutdown.clone())));
        drop(tokio::spawn(self.health().remind()));
        if let Some(certificate) = self.certificate.clone() {
            drop(tokio::spawn(certificate.watch(life.reloads(), self.shutdown.clone())));
        }
    }

    /// What the admin listener tells of.
    pub fn health(&self) -> Health {
        Health {
            shutdown: self.shutdown.clone(),
            certificate: self.certificate.clone(),
            dialer: self.dialer.clone(),
            live: self.live.clone(),
            clock: Arc::clone(&self.clock),
        }
    }
}
