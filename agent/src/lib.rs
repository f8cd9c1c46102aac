//! Porthole's compute agent: it owns libvirt, consoles, tokens and sessions, and ends the WebSocket.
//!
//! ```text
//!  api (unix socket, TLS)  tunnel (mutual TLS, edges only)  hook (unix socket, libvirt)
//!        │                     │  └── websocket: frames ◄─► console   │
//!        ▼                     ▼
//!  consoles · tokens · sessions · ports     what may be done, and what is going on
//!        │                     │
//!        ▼                     ▼
//!  hypervisor (libvirt)     store (SQLite)  the world
//! ```
//!
//! What happens to consoles, tokens and sessions, all of them tell the [`audit`].
//!
//! **Invariants**: only [`store`] contains SQL, and for its own file the audit's store; only [`hypervisor`] contains
//! libvirt and `unsafe`; what listens on a network is [`tunnel`], which talks to nobody without an edge's certificate,
//! [`admin`], on loopback unless it is told otherwise, and, where it is configured, [`api`], which talks to an edge never
//! and to nobody without TLS.

pub mod admin;
pub mod api;
pub mod audit;
pub mod callers;
pub mod config;
pub mod consoles;
pub mod definitions;
pub mod feed;
#[cfg(test)]
mod fixture;
pub mod hook;
pub mod hypervisor;
pub mod metrics;
pub mod ports;
pub mod reconcile;
pub mod reload;
pub mod rfb;
pub mod serial;
pub mod sessions;
pub mod store;
mod tcp;
mod throttle;
pub mod tokens;
pub mod tunnel;
pub mod unix;
pub mod websocket;
