//! Serial consoles: real guests' ports, through edge and agent.
//!
//! | module | what |
//! |---|---|
//! | `plain` | bytes alone: the subprotocol `binary` or none |
//! | `roles` | one writer, watchers, taking over, coming back |
//! | `history` | `porthole.serial.v1`: what was said before, from any offset |
//! | `command` | `porthole console`, `porthole log` and the API behind them |
//! | `faults` | the edge, the agent or the guest ends; a viewer is stuck; a guest floods |
//! | `restarts` | the agent comes again: sockets that waited, logs that are joined under a flood |

mod command;
mod faults;
mod history;
mod plain;
mod restarts;
mod roles;
mod support;
