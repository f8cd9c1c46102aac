//! Who gets a console, and who does not: minting, redeeming, binding and every refusal, seen from outside.
//!
//! The built binaries on a real libvirtd and QEMU, or, where the console itself does not matter, on a console that the
//! test plays ([`support::Console`]).

mod binding;
mod bytes;
mod core;
mod expiry;
mod foreign;
mod guests;
mod inspect;
mod keys;
mod origins;
mod peers;
mod places;
mod race;
mod refusals;
mod secrets;
mod sources;
mod support;
