//! The public side of the edge in one process: real sockets and real TLS on loopback, with an agent of the test's own
//! that speaks the tunnel protocol.
#![forbid(unsafe_code)]

// `cfg(test)` holds for all of this crate; it is said for the lints that let tests unwrap.
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod stopping;
#[cfg(test)]
mod support;
