//! What Porthole's agent, edge and command line must agree on.
//!
//! Names and their grammars, the token, the reason table, the tunnel protocol between edge and agent, TLS roles, one side
//! of a session with its TLS, and the process plumbing (configuration files, clients' places, clock, lifecycle, telemetry)
//! that both daemons share. Nothing here knows libvirt, SQL or RFB, and nothing here decides whether somebody may open a
//! console: that is the agent's.
#![forbid(unsafe_code)]

pub mod binding;
pub mod clients;
pub mod clock;
pub mod config;
pub mod descriptors;
pub mod health;
pub mod leg;
pub mod lifecycle;
pub mod moments;
pub mod names;
pub mod reason;
pub mod reload;
pub mod secret;
pub mod telemetry;
pub mod tls;
pub mod token;
pub mod tunnel;
pub mod validity;
pub mod watch;
