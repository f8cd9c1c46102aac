//! Consoles that Porthole writes into domains: libvirt takes them, guests run with them, they open.
//!
//! | module | what |
//! |---|---|
//! | `samples` | domains as programs and people write them (`tests/domains`): what changes, libvirt's schema, `virsh define` |
//! | `examples` | the domains in libvirt's own documentation, where Debian's `libvirt-doc` has put it |
//! | `definitions` | domains whose definition the agent changes |
//! | `guests` | guests that run with the consoles they were given |
//! | `passwords` | screens whose password somebody gave |
//! | `sealed` | who may reach a sealed serial port |

mod definitions;
mod examples;
mod guests;
mod passwords;
mod samples;
mod sealed;
mod support;
