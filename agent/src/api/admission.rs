//! Who a request is from, asked before anything else is looked at.
//!
//! | shown | is |
//! |---|---|
//! | `Authorization: Bearer pth_…` | the API token's holder, wherever it comes from |
//! | nothing, at the unix socket | the user whom the kernel names: admin, or what `[api] group_role` says |
//! | nothing, with a certificate that has a name of `[[api.client]]` | that client |
//! | nothing, with a certificate of other names | nobody: 403 |
//! | anything, with a certificate of an edge or an agent | nobody: 403 |
//! | anything else | nobody: 401 |
//!
//! A certificate's dates are looked at with every request, because a connection may outlive them.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use porthole_shared::clock::{Clock, UnixTime};
use porthole_shared::lifecycle::chain;
use porthole_shared::names::{ApiTokenId, ClientName};
use porthole_shared::tls::CertificateFacts;

use super::Client;
use super::failures::Failures;
use super::problem::Problem;
use crate::callers::{ApiTokens, AuthenticateError, Caller, CallerName, Operation, Role, Scope, TokenText};
use crate::throttle::Throttle;
use crate::tunnel::Trust;

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(super) enum Peer {
    /// At the unix socket.
    Local(Caller),
    /// Over TLS.
    Network {
        /// Where from.
        from: IpAddr,
        /// What its certificate says, if it has one; TLS has checked the chain.
        certificate: Option<Arc<CertificateFacts>>,
    },
}

/// What makes somebody a caller, for whoever goes on for longer than a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credential {
    /// The kernel's word.
    Kernel,
    /// A certificate, until then.
    Certificate(UnixTime),
    /// An API token.
    ApiToken(ApiTokenId),
}

/// A caller that was admitted, in a request's extensions.
#[derive(Debug, Clone)]
struct Admitted {
    caller: Caller,
    credential: Credential,
}

/// Knows who is who. Clones are handles to the same.
#[derive(Clone)]
pub(super) struct Gate(Arc<Shared>);

struct Shared {
    api_tokens: ApiTokens,
    clients: HashMap<ClientName, Role>,
    trust: Trust,
    clock: Arc<dyn Clock>,
    failures: Failures,
    complaints: Throttle,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl Gate {
    pub(super) fn new(api_tokens: ApiTokens, clients: &[Client], trust: Trust, clock: Arc<dyn Clock>) -> Self {
        let clients = clients.iter().map(|client| (client.name.clone(), client.role)).collect();
        let (failures, complaints) = (Failures::default(), Throttle::default());
        Self(Arc::new(Shared { api_tokens, clients, trust, clock, failures, complaints }))
    }

    /// Whether somebody may go on who was admitted earlier.
    pub(super) async fn still_good(&self, credential: Credential) -> bool {
        match credential {
            Credential::Kernel => true,
            Credential::Certificate(until) => self.0.clock.now() <= until,
            // A database that fails for a moment ends nothing.
            Credential::ApiToken(id) => self.0.api_tokens.is_good(id).await.unwrap_or(true),
        }
    }

    async fn admit(&self, peer: &Peer, headers: &HeaderMap) -> Result<Admitted, Problem> {
        if let Peer::Network { certificate: Some(certificate), .. } = peer
            && self.is_of_a_daemon(certificate)
        {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "not_allowed",
                "this certificate is an edge's or an agent's, and is never good for the API: use one of your own",
            ));
        }
        match (bearer(headers)?, peer) {
            (Some(shown), _) => self.admit_holder(shown, peer).await,
            (None, Peer::Local(caller)) => Ok(Admitted { caller: caller.clone(), credential: Credential::Kernel }),
            (None, Peer::Network { certificate: Some(certificate), .. }) => self.admit_named(certificate),
            (None, Peer::Network { certificate: None, .. }) => Err(Problem::unauthorized(
                "say who you are: with `Authorization: Bearer pth_…` (`porthole api-token create`), or with a client \
                 certificate whose name is in [[api.client]]",
            )),
        }
    }

    /// An edge never calls the API, whatever else its certificate says; nor does an agent.
    fn is_of_a_daemon(&self, certificate: &CertificateFacts) -> bool {
        !certificate.roles.is_empty() || certificate.dns_names.iter().any(|dns| self.0.trust.names_an_edge(dns))
    }

    fn admit_named(&self, certificate: &CertificateFacts) -> Result<Admitted, Problem> {
        let CertificateFacts { not_before, not_after, dns_names, .. } = certificate;
        let now = self.0.clock.now();
        if now < *not_before || now > *not_after {
            return Err(Problem::unauthorized(format!(
                "this certificate is valid from {not_before} to {not_after} only"
            )));
        }
        let names = dns_names.iter().filter_map(|dns| dns.parse::<ClientName>().ok());
        // A certificate of several listed names gets what is least.
        let known = names.filter_map(|name| self.0.clients.get(&name).map(|&role| (name, role)));
        let least = known.max_by_key(|(_, role)| Role::ALL.iter().position(|other| other == role));
        let (name, role) = least.ok_or_else(|| {
            let words = format!(
                "none of this certificate's DNS names ({}) is in [[api.client]] of the agent's configuration",
                dns_names.join(", ")
            );
            Problem::new(StatusCode::FORBIDDEN, "not_allowed", words)
        })?;
        let caller = Caller { name: CallerName::Certificate(name), role };
        Ok(Admitted { caller, credential: Credential::Certificate(*not_after) })
    }

    async fn admit_holder(&self, shown: &str, peer: &Peer) -> Result<Admitted, Problem> {
        let from = match peer {
            Peer::Local(_) => None,
            Peer::Network { from, .. } => Some(*from),
        };
        let text = TokenText::parse(shown);
        // Whoever fails does not keep others out who come from the same address, and were good before.
        let is_proven = text.as_ref().is_some_and(|text| self.0.api_tokens.is_proven(text));
        if let (false, Some(Err(wait))) = (is_proven, from.map(|from| self.0.failures.may_try(from))) {
            return Err(Problem::too_many_failures(wait));
        }
        let authenticated = match &text {
            Some(text) => self.0.api_tokens.authenticate(text).await,
            None => Err(AuthenticateError::Unknown),
        };
        match authenticated {
            Ok(token) => Ok(Admitted { caller: token.caller(), credential: Credential::ApiToken(token.id) }),
            Err(AuthenticateError::Store(error)) => Err(Problem::internal(&error)),
            Err(error @ (AuthenticateError::Unknown | AuthenticateError::Expired { .. })) => {
                if let Some(from) = from {
                    self.0.failures.count(from);
                }
                if let Some(others) = self.0.complaints.pass() {
                    let from = from.map(tracing::field::display);
                    tracing::warn!(from, error = chain(&error), others, "a caller of the API was refused");
                }
                Err(Problem::bad_token(error.to_string()))
            }
        }
    }
}

/// What is shown as a token, if anything is shown.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let unclear = || Problem::bad_token("`Authorization` is not one field of the form `Bearer pth_…`");
    let text = value.to_str().map_err(|_| unclear())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(unclear)?;
    if values.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unclear());
    }
    Ok(Some(token.trim()))
}

/// The first thing that a request meets.
pub(super) async fn admit(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().cloned() else {
        return Problem::unauthorized("nobody knows who you are").into_response();
    };
    match gate.admit(&peer, request.headers()).await {
        Ok(admitted) => {
            request.extensions_mut().insert(admitted);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Lets a request through to an operation, if its caller's role may do it at all.
pub(super) async fn authorise(operation: Operation, mut request: Request, next: Next) -> Response {
    let Some(Admitted { caller, credential }) = request.extensions().get().cloned() else {
        return Problem::unauthorized("nobody knows who you are").into_response();
    };
    match caller.role.scope(operation) {
        Scope::Nothing => Problem::forbidden(operation, caller.role).into_response(),
        scope @ (Scope::All | Scope::Own) => {
            request.extensions_mut().insert(Rights { caller, credential, scope });
            next.run(request).await
        }
    }
}

/// Who asks, and of which things its role may do what it asks.
#[derive(Debug, Clone)]
pub(super) struct Rights {
    /// Who.
    pub(super) caller: Caller,
    /// Why it is believed.
    pub(super) credential: Credential,
    /// Of all, or of its own.
    pub(super) scope: Scope,
}

impl Rights {
    /// Whose things it may see and end, where it is not everybody's.
    pub(super) fn only(&self) -> Option<&CallerName> {
        match self.scope {
            Scope::All => None,
            Scope::Own | Scope::Nothing => Some(&self.caller.name),
        }
    }

    /// Whether it may see and end what this caller minted.
    pub(super) fn cover(&self, minted_by: Option<&CallerName>) -> bool {
        self.only().is_none_or(|own| Some(own) == minted_by)
    }
}

impl<S: Sync> FromRequestParts<S> for Rights {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let unguarded = || Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "this resource is not guarded");
        parts.extensions.get().cloned().ok_or_else(unguarded)
    }
}
