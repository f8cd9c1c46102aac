//! What this edge counts and measures, as `OpenMetrics` text for whoever scrapes `/metrics`.
//!
//! There is no global state: [`serve`](crate::serve) and [`dial`](crate::dial) own the [`instruments`] that they add to,
//! and here they are put together with what is known anyway at each scrape. Bytes are those that the relay has always
//! counted, in two atomics for all sessions.
//!
//! **Invariant**: labels come from tables of this release (kinds, reason codes, directions); never from a token, a node, a
//! client or whatever else a peer may name.

pub mod instruments;
mod live;

use std::sync::Arc;

use porthole_shared::reload;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use self::live::Live;
use crate::serve::site::Site;

/// The type of the text that [`Metrics::text`] makes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that there is to scrape.
#[derive(Debug)]
pub struct Metrics(Registry);

impl Metrics {
    /// Of this site and its configuration file.
    pub fn new(site: &Arc<Site>, reloads: reload::Report) -> Self {
        let mut registry = Registry::with_prefix("porthole_edge");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which release this is", build);
        site.instruments.register(&mut registry);
        site.dialer.instruments().register(&mut registry);
        registry.register_collector(Box::new(Live { site: Arc::clone(site), reloads }));
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
