//! The HTTP API: what programs and pages ask of a host that serves.
//!
//! A request passes [`listen`] (connections, TLS), [`guard`] (names, origins, rate, tokens) and then a route, which says by
//! its first argument for which role it is. What is streamed comes from one [`feed`]. No rule of a run lives here; what is
//! shown is made in [`crate::view`] and by the reading verbs of the command line.

mod all;
pub mod caller;
pub mod conditions;
pub mod extract;
pub mod feed;
pub mod follow;
pub mod guard;
mod linger;
pub mod listen;
mod pace;
mod pages;
pub mod problem;
mod reading;
pub mod routes;
pub mod sse;
pub mod state;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

use problem::{Code, Problem};
use state::AppState;

/// What stands at the head of the document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Bandstand",
        description = "Runs agent workflows whose agents are sandboxed WebAssembly components.\n\nErrors are \
                       `application/problem+json` with a `code`. What begins or changes something takes an \
                       `Idempotency-Key`. Lists go on with `cursor`. Streams are Server-Sent Events that go on with \
                       `Last-Event-ID`."
    ),
    tags(
        (name = "runs", description = "Start, follow and steer runs"),
        (name = "reviews", description = "What waits for people"),
        (name = "threads", description = "What runs keep for the next"),
        (name = "memory", description = "What agents keep"),
        (name = "routing", description = "How routes were decided"),
        (name = "streams", description = "Events as they happen"),
        (name = "workflows", description = "What is served"),
        (name = "plugins", description = "What agents are made of, and how they do")
    ),
    components(schemas(Problem, crate::view::EventLine, crate::view::LiveLine, routes::runs::RunDetail, crate::view::ReviewDetail)),
    modifiers(&Bearer),
    security(("token" = []), ())
)]
struct Document;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

fn api(upload_bytes_max: usize) -> OpenApiRouter<AppState> {
    let versioned = OpenApiRouter::new()
        .merge(routes::runs::routes())
        .merge(routes::runs_control::routes(upload_bytes_max))
        .merge(routes::reviews::routes())
        .merge(routes::threads::routes())
        .merge(routes::routing::routes())
        .merge(routes::schedules::routes())
        .merge(routes::notifications::routes())
        .merge(routes::memory::routes())
        .merge(routes::streams::routes())
        .merge(routes::workflows::routes())
        .merge(routes::plugins::routes(upload_bytes_max));
    OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", versioned)
}

/// The OpenAPI 3.1 document, as JSON.
pub fn openapi() -> String {
    // No limit stands in the document.
    let (_, document) = api(0).split_for_parts();
    // Plain data, so writing it cannot fail.
    document.to_pretty_json().unwrap_or_default()
}

/// All routes, behind the guard.
pub fn router(state: AppState) -> Router {
    let (api, _) = api(state.upload_bytes_max()).split_for_parts();
    api.merge(routes::health::routes())
        .merge(routes::socket::routes())
        .merge(routes::hooks::routes())
        .fallback(nothing_there)
        .method_not_allowed_fallback(not_so)
        .layer(DefaultBodyLimit::max(state.body_bytes_max()))
        .layer(from_fn(problems_only))
        .layer(from_fn_with_state(state.clone(), guard::guard))
        .with_state(state)
}

async fn nothing_there() -> Problem {
    Problem::new(
        Code::NotFound,
        "there is nothing at this path; /api/v1/openapi.json describes what there is",
    )
}

async fn not_so() -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        "this path does not take that method; /api/v1/openapi.json says which it takes",
    )
}

/// What a route panics of is told as every problem is.
async fn problems_only(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    use futures_util::FutureExt;
    match std::panic::AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => Problem::new(Code::Internal, "the server met something unforeseen; its log says more")
            .into_response(),
    }
}
