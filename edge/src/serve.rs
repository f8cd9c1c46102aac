//! Everything that faces the network: the public listener and the admin listener.
//!
//! ```text
//!  listen ─► connection (TLS, hyper) ─► route ─┬─ an upgrade ──────► console ─► gate, resolve, dial ─► relay
//!                                              ├─ /api/console ────► inspect ─► gate, resolve, dial
//!                                              └─ GET, HEAD ───────► files, or a short page
//! ```
//!
//! What a request means is the gate's; what a refusal says is `answer`'s. Nothing here looks at the bytes of a session.

pub mod admin;
pub mod answer;
pub mod connection;
pub mod console;
pub mod files;
pub mod inspect;
pub mod listen;
pub mod live;
pub mod public;
mod reasons;
pub mod resolve;
pub mod room;
pub mod route;
pub mod settings;
pub mod site;
pub mod tls;

use std::sync::Arc;

use self::listen::Listeners;
use self::site::Site;
use crate::drain;

/// Serves the public until the process is told to stop. Connections and sessions run on as tasks of the site's tracker.
pub async fn run(listeners: Listeners, site: Arc<Site>) {
    let stop = site.shutdown.soft.clone();
    let room = site.room.clone();
    listen::accept(listeners, room, stop, move |tcp, peer, place| {
        site.tasks.spawn(connection::serve(tcp, peer, Arc::clone(&site), place));
    })
    .await;
}

/// Once the process is told to stop, has the agents end the sessions that run through this edge.
pub async fn drain_when_told(site: Arc<Site>) {
    site.shutdown.soft.cancelled().await;
    drain::drain(&site.dialer, site.live.nodes(), site.instance).await;
}
