//! The API's description: `OpenAPI` 3.1, made from the code that answers.
//!
//! What every operation may answer, because it is answered before or around it, is added here once.

use axum::Json;
use axum::extract::State;
use axum::middleware::from_fn;
use http::StatusCode;
use serde_json::Value;
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation as Described, Paths};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, Header, Ref, RefOr, Response, ResponseBuilder};
use utoipa_axum::router::{UtoipaMethodRouter, UtoipaMethodRouterExt as _};

use super::Api;
use super::admission::{Rights, authorise};
use super::problem::Problem;
use crate::callers::{Operation, Role, Scope};

/// What stands above the operations.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Porthole agent",
        description = "Consoles of one node's virtual machines: links to them, and who is connected.\n\n\
                       Over the unix socket the kernel says who calls; over TLS a client certificate does, or an API \
                       token in `Authorization: Bearer pth_…`. Errors are problem details (RFC 9457) with a `code`. \
                       Lists come in pieces: `limit`, `after`, and `next` in the answer.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(Problem)),
    tags(
        (name = "consoles", description = "What this node has"),
        (name = "ports", description = "Which of this node's ports are whose"),
        (name = "tokens", description = "Links to consoles"),
        (name = "sessions", description = "Who is connected"),
        (name = "events", description = "What happens"),
        (name = "api-tokens", description = "Who may call"),
        (name = "agent", description = "The agent itself"),
    )
)]
pub(super) struct Frame;

/// What is answered before or around every operation.
const COMMON: [(StatusCode, &str); 9] = [
    (StatusCode::BAD_REQUEST, "The request makes no sense; `detail` says where."),
    (StatusCode::UNAUTHORIZED, "Nobody can tell who is asking."),
    (StatusCode::FORBIDDEN, "The caller's role does not go that far; `needed_role` says which does."),
    (StatusCode::REQUEST_TIMEOUT, "The body did not come in time."),
    (StatusCode::TOO_MANY_REQUESTS, "Too many tokens that are no good came from this address, or too many listen."),
    (StatusCode::INTERNAL_SERVER_ERROR, "The agent's own fault; its log says more."),
    (StatusCode::SERVICE_UNAVAILABLE, "libvirt does not answer, or the agent has too much to do; `code` says which."),
    (StatusCode::GATEWAY_TIMEOUT, "It took too long; libvirt may hang."),
    (StatusCode::INSUFFICIENT_STORAGE, "The disk is full."),
];

/// What is answered where there is a body.
const WITH_BODY: [(StatusCode, &str); 2] = [
    (StatusCode::PAYLOAD_TOO_LARGE, "The body is too long."),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is not JSON, or does not say so."),
];

/// Lets only those to the routes whose role may do the operation, and describes that.
pub(super) fn guarded(operation: Operation, routes: UtoipaMethodRouter<Api>) -> UtoipaMethodRouter<Api> {
    let (schemas, mut paths, methods) = routes;
    describe(operation, &mut paths);
    (schemas, paths, methods)
        .map(|methods| methods.route_layer(from_fn(move |request, next| authorise(operation, request, next))))
}

fn describe(operation: Operation, paths: &mut Paths) {
    for item in paths.paths.values_mut() {
        let described =
            [&mut item.get, &mut item.post, &mut item.put, &mut item.delete].into_iter().filter_map(Option::as_mut);
        described.for_each(|described| complete(operation, described));
    }
}

fn complete(operation: Operation, described: &mut Described) {
    let may = Role::ALL.into_iter().filter_map(|role| match role.scope(operation) {
        Scope::All => Some(format!("`{role}`")),
        Scope::Own => Some(format!("`{role}` (its own)")),
        Scope::Nothing => None,
    });
    let roles = format!("Roles: {}.", may.collect::<Vec<_>>().join(", "));
    let text = described.description.take();
    described.description = Some(text.map_or_else(|| roles.clone(), |text| format!("{text}\n\n{roles}")));
    described.security = Some(vec![
        SecurityRequirement::new("api_token", Vec::<String>::new()),
        SecurityRequirement::new("certificate", Vec::<String>::new()),
    ]);
    let with_body = described.request_body.is_some();
    let answers = COMMON.into_iter().chain(WITH_BODY.into_iter().filter(|_| with_body));
    for (status, words) in answers {
        let answers = &mut described.responses.responses;
        answers.entry(status.as_str().to_owned()).or_insert_with(|| RefOr::T(problem(status, words)));
    }
}

fn problem(status: StatusCode, words: &str) -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    let answer = ResponseBuilder::new().description(words).content("application/problem+json", content);
    match status {
        StatusCode::UNAUTHORIZED => answer.header("WWW-Authenticate", Header::default()),
        _ => answer,
    }
    .build()
}

/// The whole, as it is served.
pub(super) fn finish(mut description: utoipa::openapi::OpenApi) -> Value {
    let schemes = description.components.get_or_insert_default();
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("pth_…").build();
    schemes.add_security_scheme("api_token", SecurityScheme::Http(token));
    schemes.add_security_scheme(
        "certificate",
        SecurityScheme::MutualTls {
            description: Some("A certificate with a name of `[[api.client]]`.".to_owned()),
            deprecated: None,
            extensions: None,
        },
    );
    // Made of plain values: this does not fail.
    serde_json::to_value(description).unwrap_or_default()
}

/// Read this description
#[utoipa::path(
    get, path = "/v1/openapi.json", operation_id = "read_description", tag = "agent",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object, content_type = "application/json"))
)]
pub(super) async fn show(State(api): State<Api>, _rights: Rights) -> Json<Value> {
    Json(Value::clone(&api.0.description))
}
