//! Load on Porthole's daemons and on what people run today, measured on loopback.
//!
//! ```text
//!   processor 1                     processor 0                  processor 1
//!   client (TLS, frames) ─────────► contender ─────────────────► backend (TLS or TCP)
//!                                   /proc: CPU, PSS
//! ```
//!
//! One process drives both ends; a *contender* stands between them on a processor of its own: an edge, an agent, both,
//! HAProxy, nginx, websockify, or a *floor*, which relays and does nothing else. All of them run at the same time and are
//! measured in turns, round by round, so that what the machine does meanwhile meets all of them. What is compared is
//! what a contender *uses* (processor time, memory) and what a session *feels* (round trips); speeds of the whole are
//! limited by the load itself.
//!
//! Every measurement is checked by what arrives at the far end: a run that lost a byte has no figures.

pub mod backend;
pub mod client;
pub mod compare;
pub mod contender;
pub mod floor;
pub mod frames;
pub mod identity;
pub mod lane;
pub mod relay;
pub mod soak;
pub mod usage;
pub mod wire;
