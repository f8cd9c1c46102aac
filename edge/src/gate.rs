//! The gate: from a request's head to an [`Admission`], or a refusal. Pure: nothing here does I/O or reads a clock.
//!
//! ```text
//!  head ──► upgrade, origin, token source ──► Candidate<R> ──admit(keys, now)──► Admission<R>
//!                      │                                       │
//!                      └────────────── Reason ◄────────────────┘
//! ```
//!
//! `R` is what will be asked of the agent: a [`ConsoleRequest`] (redeem and connect) or a [`Presented`] (what is this
//! for?). An [`Admission`] comes only out of [`token::verify`](porthole_shared::token::verify), and dialling takes
//! nothing else, so that dialling for an unverified token does not compile.
//!
//! Another sort of token (a cloud's own token service, say) gets in at two places: a further recogniser beside
//! the one in [`admission`], for texts that are not of our shape, and a further constructor of [`Admission`] for
//! what its service answered. `serve::resolve` is where such a service would be asked.

pub mod admission;
pub mod origin;
pub mod source;
pub mod upgrade;

use http::request;
use porthole_shared::binding::BindingSecret;
use porthole_shared::reason::Reason;
use porthole_shared::tunnel::{ClientFacts, ConsoleRequest, Presented};
use serde::Deserialize;

pub use self::admission::{Admission, Candidate};
pub use self::origin::{Host, OriginPolicy, Scheme};
use self::upgrade::Handshake;

/// Examines an upgrade request, on whatever path.
pub fn console(
    head: &request::Parts,
    origins: &OriginPolicy,
    client: ClientFacts,
) -> Result<Candidate<ConsoleRequest>, Reason> {
    let Handshake { key, offered } = Handshake::read(head)?;
    origins.check(head)?;
    let token = source::of_request(&head.uri, &head.headers)?;
    let (token, origin) = admission::candidate(&token)?;
    let presented = Presented { token, binding: offered.binding, client };
    Ok(Candidate::new(origin, ConsoleRequest { presented, key, binary: offered.binary, serial: offered.serial }))
}

/// The body of `POST /api/console`. Fields that we do not know are passed over.
#[derive(Deserialize)]
struct Question {
    token: Option<String>,
    binding: Option<String>,
}

/// Examines the question what a token is for. The token comes in the body, so that it stands in no log of a proxy.
pub fn inspection(
    head: &request::Parts,
    body: &[u8],
    origins: &OriginPolicy,
    client: ClientFacts,
) -> Result<Candidate<Presented>, Reason> {
    origins.check(head)?;
    let question: Question = serde_json::from_slice(body).map_err(|_| Reason::BadRequest)?;
    let binding = question.binding.as_deref().map(BindingSecret::parse).transpose().map_err(|_| Reason::BadRequest)?;
    let token = question.token.filter(|text| !text.is_empty()).ok_or(Reason::MissingToken)?;
    let (token, origin) = admission::candidate(&token)?;
    Ok(Candidate::new(origin, Presented { token, binding, client }))
}

#[cfg(test)]
mod tests;
