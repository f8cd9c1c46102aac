//! The page of a serial console in a real Chromium: what a person sees, types and is told.
//!
//! | module | what |
//! |---|---|
//! | `access` | the keyboard alone, the size of characters |
//! | `shell` | a Linux guest's shell: commands, text that is not Latin, full-screen programs, pasting |
//! | `history` | reloads, what is saved, what is searched |
//! | `people` | one writer: refused, taken over, watched |
//! | `faults` | an edge that is killed in mid-stream, a guest that stops |

mod access;
mod faults;
mod history;
mod people;
mod shell;
mod support;
