//! What is counted and measured where it happens. Clones are handles to the same.

use std::time::Duration;

use porthole_shared::names::ConsoleKind;
use porthole_shared::reason::Reason;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The upper bounds of the buckets, in seconds: from a write to the database to what waits for libvirt's deadline.
const SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How long something takes.
#[derive(Debug, Clone)]
pub struct Latency(Histogram);

impl Default for Latency {
    fn default() -> Self {
        Self(seconds())
    }
}

impl Latency {
    /// It took so long.
    pub fn observe(&self, took: Duration) {
        self.0.observe(took.as_secs_f64());
    }
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// By kind of console.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

impl From<ConsoleKind> for OfKind {
    fn from(kind: ConsoleKind) -> Self {
        Self { kind: kind.as_str() }
    }
}

/// By the code that whoever asked was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCode {
    reason: &'static str,
}

/// By what was asked for, and the code that was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    request: &'static str,
    reason: &'static str,
}

/// By kind of console, and why it was over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfEnd {
    kind: &'static str,
    reason: &'static str,
}

/// A counter for each kind, all of them there from the start: a rate needs a zero to begin at.
fn by_kind() -> Family<OfKind, Counter> {
    let family = Family::default();
    for kind in ConsoleKind::ALL {
        drop(family.get_or_create(&kind.into()));
    }
    family
}

/// Of tokens.
#[derive(Debug, Clone)]
pub struct Tokens {
    mints: Family<OfKind, Counter>,
    refused_mints: Family<OfCode, Counter>,
    redeems: Family<OfKind, Counter>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { mints: by_kind(), refused_mints: Family::default(), redeems: by_kind() }
    }
}

impl Tokens {
    /// A token was made.
    pub fn minted(&self, kind: ConsoleKind) {
        self.mints.get_or_create(&kind.into()).inc();
    }

    /// None was, and whoever asked was given this code.
    pub fn refused(&self, reason: &'static str) {
        self.refused_mints.get_or_create(&OfCode { reason }).inc();
    }

    /// A token was used.
    pub fn redeemed(&self, kind: ConsoleKind) {
        self.redeems.get_or_create(&kind.into()).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("mints", "Tokens made", self.mints.clone());
        registry.register("mints_refused", "Tokens not made, by code", self.refused_mints.clone());
        registry.register("redeems", "Tokens used, reconnections included", self.redeems.clone());
    }
}

/// Of sessions.
#[derive(Debug, Clone, Default)]
pub struct Sessions {
    ended: Family<OfEnd, Counter>,
}

impl Sessions {
    /// A connection is over.
    pub fn ended(&self, kind: ConsoleKind, reason: Reason) {
        self.ended.get_or_create(&OfEnd { kind: kind.as_str(), reason: reason.code() }).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("connections_ended", "Connections that have ended, and why", self.ended.clone());
    }
}

/// Of the tunnel.
#[derive(Debug, Clone)]
pub struct Tunnel {
    refusals: Family<OfRequest, Counter>,
    handshake: Latency,
    failed_handshakes: Counter,
    open: Family<OfKind, Histogram, fn() -> Histogram>,
}

impl Default for Tunnel {
    fn default() -> Self {
        Self {
            refusals: Family::default(),
            handshake: Latency::default(),
            failed_handshakes: Counter::default(),
            open: Family::new_with_constructor(seconds),
        }
    }
}

impl Tunnel {
    /// An edge was refused something.
    pub fn refused(&self, request: &'static str, reason: Reason) {
        self.refusals.get_or_create(&OfRequest { request, reason: reason.code() }).inc();
    }

    /// A TLS handshake was done.
    pub fn shaken(&self, took: Duration) {
        self.handshake.observe(took);
    }

    /// A TLS handshake failed.
    pub fn not_shaken(&self) {
        self.failed_handshakes.inc();
    }

    /// A console was opened.
    pub fn opened(&self, kind: ConsoleKind, took: Duration) {
        self.open.get_or_create(&kind.into()).observe(took.as_secs_f64());
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("refusals", "Requests of edges that were refused, by what and why", self.refusals.clone());
        let help = "TLS handshakes with edges, from the connection on";
        registry.register("tls_handshake_seconds", help, self.handshake.0.clone());
        let help = "TLS handshakes with edges that failed or took too long";
        registry.register("tls_handshakes_failed", help, self.failed_handshakes.clone());
        let help = "Opening a console: from asking libvirt, or dialling, to a stream whose own security is done";
        registry.register("console_open_seconds", help, self.open.clone());
    }
}

/// Of the database.
#[derive(Debug, Clone, Default)]
pub struct Store {
    write: Latency,
    wait: Latency,
    failures: Counter,
}

impl Store {
    /// Somebody got his turn to write.
    pub fn waited(&self, took: Duration) {
        self.wait.observe(took);
    }

    /// What somebody wrote is there; since he asked for his turn.
    pub fn written(&self, took: Duration) {
        self.write.observe(took);
    }

    /// It is not.
    pub fn failed(&self) {
        self.failures.inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Transactions that write, from asking for the turn to the commit";
        registry.register("database_write_seconds", help, self.write.0.clone());
        let help = "How long transactions that write waited for their turn";
        registry.register("database_write_wait_seconds", help, self.wait.0.clone());
        registry.register("database_write_failures", "Transactions that were not committed", self.failures.clone());
    }
}
