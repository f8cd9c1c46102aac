//! What all connections of the public listener share, built from the configuration before anything listens.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use porthole_shared::clock::{Clock, SystemClock};
use porthole_shared::config::LoadError;
use porthole_shared::lifecycle::{Lifecycle, Shutdown};
use porthole_shared::names::EdgeInstance;
use porthole_shared::reload;
use porthole_shared::tls::TlsError;
use tokio_util::task::TaskTracker;

use super::admin::Health;
use super::answer::ShortPages;
use super::files::{Files, NoRoot};
use super::live::Live;
use super::public::Transport;
use super::resolve::SignedTokens;
use super::room::{Most, Room};
use super::settings::Settings;
use super::tls::Certificate;
use crate::config::Config;
use crate::dial::Dialer;
use crate::directory::Directory;
use crate::keys::Keys;
use crate::metrics::{Metrics, instruments};
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
    /// What may change while it serves.
    settings: ArcSwap<Settings>,
    /// How many connections are served at once.
    pub room: Room,
    /// What is counted and measured.
    pub instruments: instruments::Public,
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
            resolver: SignedTokens::new(directory.clone(), keys, Arc::clone(&clock)),
            directory,
            dialer,
            files,
            short_pages: ShortPages::new(&public.frame_ancestors),
            live: Live::default(),
            counters: Counters::default(),
            settings: ArcSwap::from_pointee(public.into()),
            room: Room::new(Most {
                connections: public.max_connections,
                setting: "[public] max_connections",
                each: public.max_connections_per_address,
                each_setting: "[public] max_connections_per_address",
            }),
            instruments: instruments::Public::default(),
            clock,
            tasks,
            shutdown,
        })
    }

    /// What is in force now.
    pub fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// Puts those settings of a later file in force that may change.
    pub fn set(&self, config: &Config) {
        let public = &config.public;
        self.settings.store(Arc::new(Settings::after(public, &self.settings.load())));
        self.room.set(public.max_connections, public.max_connections_per_address);
        self.dialer.set_connect_timeout(config.agents.connect_timeout.get());
    }

    /// Looks after files that may change, until the process stops.
    pub fn watch_files(&self, life: &Lifecycle, health: Health) {
        drop(tokio::spawn(self.directory.clone().watch(self.shutdown.clone())));
        drop(tokio::spawn(self.dialer.clone().watch(self.shutdown.clone())));
        drop(tokio::spawn(health.remind()));
        if let Some(certificate) = self.certificate.clone() {
            drop(tokio::spawn(certificate.watch(life.reloads(), self.shutdown.clone())));
        }
    }

    /// What the admin listener tells of.
    pub fn health(self: &Arc<Self>, reloads: reload::Report) -> Health {
        Health {
            metrics: Arc::new(Metrics::new(self, reloads.clone())),
            reloads,
            directory: self.directory.clone(),
            shutdown: self.shutdown.clone(),
            certificate: self.certificate.clone(),
            dialer: self.dialer.clone(),
            live: self.live.clone(),
            clock: Arc::clone(&self.clock),
        }
    }
}
