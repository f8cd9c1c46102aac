//! Why a domain gets no ports.

use std::io;

use super::{Device, Exhausted};
use crate::store;

/// A domain's devices get no ports: none of them.
#[derive(Debug, thiserror::Error)]
pub enum AllocateError {
    /// It is not said for what.
    #[error("say which devices want a port: 1 to {}, each once", super::MOST_DEVICES)]
    Devices,
    /// A device is named twice.
    #[error("{0} is named twice")]
    Twice(Device),
    /// There are not so many.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// Something else has them.
    #[error(
        "of the ports that are free by `porthole ports`, {0} were tried, and something else on this host listens there: \
         see what it is (`ss -Htlnp`), or choose other ranges in [ports]"
    )]
    Held(usize),
    /// The table changed each time.
    #[error("the table of ports changed again and again meanwhile: ask again")]
    Contended,
    /// No port can be tried.
    #[error("cannot try whether a port is free")]
    Probe(#[source] io::Error),
    /// The table cannot be read or written.
    #[error("cannot note whose the ports are; nothing has changed")]
    Store(#[from] store::Error),
}
