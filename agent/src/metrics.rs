//! What this agent counts and measures, as `OpenMetrics` text for whoever scrapes `/metrics`.
//!
//! ```text
//!  tokens, sessions, tunnel, store: each adds to its own instruments ─┐
//!                                                                     ├─► Metrics::text
//!  sessions, hypervisor, trust, configuration: read at each scrape ───┘
//! ```
//!
//! There is no global state: whoever counts owns its [`instruments`], and here they are only put together. Bytes are not
//! counted twice: each connection counts its own as it always has, and a scrape adds up those of the live ones and of
//! those that have ended, so relaying costs no lock and no allocation for it.
//!
//! **Invariant**: labels come from tables of this release (kinds, reason codes, directions, lanes); never from a token, a
//! console, a client, an edge or whatever else a peer may name.

pub mod instruments;
mod live;

use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use self::live::Live;
use crate::admin::Parts;

/// The type of the text that [`Metrics::text`] makes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that there is to scrape.
#[derive(Debug)]
pub struct Metrics(Registry);

impl Metrics {
    /// Puts it together.
    pub fn new(parts: &Parts) -> Self {
        let mut registry = Registry::with_prefix("porthole_agent");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which release this is", build);
        parts.tokens.instruments().register(&mut registry);
        parts.sessions.instruments().register(&mut registry);
        parts.tunnel.register(&mut registry);
        parts.store.instruments().register(&mut registry);
        registry.register_collector(Box::new(Live {
            sessions: parts.sessions.clone(),
            hypervisor: parts.consoles.hypervisor().clone(),
            trust: parts.trust.clone(),
            reloads: parts.reloads.clone(),
            clock: Arc::clone(&parts.clock),
        }));
        Self(registry)
    }

    /// As it is now.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _done = encode(&mut text, &self.0);
        text
    }
}

#[cfg(test)]
mod tests;
