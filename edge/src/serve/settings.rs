//! What of the configuration may change while the edge serves.

use std::time::Duration;

use super::public;
use crate::gate::OriginPolicy;

/// In force for the next connection or request.
#[derive(Debug)]
pub struct Settings {
    /// Which pages may open a console.
    pub origins: OriginPolicy,
    /// How long a client may take for a head, or for a body.
    pub head_timeout: Duration,
}

impl From<&public::Config> for Settings {
    fn from(config: &public::Config) -> Self {
        Self { origins: config.origins.clone(), head_timeout: config.head_timeout.get() }
    }
}

impl Settings {
    /// These, of a later file. What stands in people's address bars goes with who ends TLS, and stays as it was.
    #[must_use]
    pub fn after(config: &public::Config, before: &Self) -> Self {
        let mut settings = Self::from(config);
        settings.origins.scheme = before.origins.scheme;
        settings
    }
}
