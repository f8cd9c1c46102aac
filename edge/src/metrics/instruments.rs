//! What is counted and measured where it happens. Clones are handles to the same.

use std::time::Duration;

use porthole_shared::names::ConsoleKind;
use porthole_shared::reason::Reason;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::relay::End;

/// The upper bounds of the buckets, in seconds: from a resumed handshake on loopback to the deadlines.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// By kind of console.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

/// By what was asked for, and the code that was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    request: &'static str,
    reason: &'static str,
}

/// By what ended it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfEnd {
    end: &'static str,
}

/// Towards the public.
#[derive(Debug, Clone)]
pub struct Public {
    opened: Family<OfKind, Counter>,
    ended: Family<OfEnd, Counter>,
    refusals: Family<OfRequest, Counter>,
    handshake: Histogram,
    failed_handshakes: Counter,
}

impl Default for Public {
    fn default() -> Self {
        let opened = Family::default();
        // All of them are there from the start: a rate needs a zero to begin at.
        for kind in ConsoleKind::ALL {
            drop(opened.get_or_create(&OfKind { kind: kind.as_str() }));
        }
        let (ended, refusals) = (Family::default(), Family::default());
        Self { opened, ended, refusals, handshake: seconds(), failed_handshakes: Counter::default() }
    }
}

impl Public {
    /// A console was opened.
    pub fn opened(&self, kind: ConsoleKind) {
        self.opened.get_or_create(&OfKind { kind: kind.as_str() }).inc();
    }

    /// A session is over.
    pub fn ended(&self, end: End) {
        let end = match end {
            End::ClientClosed => "client_closed",
            End::AgentClosed => "agent_closed",
            End::ClientLost => "client_lost",
            End::AgentLost => "agent_lost",
            End::Stuck => "stuck",
            End::Stopped => "stopped",
        };
        self.ended.get_or_create(&OfEnd { end }).inc();
    }

    /// A client was refused something.
    pub fn refused(&self, request: &'static str, reason: Reason) {
        self.refusals.get_or_create(&OfRequest { request, reason: reason.code() }).inc();
    }

    /// A TLS handshake was done.
    pub fn shaken(&self, took: Duration) {
        self.handshake.observe(took.as_secs_f64());
    }

    /// A TLS handshake failed.
    pub fn not_shaken(&self) {
        self.failed_handshakes.inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("consoles_opened", "Consoles opened", self.opened.clone());
        registry.register("sessions_ended", "Sessions that have ended, by what the edge saw first", self.ended.clone());
        registry.register("refusals", "Requests of clients that were refused, by what and why", self.refusals.clone());
        let help = "TLS handshakes with clients, from the connection on";
        registry.register("tls_handshake_seconds", help, self.handshake.clone());
        let help = "TLS handshakes with clients that failed or took too long";
        registry.register("tls_handshakes_failed", help, self.failed_handshakes.clone());
    }
}

/// Towards agents.
#[derive(Debug, Clone)]
pub struct Agents {
    dial: Histogram,
    failed_dials: Counter,
    answer: Histogram,
}

impl Default for Agents {
    fn default() -> Self {
        Self { dial: seconds(), failed_dials: Counter::default(), answer: seconds() }
    }
}

impl Agents {
    /// An agent was reached.
    pub fn reached(&self, took: Duration) {
        self.dial.observe(took.as_secs_f64());
    }

    /// An agent was not reached.
    pub fn not_reached(&self) {
        self.failed_dials.inc();
    }

    /// An agent has answered, whatever.
    pub fn answered(&self, took: Duration) {
        self.answer.observe(took.as_secs_f64());
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Connections to agents: name, TCP and TLS";
        registry.register("agent_dial_seconds", help, self.dial.clone());
        registry.register("agent_dials_failed", "Connections to agents that failed", self.failed_dials.clone());
        let help = "Answers of agents, from the request on; opening a console is in it";
        registry.register("agent_answer_seconds", help, self.answer.clone());
    }
}
