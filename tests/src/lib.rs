//! The harness of Porthole's tests: real libvirtd, QEMU, SQLite and TLS; the built binaries, driven from outside.
//!
//! ```no_run
//! # async fn example() {
//! use porthole_tests::agent::Mint;
//! use porthole_tests::libvirt::PrivateLibvirt;
//! use porthole_tests::stack::Stack;
//!
//! let libvirt = PrivateLibvirt::shared().await; // or start(): one for this test alone, to stop and freeze
//! let guest = libvirt.guest("g1").start().await; // QEMU, with a screen and a serial port; .linux() for a real shell
//! let stack = Stack::on(&libvirt).await; // agent + edge + certificates; Stack::builder() takes settings
//!
//! // As a viewer: a link, a WebSocket, RFB, pixels.
//! let mut viewer = stack.view(&guest).await;
//! assert_eq!(viewer.full_frame().await.unwrap(), guest.screenshot().await.unwrap());
//!
//! // Step by step, with any request.
//! let link = stack.mint(Mint::of(guest.name()).policy("once").ttl(5)).await;
//! let (status, reason) = stack.upgrade(&link).origin("https://evil.example").send().await.unwrap().refusal();
//! let mut console = stack.upgrade(&link).open().await;
//!
//! // How a session ends.
//! guest.destroy().await;
//! assert_eq!(console.closed().await.reason, "destroyed");
//! # }
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`libvirt`], [`guest`] | a private libvirtd (restart, freeze, kill), guests (freeze, crash, screenshot, serial ports, commands: `tests/guest/guest.c`; Linux: `tests/guest/linux`, built by `make guest`) |
//! | [`network`] | a network of the test's own, in which hosts have addresses of their own |
//! | [`pki`], [`agent`], [`edge`], [`stack`] | the product's built binaries; [`daemon`] is what they share, [`settings`] their TOML |
//! | [`ws`], [`rfb`], [`http`], [`tls`] | clients that can misbehave; [`stream`] joins them, [`picture`] is what they see |
//! | [`browser`] | a real Chromium, and what a console page shows in it |
//! | [`wait`] | [`wait::eventually`] and its kin: every wait has a condition and a deadline; no test sleeps |
//! | [`mod@command`] | `porthole` on an agent's socket |
//! | [`disk`] | file systems that can be filled, made read-only, broken |
//! | [`manager`] | a stand-in for systemd's descriptor store |
//! | [`process`], [`ports`], [`places`] | child processes that cannot outlive the test, free ports, where binaries are |
//! | [`mod@bench`] | what `make bench` measures |
//! | [`trial`] | `make up`, `make down` and `make demo` |
//!
//! What sets something up panics with words; what a test may want to see refused returns a `Result`. Everything ends when
//! its value is dropped, and with the test's process, however that ends. Tests do not build the binaries that they drive:
//! `cargo build` first (`make test` does). Root is needed, for namespaces.

pub mod agent;
pub mod bench;
pub mod browser;
pub mod command;
pub mod daemon;
pub mod disk;
pub mod edge;
pub mod guest;
pub mod http;
pub mod libvirt;
pub mod manager;
pub mod network;
pub mod picture;
pub mod pki;
pub mod places;
pub mod ports;
pub mod process;
pub mod rfb;
pub mod settings;
pub mod stack;
pub mod stream;
pub mod tls;
pub mod trial;
pub mod wait;
pub mod ws;
