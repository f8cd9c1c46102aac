//! What a query says of which tokens or sessions are meant.

use std::net::IpAddr;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use porthole_shared::names::Requestor;
use serde::Deserialize;

use crate::api::problem::Problem;
use crate::sessions::Selector;

/// `?console=…&requestor=…&client=…`, each of them optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Meant {
    console: Option<String>,
    requestor: Option<Requestor>,
    client: Option<IpAddr>,
}

impl Meant {
    /// What is meant: all, if nothing is said.
    pub(super) fn selector(self) -> Result<Selector, Problem> {
        selector(self.console.as_deref(), self.requestor, self.client)
    }

    /// What is to be ended together, which must be said.
    pub(super) fn deliberate(self) -> Result<Selector, Problem> {
        deliberate(self.selector()?)
    }
}

pub(super) fn selector(
    console: Option<&str>,
    requestor: Option<Requestor>,
    client: Option<IpAddr>,
) -> Result<Selector, Problem> {
    let console = console.map(str::parse).transpose();
    let console = console.map_err(|error| Problem::bad_request(format!("console: {error}")))?;
    Ok(Selector { console, requestor, client })
}

/// Nobody ends everything by leaving something out.
pub(super) fn deliberate(which: Selector) -> Result<Selector, Problem> {
    if which.is_all() {
        return Err(Problem::bad_request("say which: by ?console= (a name or UUID), by ?requestor=, or by both"));
    }
    Ok(which)
}

/// A query's value.
pub(super) fn read<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    let Query(value) = query.map_err(|error| Problem::bad_request(format!("the query: {}", error.body_text())))?;
    Ok(value)
}
