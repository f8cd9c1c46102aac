//! `POST /v1/tokens`.

use std::fmt;
use std::time::Duration as StdDuration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode};
use porthole_shared::config::Duration;
use porthole_shared::names::{ConsoleId, ConsoleKind, ConsoleName, Requestor, TokenId};
use porthole_shared::reason::Reason;
use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::api::admission::Rights;
use crate::api::extract::Body;
use crate::api::idempotency::{self, Turn};
use crate::api::problem::Problem;
use crate::api::routes::{serial, to_its_end};
use crate::api::{Api, schema};
use crate::tokens::{MintRequest, Minted, Policy, RightsWanted};

/// A token that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct TokenWanted {
    /// The console's owner, by name or UUID.
    #[schema(example = "web-01")]
    console: String,
    /// Which kind; VNC of a domain and the only one of an external console, if not given.
    #[schema(schema_with = schema::asked_kind)]
    kind: Option<ConsoleKind>,
    /// Which one of that kind, from 0; of serial ports also `any`: the first that nobody writes to (with `force` or
    /// `read_only` the first of all, where somebody writes to each).
    #[serde(default)]
    #[schema(schema_with = schema::asked_index)]
    index: Index,
    /// Of whom the link is; as configured, if not given.
    #[schema(schema_with = schema::asked_policy)]
    policy: Option<Policy>,
    /// For how many seconds the link waits for its first use; as configured, if not given.
    #[schema(minimum = 1)]
    ttl: Option<u64>,
    /// For how many seconds after its longest session it is still known; as configured, if not given.
    grace: Option<u64>,
    /// To watch only: the agent keeps all input from the console.
    #[serde(default)]
    read_only: bool,
    /// To take over a console that admits one viewer and has one.
    #[serde(default)]
    force: bool,
    /// To have the session recorded, which no agent of this release can: asking for it is refused.
    #[serde(default)]
    record: bool,
    /// After so many seconds without input its session ends; as configured, if not given.
    #[schema(minimum = 1)]
    idle: Option<u64>,
    /// After so many seconds its session ends; as configured, if not given.
    #[schema(minimum = 1)]
    longest: Option<u64>,
    /// Who asks, for the record.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255)]
    requestor: Option<Requestor>,
}

/// Which console of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Index {
    /// The one of this number.
    Number(u8),
    /// One that is free.
    Any,
}

impl Default for Index {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl<'de> Deserialize<'de> for Index {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Index;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 0 to 255, or \"any\"")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Index, E> {
                let short = u8::try_from(number);
                short.map(Index::Number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Index, E> {
                if word == "any" { Ok(Index::Any) } else { Err(E::invalid_value(Unexpected::Str(word), &self)) }
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// A new token. Without `Debug`: it holds the token twice.
#[derive(Clone, Serialize, ToSchema)]
pub(in crate::api) struct TokenView {
    /// The link.
    #[schema(format = "uri")]
    url: String,
    /// The token in it.
    token: String,
    #[schema(schema_with = schema::uuid)]
    id: TokenId,
    console: TokenConsole,
    #[schema(schema_with = schema::kind)]
    kind: ConsoleKind,
    #[schema(schema_with = schema::policy)]
    policy: Policy,
    read_only: bool,
    force: bool,
    /// After so many seconds without input its session ends.
    idle: Option<i64>,
    /// After so many seconds its session ends; as configured, if not there.
    longest: Option<i64>,
    /// Until when the link may be used for the first time.
    #[schema(schema_with = schema::time)]
    redeem_by: String,
    /// Until when it may be used at all.
    #[schema(schema_with = schema::time)]
    expires: String,
}

/// What a token is for.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct TokenConsole {
    #[serde(flatten)]
    #[schema(inline, value_type = schema::ConsoleIdView)]
    pub(super) id: ConsoleId,
    #[schema(value_type = String)]
    pub(super) name: ConsoleName,
}

/// Make a token, and the URL that opens its console
///
/// With `Idempotency-Key`, asking again with the same key and body gives the same answer for five minutes (or until
/// `redeem_by`, if that is sooner), with `Idempotency-Replayed: true`. For the rest of a day it is refused as
/// `idempotency_key_reused` with the token's id, because the token's text is not kept. Keys are each caller's own, and are
/// forgotten when the agent restarts.
#[utoipa::path(
    post, path = "/v1/tokens", operation_id = "mint_token", tag = "tokens", request_body = TokenWanted,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes it safe to ask again.", min_length = 1,
            max_length = 255)),
    responses(
        (status = 201, description = "Made. Whoever has the link has the console.", body = TokenView,
         headers(("Idempotency-Replayed" = Option<String>, description = "`true` where this is an earlier answer again"))),
        (status = 404, description = "There is no such console.", body = Problem,
         content_type = "application/problem+json"),
        (status = 409, description = "Not now: it does not run, it migrates, its name is ambiguous, it has no URL; or the \
                                      `Idempotency-Key` was used.",
         body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The `Idempotency-Key` came with another body before.", body = Problem,
         content_type = "application/problem+json"),
    )
)]
pub(in crate::api) async fn mint(
    State(api): State<Api>,
    rights: Rights,
    headers: HeaderMap,
    Body { value: wanted, bytes }: Body<TokenWanted>,
) -> Result<Response, Problem> {
    let caller = rights.caller.name;
    let promise = match idempotency::key_of(&headers)? {
        None => None,
        Some(key) => match api.0.minted.turn(&caller, key, &bytes)? {
            Turn::Again(view) => {
                let again = [(idempotency::REPLAYED, HeaderValue::from_static("true"))];
                return Ok((StatusCode::CREATED, again, Json(view)).into_response());
            }
            Turn::Do(promise) => Some(promise),
        },
    };
    let any = wanted.index == Index::Any;
    let mut request = MintRequest { minted_by: Some(caller), ..wanted.into() };
    to_its_end(async move {
        if any {
            request.index = any_port(&api, &request).await?;
        }
        let minted = api.tokens.mint(request).await?;
        let (id, redeem_by) = (minted.id, minted.redeem_by);
        let view = TokenView::from(minted);
        if let Some(promise) = promise {
            let useful = redeem_by.0.saturating_sub(api.clock.now().0);
            promise.keep(id, view.clone(), StdDuration::from_secs(useful.try_into().unwrap_or_default()));
        }
        Ok((StatusCode::CREATED, Json(view)).into_response())
    })
    .await
}

async fn any_port(api: &Api, request: &MintRequest) -> Result<u8, Problem> {
    if request.kind != Some(ConsoleKind::Serial) {
        return Err(Problem::bad_request("index: `any` is for serial ports: say `kind`: `serial`"));
    }
    let owner = api.consoles.find(&request.console).await?;
    let taken = || {
        let writer = api.serial.status(owner.uuid, 0).and_then(|status| status.writer);
        let detail = writer.map_or_else(|| "somebody writes to each".to_owned(), |writer| serial::in_use(&writer));
        Problem::reason(Reason::InUse, format!("each serial port of {} is in use; of the first: {detail}", owner.name))
    };
    // Where there is no port at all, asking for the first says so.
    let has_ports = owner.kinds.iter().any(|kind| kind.kind == ConsoleKind::Serial);
    match api.serial.first_free(&owner) {
        Some(index) => Ok(index),
        None if request.rights.force || request.rights.read_only || !has_ports => Ok(0),
        None => Err(taken()),
    }
}

impl From<TokenWanted> for MintRequest {
    fn from(wanted: TokenWanted) -> Self {
        let TokenWanted { console, kind, index, policy, ttl, grace, requestor, .. } = wanted;
        let TokenWanted { read_only, force, record, idle, longest, .. } = wanted;
        let length = |seconds: Option<u64>| seconds.map(Duration::from_secs);
        let rights = RightsWanted { read_only, force, record, idle: length(idle), longest: length(longest) };
        let (ttl, grace) = (length(ttl), length(grace));
        let index = match index {
            Index::Number(index) => index,
            // Chosen by whoever knows who writes.
            Index::Any => 0,
        };
        Self { console, kind, index, policy, ttl, grace, rights, requestor, minted_by: None }
    }
}

impl From<Minted> for TokenView {
    fn from(minted: Minted) -> Self {
        let Minted { id, token, url, console, name, policy, rights, redeem_by, expires } = minted;
        Self {
            // The two places where the API shows a secret: this is what was asked for.
            url: url.expose().clone(),
            token: token.expose().to_owned(),
            id,
            kind: console.kind,
            console: TokenConsole { id: console, name },
            policy,
            read_only: rights.read_only,
            force: rights.force,
            idle: rights.idle,
            longest: rights.longest,
            redeem_by: redeem_by.to_rfc3339(),
            expires: expires.to_rfc3339(),
        }
    }
}
