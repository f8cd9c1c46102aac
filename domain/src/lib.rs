//! What the consoles of a libvirt domain look like in its XML. Pure: text and facts in, text out.
//!
//! ```text
//!  domain XML ─► document (elements and where they stand) ─► metadata (the specification it already has)
//!                      │                                            │
//!  ConsoleSpec ────────┼────────────────────────────────────────────┤
//!  Host, Allocation ───┤                                            ▼
//!                      │                          render: the devices and metadata to have
//!                      ▼                                            │
//!  the same XML ◄── edit (byte ranges) ◄────── merge: which ranges ─┘
//! ```
//!
//! The XML is never parsed and written anew: what is not a console of ours stays as it was, byte for byte.
//!
//! **Invariants**: nothing here does I/O, knows libvirt or a database, or decides which port a console gets; randomness
//! is the caller's. What is read may be a stranger's: it is bounded in bytes, depth and elements, a document type is
//! refused, and no entity but XML's own five is resolved.
#![forbid(unsafe_code)]

pub mod allocation;
mod document;
mod edit;
pub mod host;
mod layout;
pub mod merge;
pub mod metadata;
mod password;
mod render;
pub mod spec;

pub use allocation::{Allocation, AllocationError};
pub use document::{DocumentError, MAX_BYTES, Place};
pub use edit::EditError;
pub use host::Host;
pub use merge::{Difference, Fresh, MergeError, check, merge, remove, until_restart};
pub use metadata::{Known, NAMESPACE, ReadError, read};
pub use password::{InvalidPassword, NoRandomness, PasswordError, Passwords, VncPassword};
pub use render::{Fragments, RenderError, render};
pub use spec::ConsoleSpec;
