//! How sessions live and end: what the client is told, what `porthole sessions` shows, what the database keeps.
//!
//! | module | what ends, or must not end, a session |
//! |---|---|
//! | `operator` | a kill, the longest duration |
//! | `guest` | each way in which a guest stops; a reboot |
//! | `agent`, `edge` | the daemons stop, are killed and come back |
//! | `libvirtd` | libvirtd stops, is killed, hangs |
//! | `wedged` | an emulator that hangs |
//! | `migration` | a guest that moves |
//! | `clients` | clients that misbehave, vanish or do not read |
//! | `external` | consoles without libvirt |
//! | `spice` | a session of several connections |

mod agent;
mod clients;
mod edge;
mod external;
mod guest;
mod libvirtd;
mod migration;
mod operator;
mod spice;
mod support;
mod wedged;
