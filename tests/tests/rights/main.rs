//! What a link allows, and what takes that away, on the real stack.
//!
//! | module | what |
//! |---|---|
//! | `watching` | read-only links: pixels come, input does not arrive |
//! | `limits` | idleness, the link's expiry, shares of the host |
//! | `together` | links and sessions ended by console or requestor |
//! | `disk` | a disk without room |
//! | `domains` | what a guest's end does to its links |

mod disk;
mod domains;
mod limits;
mod support;
mod together;
mod watching;
