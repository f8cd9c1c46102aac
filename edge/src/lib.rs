//! Porthole's public edge: ends TLS, admits by token, serves the pages, relays bytes.
//!
//! ```text
//!            serve                          gate               keys, directory        dial            relay
//!  accept ─► TLS ─► request head ─► Candidate or refusal ─► Admission or refusal ─► AgentConsole ─► copy both ways
//! ```
//!
//! What is absent, on purpose: no state outlives a connection, WebSocket frames are not parsed, nothing is minted, no
//! address is taken out of a token, and neither libvirt nor a database is known here.
#![forbid(unsafe_code)]

pub mod config;
pub mod dial;
pub mod directory;
pub mod drain;
pub mod gate;
pub mod keys;
pub mod metrics;
pub mod occasionally;
pub mod relay;
pub mod reload;
pub mod serve;
