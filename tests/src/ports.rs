//! Free TCP ports for servers that must be told theirs.

use std::net::{Ipv4Addr, TcpListener};

/// Below the range from which Linux takes ports for outgoing connections, so that none of those comes between the
/// finding and the server's bind.
const RANGE: std::ops::Range<u16> = 15_000..32_000;

/// A port of 127.0.0.1 that nobody listens on now. Picked at random, so that tests side by side do not meet.
pub fn free_port() -> u16 {
    loop {
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        let offset = u16::try_from(random % u64::from(RANGE.end - RANGE.start)).unwrap_or(0);
        let port = RANGE.start + offset;
        if is_free(port) {
            return port;
        }
    }
}

/// Whether nobody listens on this port of 127.0.0.1 now.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
