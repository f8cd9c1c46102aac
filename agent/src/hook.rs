//! The agent's end of libvirt's hook: `porthole-hook` tells it of each step of a domain's life, and waits for an answer.
//!
//! ```text
//!  porthole-hook ── unix socket ──► server ──► steps ──► ports (which are taken, whom to ask libvirt about)
//!        └── a file, if nobody answered ──► spooled ──┘ └► tokens (void, unless libvirt's event has said so already)
//! ```
//!
//! libvirt holds the domain's job while a hook runs, and a call back into it would wait for ever. So **nothing here calls
//! libvirt, takes a lock that is held over a call to it, or waits for anyone who does**: what has to be asked of libvirt
//! is noted, and [`reconcile`](crate::reconcile) asks it afterwards.
//!
//! libvirt tells the same things by its events, with their reasons and only while the agent is connected. Either may be
//! missed. So each step says only "look again", or something that is as true after the event as before.

mod calls;
mod config;
mod server;
mod spooled;
mod steps;

pub use self::calls::{CallCount, Calls};
pub use self::config::{Config, TakenPort};
pub use self::server::serve;
pub use self::spooled::Spooled;
pub use self::steps::{Parts, Steps};
