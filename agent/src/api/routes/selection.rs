//! What a query says of which tokens or sessions are meant, within what the caller may see.

use std::net::IpAddr;

use porthole_shared::names::Requestor;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::admission::Rights;
use crate::api::problem::Problem;
use crate::sessions::Selector;

/// `?console=…&requestor=…`: what is to be ended together.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Together {
    /// Those of this guest or external console, by name or UUID.
    console: Option<String>,
    /// Those that were asked for by this requestor.
    #[param(value_type = Option<String>, min_length = 1, max_length = 255)]
    requestor: Option<Requestor>,
}

impl Together {
    pub(super) fn selector(self, rights: &Rights) -> Result<Selector, Problem> {
        deliberate(self.console.as_deref(), self.requestor, rights)
    }
}

/// What is meant, of what the caller may see: all of that, if nothing is said.
pub(super) fn selector(
    console: Option<&str>,
    requestor: Option<Requestor>,
    client: Option<IpAddr>,
    rights: &Rights,
) -> Result<Selector, Problem> {
    let console = console.map(str::parse).transpose();
    let console = console.map_err(|error| Problem::bad_request(format!("console: {error}")))?;
    Ok(Selector { console, requestor, client, minted_by: rights.only().cloned() })
}

/// Nobody ends everything by leaving something out.
pub(super) fn deliberate(
    console: Option<&str>,
    requestor: Option<Requestor>,
    rights: &Rights,
) -> Result<Selector, Problem> {
    if console.is_none() && requestor.is_none() {
        return Err(Problem::bad_request("say which: by ?console= (a name or UUID), by ?requestor=, or by both"));
    }
    selector(console, requestor, None, rights)
}
