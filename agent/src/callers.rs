//! Who calls the API, and what they may do there.
//!
//! ```text
//!  unix socket: the kernel's word ─┐
//!  TLS: a certificate's name ──────┼──► Caller { name, role } ──Role::scope(operation)──► all, own, nothing
//!  bearer token: its row ──────────┘
//! ```
//!
//! A caller's name outlives its connections: it stands as `minted_by` in the rows of the tokens that it asked for, and
//! that is what "own" means. How somebody proves who it is, is the API's business; here is what that makes it.
//!
//! **Invariants**: what a role may do is one table without a default; an API token's text is never stored or logged.

mod name;
mod role;
mod tokens;

pub use self::name::{CallerName, InvalidCaller};
pub use self::role::{Operation, Role, Scope, UnknownRole};
pub use self::tokens::{
    ApiToken, ApiTokenHash, ApiTokens, AuthenticateError, CreateError, Created, MAX_API_TOKENS, RevokeApiTokenError,
    TOKEN_PREFIX, TokenText,
};

/// Somebody who may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub name: CallerName,
    /// What it may do.
    pub role: Role,
}
