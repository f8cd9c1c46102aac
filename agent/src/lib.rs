//! Porthole's compute agent: it owns libvirt, consoles, tokens and sessions, and ends the WebSocket.
//!
//! ```text
//!  api (unix socket)    tunnel (mutual TLS, edges only)
//!        │                     │            └── websocket: frames ◄─► console
//!        ▼                     ▼
//!  consoles · tokens · sessions             what may be done, and what is going on
//!        │                     │
//!        ▼                     ▼
//!  hypervisor (libvirt)     store (SQLite)  the world
//! ```
//!
//! What happens to consoles, tokens and sessions, all of them tell the [`audit`].
//!
//! **Invariants**: only [`store`] contains SQL, and for its own file the audit's store; only [`hypervisor`] contains libvirt and `unsafe`; nothing in this crate
//! listens on a network but [`tunnel`], and that talks to nobody without an edge's certificate.

pub mod api;
pub mod audit;
pub mod config;
pub mod consoles;
#[cfg(test)]
mod fixture;
pub mod hypervisor;
pub mod rfb;
pub mod sessions;
pub mod store;
mod tcp;
pub mod tokens;
pub mod tunnel;
pub mod websocket;
