//! The table of ports from outside: real guests that come and go, an agent that is killed at any moment, a disk that takes
//! nothing.

mod crash;
mod guests;
mod ranges;
mod state;
mod support;
