//! libvirt, as the rest of the agent sees it: a handle that takes questions and gives answers under a deadline.
//!
//! The handle is the sending end of a channel of [`Command`]s; answers come back one by one and own what they hold. So
//! nothing outside this module has a reference into libvirt, and the machinery could become a process of its own.
//!
//! ```text
//!  handle ──Command──► machinery ──thread per call──► libvirtd      connection 1: events
//!    ▲                 (lanes, one call per domain)                 connections 2…: one call each, or a stream
//!    └────── answer, or the client's deadline ──┘
//!  events, state ◄──── reconnect (connects, keepalive, connects again)
//! ```
//!
//! What a domain's XML means, which console a token names and who may open it is decided elsewhere.
//!
//! **Invariants**: no other module of the product has libvirt or `unsafe`; nothing here writes to the database or waits
//! for it; nothing here changes a domain but one's
//! definition, when asked to, and only if it still is what whoever asks has seen; nothing here closes a descriptor that was handed out, so a restart of libvirtd
//! ends no session. Nothing on the path of libvirt's hooks may wait for this module.

mod calls;
mod command;
mod config;
mod console;
mod definition;
mod dispatch;
mod domain;
mod error;
mod event;
mod ffi;
mod link;
mod machinery;
mod queues;
mod reconnect;

use std::os::fd::OwnedFd;
use std::sync::{Weak, mpsc as std_mpsc};
use std::thread;
use std::time::{Duration, Instant};

use porthole_shared::names::ConsoleUuid;
use porthole_shared::secret::Secret;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use command::Command;
pub use config::{Config, InvalidUri, LibvirtUri};
pub use definition::{Definition, DefinitionError, RedefineError};
pub use domain::{DomainDescription, DomainState, DomainSummary, Life, NameOrUuid};
pub use error::{CallError, DescribeError, FindError, LibvirtError, ListError, OpenConsoleError, OpenGraphicsError};
pub use event::{DomainEvent, DomainEventKind, Event, Events, StartCause, StopCause};

use machinery::Machinery;
use queues::Queues;
use reconnect::Reconnect;

/// The longest domain XML that is read. Large real ones have some tens of kilobytes.
pub const MAX_XML_BYTES: usize = 1024 * 1024;

/// Commands on their way to the machinery, which takes them up at once.
const COMMANDS: usize = 64;

/// Events that a slow reader may be behind before it is told to compare instead.
const EVENTS: usize = 1024;

/// Whether libvirt is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// This agent has no libvirt, as configured.
    Disabled,
    /// There is no connection; one is being tried for.
    Connecting {
        /// Since when there has been none.
        since: Instant,
        /// Why the last one ended, or the last attempt failed. For the operator.
        last_error: Option<String>,
    },
    /// There is a connection.
    Connected {
        /// Since when.
        since: Instant,
    },
}

impl LinkState {
    /// The word in the API.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Connecting { .. } => "connecting",
            Self::Connected { .. } => "connected",
        }
    }

    const fn connecting_since(&self) -> Option<Instant> {
        match self {
            Self::Connecting { since, .. } => Some(*since),
            Self::Disabled | Self::Connected { .. } => None,
        }
    }
}

/// libvirt cannot be used at all. That libvirtd does not run is no such error: the connection is tried for until it
/// stands.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// libvirt's event loop does not start.
    #[error("cannot start libvirt's event loop: {0}")]
    EventLoop(String),
    /// The system gives no thread.
    #[error("cannot start the thread that connects to libvirt")]
    Thread(#[source] std::io::Error),
}

/// A handle on libvirt; clones are the same one.
#[derive(Debug, Clone)]
pub struct Hypervisor {
    /// `None` without libvirt.
    commands: Option<mpsc::Sender<Command>>,
    events: broadcast::Sender<Event>,
    state: watch::Receiver<LinkState>,
    queues: Queues,
    call_timeout: Duration,
    is_local: bool,
}

impl Hypervisor {
    /// Starts to connect, and keeps on until `shutdown`. Must be called inside a runtime.
    pub fn connect(config: &Config, shutdown: CancellationToken) -> Result<Self, StartError> {
        if !config.enabled {
            return Ok(Self::none());
        }
        ffi::start_event_loop().map_err(StartError::EventLoop)?;
        let (commands, received) = mpsc::channel(COMMANDS);
        let (events, _) = broadcast::channel(EVENTS);
        let (state_sender, state) = watch::channel(LinkState::Connecting { since: Instant::now(), last_error: None });
        let (link_sender, link) = watch::channel(Weak::new());
        let (wake, woken) = std_mpsc::channel();
        let reconnect = Reconnect {
            config: config.clone(),
            events: events.clone(),
            state: state_sender,
            link: link_sender,
            wake: wake.clone(),
            woken,
        };
        let name = "libvirt-link".to_owned();
        thread::Builder::new().name(name).spawn(move || reconnect.run()).map_err(StartError::Thread)?;
        let queues = Queues::default();
        tokio::spawn(Machinery::new(config, link, queues.clone()).run(received, wake, shutdown));
        let is_local = config.uri.is_local();
        Ok(Self { commands: Some(commands), events, state, queues, call_timeout: config.call_timeout.get(), is_local })
    }

    /// For an agent without libvirt: there are no domains.
    pub fn none() -> Self {
        let (events, _) = broadcast::channel(1);
        let (_, state) = watch::channel(LinkState::Disabled);
        let queues = Queues::default();
        Self { commands: None, events, state, queues, call_timeout: Duration::ZERO, is_local: false }
    }

    /// A handle on whatever answers at the other end of `commands`; `events` and `state` are that end's as well.
    pub fn from_channel(
        commands: mpsc::Sender<Command>,
        events: broadcast::Sender<Event>,
        state: watch::Receiver<LinkState>,
        call_timeout: Duration,
    ) -> Self {
        let queues = Queues::default();
        Self { commands: Some(commands), events, state, queues, call_timeout, is_local: true }
    }

    /// All domains, also those that do not run.
    pub async fn domains(&self) -> Result<Vec<DomainSummary>, ListError> {
        match &self.commands {
            Some(commands) => self.ask(commands, |reply| Command::Domains { reply }).await,
            None => Ok(Vec::new()),
        }
    }

    /// One domain by name or UUID.
    pub async fn find(&self, wanted: &NameOrUuid) -> Result<DomainSummary, FindError> {
        let commands = self.commands.as_ref().ok_or(FindError::NoSuchDomain)?;
        self.ask(commands, |reply| Command::Find { wanted: wanted.clone(), reply }).await
    }

    /// One domain with its XML.
    pub async fn describe(&self, uuid: ConsoleUuid) -> Result<DomainDescription, DescribeError> {
        let commands = self.commands.as_ref().ok_or(DescribeError::NoSuchDomain)?;
        self.ask(commands, |reply| Command::Describe { uuid, reply }).await
    }

    /// One domain's definition, with its secrets.
    pub async fn definition(&self, uuid: ConsoleUuid) -> Result<Definition, DefinitionError> {
        let commands = self.commands.as_ref().ok_or(DefinitionError::NoSuchDomain)?;
        self.ask(commands, |reply| Command::Definition { uuid, reply }).await
    }

    /// Gives a domain that definition, if it still has the one that was seen.
    pub async fn redefine(
        &self,
        uuid: ConsoleUuid,
        seen: Secret<String>,
        wanted: Secret<String>,
    ) -> Result<(), RedefineError> {
        let commands = self.commands.as_ref().ok_or(DefinitionError::NoSuchDomain)?;
        self.ask(commands, |reply| Command::Redefine { uuid, seen, wanted, reply }).await
    }

    /// A new connection to the domain's graphics device `index` (from 0, in the order of the XML), past its password.
    /// It is a stream socket in blocking mode.
    pub async fn open_graphics(&self, uuid: ConsoleUuid, index: u8) -> Result<OwnedFd, OpenGraphicsError> {
        let commands = self.commands.as_ref().ok_or(OpenGraphicsError::NoSuchDomain)?;
        if !self.is_local {
            return Err(OpenGraphicsError::Remote);
        }
        let patience = self.call_timeout.saturating_sub(self.probe_timeout());
        let opened = self.ask_within(patience, commands, |reply| Command::OpenGraphics { uuid, index, reply }).await;
        // A migration that began just before the call keeps it waiting, and later ones behind it.
        if let Err(OpenGraphicsError::Call(CallError::DeadlineExceeded | CallError::Busy)) = opened
            && self.is_migrating(uuid).await
        {
            return Err(OpenGraphicsError::Migrating);
        }
        opened
    }

    /// A connection to a text console of the domain that only libvirt reaches (a pseudo terminal), as a stream socket in
    /// blocking mode. Only one can have it: `force` throws whoever else has it out. It ends when libvirtd does.
    pub async fn open_console(
        &self,
        uuid: ConsoleUuid,
        device: Option<String>,
        force: bool,
    ) -> Result<OwnedFd, OpenConsoleError> {
        let commands = self.commands.as_ref().ok_or(OpenConsoleError::NoSuchDomain)?;
        self.ask(commands, |reply| Command::OpenConsole { uuid, device, force, reply }).await
    }

    /// Whether the domain is on its way to another host, or from one. Answers within a tenth of the deadline; no answer
    /// in that time counts as no.
    pub async fn is_migrating(&self, uuid: ConsoleUuid) -> bool {
        let Some(commands) = &self.commands else { return false };
        let probed =
            self.ask_within(self.probe_timeout(), commands, |reply| Command::IsMigrating { uuid, reply }).await;
        probed == Ok(true)
    }

    fn probe_timeout(&self) -> Duration {
        self.call_timeout / 10
    }

    /// Whether libvirt is reached by a unix socket of this host, so that it can pass descriptors, and the paths and
    /// loopback addresses of a domain's XML are this host's.
    pub const fn is_local(&self) -> bool {
        self.is_local
    }

    /// The events from now on.
    pub fn events(&self) -> Events {
        Events::new(self.events.subscribe())
    }

    /// Whether libvirt is there, now and later.
    pub fn status(&self) -> watch::Receiver<LinkState> {
        self.state.clone()
    }

    /// How many calls wait and how many run, by the name of their lane.
    pub fn queues(&self) -> Vec<(&'static str, (usize, usize))> {
        self.queues.read()
    }

    async fn ask<T, E: From<CallError>>(
        &self,
        commands: &mpsc::Sender<Command>,
        question: impl FnOnce(oneshot::Sender<Result<T, E>>) -> Command,
    ) -> Result<T, E> {
        self.ask_within(self.call_timeout, commands, question).await
    }

    async fn ask_within<T, E: From<CallError>>(
        &self,
        patience: Duration,
        commands: &mpsc::Sender<Command>,
        question: impl FnOnce(oneshot::Sender<Result<T, E>>) -> Command,
    ) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        let exchange = async {
            // Either fails when the machinery has stopped.
            commands.send(question(reply)).await.map_err(|_| CallError::Disconnected)?;
            answer.await.unwrap_or_else(|_| Err(CallError::Disconnected.into()))
        };
        tokio::time::timeout(patience, exchange).await.unwrap_or_else(|_| Err(CallError::DeadlineExceeded.into()))
    }
}

#[cfg(test)]
mod tests;
