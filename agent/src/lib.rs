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
//! **Invariants**: only [`store`] contains SQL; only [`hypervisor`] contains libvirt and `unsafe`; nothing in this crate
//! listens on a network but [`tunnel`], which talks to nobody without an edge's certificate, and [`admin`], on loopback
//! unless it is told otherwise.

pub mod admin;
pub mod api;
pub mod config;
pub mod consoles;
#[cfg(test)]
mod fixture;
pub mod hypervisor;
pub mod metrics;
pub mod reload;
pub mod rfb;
pub mod sessions;
pub mod store;
mod tcp;
pub mod tokens;
pub mod tunnel;
pub mod websocket;
