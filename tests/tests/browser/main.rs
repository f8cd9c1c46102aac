//! The console page in a real Chromium: what a person sees, types and is told.
//!
//! | module | what |
//! |---|---|
//! | `picture` | the canvas against libvirt's screenshot |
//! | `keys` | the keyboard, the keys menu, view only, text that is typed |
//! | `refusals` | links that are not good, consoles that are not there |
//! | `ends` | sessions that end for good |
//! | `reconnects` | what the page gets over by itself |
//! | `windows` | reloads, tabs, the address bar, the history, forbidden storage |
//! | `frames` | inside pages of other sites |
//! | `access` | the keyboard alone, light and dark, phones |
//! | `words` | every reason |
//! | `quiet` | that what no page may do would be noticed |

mod access;
mod ends;
mod frames;
mod keys;
mod picture;
mod quiet;
mod reconnects;
mod refusals;
mod support;
mod windows;
mod words;
