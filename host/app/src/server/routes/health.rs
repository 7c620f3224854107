//! What watches a server asks: whether it lives, whether it takes requests. And the API's own description.

use axum::Router;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::project::server::Role;
use crate::server::caller::{Caller, Viewer};
use crate::server::problem::{Code, Problem};
use crate::server::state::AppState;
use crate::telemetry::Metrics;

/// The routes outside `/api/v1`.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/openapi.json", get(openapi))
        .route("/problems/{code}", get(problem))
}

/// The process lives.
async fn healthy() -> &'static str {
    "alive\n"
}

/// The host takes requests: it is open, and was not told to end.
async fn ready(State(state): State<AppState>) -> Response {
    if state.is_closing() {
        return (StatusCode::SERVICE_UNAVAILABLE, "closing\n").into_response();
    }
    if !state.host().metrics().is_recovered() {
        return (StatusCode::SERVICE_UNAVAILABLE, "runs of before are being read\n").into_response();
    }
    if state.host().low_space() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the disk is nearly full\n").into_response();
    }
    "ready\n".into_response()
}

/// What Prometheus asks for; in its older text format for who does not ask for OpenMetrics.
async fn metrics(
    State(state): State<AppState>,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
) -> Response {
    // The guard let those without a token in only where metrics are for all.
    if let Some(Extension(caller)) = caller
        && let Err(problem) = caller.needs(Role::Viewer)
    {
        return problem.into_response();
    }
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let open = accepts.contains("application/openmetrics-text");
    let metrics = state.host().metrics();
    let text =
        tokio::task::spawn_blocking(move || if open { metrics.encode() } else { metrics.encode_plain() });
    let typed = if open { Metrics::CONTENT_TYPE } else { Metrics::PLAIN_CONTENT_TYPE };
    ([(header::CONTENT_TYPE, HeaderValue::from_static(typed))], text.await.unwrap_or_default())
        .into_response()
}

async fn openapi(_: Viewer) -> Response {
    let mut response = crate::server::openapi().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What a code of a problem means.
async fn problem(Path(code): Path<String>) -> Result<String, Problem> {
    let known = Code::ALL.iter().find(|known| known.name() == code);
    known
        .map(|code| format!("{}: {}\n", code.name(), code.meaning().trim()))
        .ok_or_else(|| Problem::new(Code::NotFound, "there is no problem of that code"))
}
