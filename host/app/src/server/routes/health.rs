//! What watches a server asks: whether it lives, whether it takes requests. And the API's own description.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::server::caller::Viewer;
use crate::server::problem::{Code, Problem};
use crate::server::state::AppState;

/// The routes outside `/api/v1`.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
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
    if state.host().low_space() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the disk is nearly full\n").into_response();
    }
    "ready\n".into_response()
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
