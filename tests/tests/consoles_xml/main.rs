//! What `porthole consoles merge` makes of domains: libvirt takes it, guests run with it, their consoles open.
//!
//! | module | what |
//! |---|---|
//! | `samples` | domains as programs and people write them (`tests/domains`): what changes, libvirt's schema, `virsh define` |
//! | `guests` | guests that run with the consoles they were given |

mod guests;
mod samples;
mod support;
