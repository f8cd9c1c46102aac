//! The audit: who asked for a console, who saw it, who was refused and how it ended; by `porthole audit`, by the API, in
//! the log, and still there when the agent was killed.

mod deeds;
mod life;
mod pages;
mod support;
