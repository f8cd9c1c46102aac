//! libvirt's hook: what libvirt runs, what the agent hears, and what a guest notices of it when one of them fails.
//!
//! | module | what it shows |
//! |---|---|
//! | `steps` | each step of a guest's life is told; a taken port is told before QEMU stumbles over it |
//! | `away` | the agent is gone, hangs, or libvirtd does |
//! | `matrix`, `world` | whatever happens to a guest comes to the same, by hook, events, both or neither |
//! | `migration`, `two` | guests move between networks, fail to move: their consoles work where they are |
//! | `restore` | they come from a file |
//! | `input` | whatever libvirt or a stranger gives the hook, it ends in time, and well where failure kills |

mod away;
mod input;
mod matrix;
mod migration;
mod restore;
mod steps;
mod support;
mod two;
mod world;
