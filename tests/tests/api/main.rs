//! The agent's API from outside: who may do what, over the socket and over the network, and what it answers.
//!
//! The built binaries, without libvirt: the one console is a port that the test plays.

mod bounds;
mod callers;
mod command;
mod connections;
mod description;
mod events;
mod idempotency;
mod own;
mod roles;
mod support;
