//! What the admin listeners tell: counters that move with what happens, readiness in words, and settings that change
//! while the daemons run.
//!
//! | module | what |
//! |---|---|
//! | `scrapes` | `/metrics` of both: valid, moving, and without anybody's names |
//! | `readiness` | `/readyz` of both |
//! | `reloads` | SIGHUP and changed files: good, bad, and what needs a restart |
//! | `exposition` | a strict reader of the text that is scraped |

mod exposition;
mod readiness;
mod reloads;
mod scrapes;
mod support;
