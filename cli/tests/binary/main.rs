//! Drives the built `porthole`: certificates on real files and in real handshakes, and the operator's commands against
//! a stub of the agent's API on a unix socket.
#![cfg(test)]

mod agent;
mod audit;
mod definition;
mod pki;
mod ports;
mod run;
mod stub;
mod usage;
