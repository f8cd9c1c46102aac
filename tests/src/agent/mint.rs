//! Links: what is asked for, what is got.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::guest::Guest;

/// A link to ask for. `"NAME".into()` and `(&guest).into()` ask for the default kind and policy.
#[derive(Debug, Clone)]
pub struct Mint(pub(super) Value);

/// A link.
#[derive(Debug, Clone, Deserialize)]
pub struct Minted {
    /// The URL.
    pub url: String,
    /// The token in it.
    pub token: String,
    /// The token's id.
    pub id: String,
    /// Everything that the agent answered.
    #[serde(skip)]
    pub json: Value,
}

impl Mint {
    /// For a console by its name or UUID.
    pub fn of(console: impl std::fmt::Display) -> Self {
        Self(json!({ "console": console.to_string() }))
    }

    /// Of this kind (`vnc`, `spice`, `serial`, `tcp`…).
    #[must_use]
    pub fn kind(self, kind: &str) -> Self {
        self.field("kind", kind)
    }

    /// Under this policy (`bound`, `once`, `reusable`).
    #[must_use]
    pub fn policy(self, policy: &str) -> Self {
        self.field("policy", policy)
    }

    /// To be used within so many seconds.
    #[must_use]
    pub fn ttl(self, seconds: u64) -> Self {
        self.field("ttl", seconds)
    }

    /// Any field of the request.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0[name] = value.into();
        self
    }
}

impl From<&Guest> for Mint {
    fn from(guest: &Guest) -> Self {
        Self::of(guest.name())
    }
}

impl From<&str> for Mint {
    fn from(console: &str) -> Self {
        Self::of(console)
    }
}
