//! What a viewer says to a VNC server (RFC 6143), as far as Porthole has to know it: where the person's input is, so
//! that an idle session can be told from a busy one, and how to keep that input out of a session that may only watch.
//!
//! Pure: bytes go in, in whatever pieces the network made of them; nothing is buffered but the few bytes of a field that
//! a length stands in. What the server says is not looked at. Who may do what is decided by [`tokens`](crate::tokens),
//! bytes are carried by [`websocket`](crate::websocket), which gives each piece to a [`Watch`] or a [`Filter`].
//!
//! ```text
//!  version ─► security type ─┬─ None ────────────────► ClientInit ─► message type ─► length field? ─► body ─┐
//!                            └─ VNC ─► response (16) ──►                    ▲───────────────────────────────┘
//! ```
//!
//! Not followed are RFB 3.3 (there only the server says which security type it is), security types behind which the
//! stream is encrypted or unknown, and messages of unknown length (among them the longer `PointerEvent` of the extended mouse
//! buttons, from the first press of such a button on). A [`Watch`] then takes every byte for input, and a
//! [`Filter`] refuses.
//!
//! **Invariant**: a server behind a [`Filter`] sees whole messages of the types in [`message`] that carry no input, and
//! nothing else; since both read those types' lengths alike, no input can be smuggled past in another message's body.

mod follow;
pub mod message;

pub use follow::{Filter, NotFollowed, Watch};

#[cfg(test)]
mod tests;
