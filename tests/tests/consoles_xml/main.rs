//! Consoles that Porthole writes into domains: libvirt takes them, guests run with them, they open.
//!
//! | module | what |
//! |---|---|
//! | `samples` | domains as programs and people write them (`tests/domains`): what changes, libvirt's schema, `virsh define` |
//! | `definitions` | domains whose definition the agent changes |
//! | `guests` | guests that run with the consoles they were given |

mod definitions;
mod guests;
mod samples;
mod support;
