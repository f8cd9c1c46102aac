//! An edge, an agent that does as it is told, and a client that sees every byte.

mod agent;
mod client;
mod edge;
mod pki;

use std::future::Future;
use std::time::Duration;

pub(crate) use self::agent::Behaviour;
pub(crate) use self::client::{Answer, Client, WEBSOCKET, upgrade};
pub(crate) use self::edge::{Edge, Ground, Setup};

/// Every wait of a test has an end.
pub(crate) async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("nothing happened for 20 s")
}
