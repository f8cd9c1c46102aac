//! API tokens: who may call the agent, and as what.

use porthole_shared::names::ApiTokenName;
use serde::{Deserialize, Serialize};

/// The answer of [`API_TOKENS`](super::API_TOKENS).
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ApiTokens {
    /// All, expired ones included.
    pub(crate) api_tokens: Vec<ApiToken>,
}

/// An API token.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ApiToken {
    /// Its id.
    pub(crate) id: String,
    /// Who uses it.
    pub(crate) name: String,
    /// What it allows.
    pub(crate) role: String,
    /// When it was made.
    pub(crate) created: String,
    /// Until when it is good.
    #[serde(default)]
    pub(crate) expires: Option<String>,
    /// When it was last used, about.
    #[serde(default)]
    pub(crate) last_used: Option<String>,
}

/// The body of a `POST` to [`API_TOKENS`](super::API_TOKENS).
#[derive(Debug, Clone, Serialize)]
pub(crate) struct NewApiToken<'a> {
    /// Who will use it.
    pub(crate) name: &'a ApiTokenName,
    /// What it will allow.
    pub(crate) role: Role,
    /// For how many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_in: Option<i64>,
}

/// What a caller is trusted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Everything
    Admin,
    /// Sees all, makes links, ends sessions; neither keys nor API tokens
    Operator,
    /// Makes links; sees and ends its own
    Minter,
}

/// The answer to it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ApiTokenMade {
    /// Its text.
    pub(crate) token: String,
}
