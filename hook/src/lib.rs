//! libvirt's hook: what `porthole-hook` and the agent must agree on, and all of the hook but its `main`.
//!
//! ```text
//!  libvirt: NAME OPERATION SUB EXTRA, XML ─► step, input ─► glance (whose is it?)
//!                                                             │
//!                      outcome ◄─── answer or failure ◄── ask (the agent's socket, under a deadline)
//!                         │                                   wire (the text of both)
//!      exit status, XML on stdout, one line on stderr ─► libvirt
//!                         └► spool (what the agent must hear later) ─► the agent, when it runs again
//! ```
//!
//! libvirt waits for the hook with the domain's job held, `virsh list` waits with it, and a hook that fails at the wrong
//! step kills a running guest. So nothing here takes longer than [`ask::DEADLINE`] and a little, nothing is decided
//! outside of the one total match in [`outcome`], and where anything is doubtful the guest goes on.
//!
//! It leaves to the agent what a step means, which ports a domain gets, and every edit of XML; it neither calls libvirt
//! nor waits for anyone who does. No async runtime, no database: it starts, asks and ends in about a millisecond.
#![forbid(unsafe_code)]

pub mod ask;
pub mod config;
pub mod glance;
pub mod input;
pub mod outcome;
pub mod spool;
pub mod step;
pub mod wire;

/// Porthole's namespace in a domain's `<metadata>`: a domain that has an element of it is managed.
pub const NAMESPACE: &str = "https://porthole.dev/xmlns/consoles/1.0";
