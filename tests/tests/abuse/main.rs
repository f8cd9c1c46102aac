//! Porthole among hostile and broken peers: agents that are dead, slow or lie, clients that break every rule, strangers at
//! the tunnel, and ten thousand connections that come to nothing.
//!
//! What is common to all of these: the peer gets what is its due and no more, everybody else is served as before, nothing
//! panics, and nothing is left behind. Most agents here have no libvirt, only an external `tcp` console whose far end is
//! the test's own ([`support::console`]); the lying ones are the test's own altogether ([`support::stub`]).
#![forbid(unsafe_code)]

mod agents;
mod check_config;
mod churn;
mod families;
mod flood;
mod heads;
mod keys;
mod lies;
mod pages;
mod reload;
mod support;
mod tunnel;
