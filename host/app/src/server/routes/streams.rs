//! Streams of events: of one run, of one thread, of all runs.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use bandstand_store::ThreadKey;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::server::caller::Viewer;
use crate::server::extract::{LastHeader, Path, Query, given};
use crate::server::feed::Topic;
use crate::server::problem::Problem;
use crate::server::sse;
use crate::server::state::AppState;

/// The routes.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(of_run)).routes(routes!(of_thread)).routes(routes!(of_all))
}

/// Where a stream begins.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct StreamQuery {
    /// Of a run: the first event to tell, by default its first. Else: the number after which to begin, by default what
    /// happens from now on. `Last-Event-ID` is stronger.
    #[serde(deserialize_with = "given")]
    #[param(pattern = "^[0-9]{1,18}([.][0-9]{1,9})?$")]
    from: Option<String>,
}

/// Follow a run: every event of its journal (`id:` is its number), and what its agents say while they work (no `id:`). Ends
/// with `event: end` when the run has ended. `Last-Event-ID` goes on where a client was.
#[utoipa::path(
    get, path = "/runs/{run_id}/stream", tag = "streams",
    params(("run_id" = String, Path, description = "The run"), StreamQuery, LastHeader),
    responses(
        (status = 200, description = "Server-Sent Events", body = String, content_type = "text/event-stream"),
        (status = 204, description = "The run has ended, and nothing is new"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn of_run(
    _: Viewer,
    State(state): State<AppState>,
    Path(run_id): Path<String>,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    sse::answer(state.feed(), Topic::Run(run_id), &headers, query.from).await
}

/// Follow the runs of a thread, from now on or from where a client was.
#[utoipa::path(
    get, path = "/threads/{workflow}/{thread_id}/stream", tag = "streams",
    params(("workflow" = String, Path, description = "The workflow"), ("thread_id" = String, Path, description = "The thread"), StreamQuery, LastHeader),
    responses(
        (status = 200, description = "Server-Sent Events", body = String, content_type = "text/event-stream"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn of_thread(
    _: Viewer,
    State(state): State<AppState>,
    Path((workflow, thread_id)): Path<(String, String)>,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let topic = Topic::Thread(ThreadKey { workflow, thread_id });
    sse::answer(state.feed(), topic, &headers, query.from).await
}

/// Follow all runs, from now on or from where a client was, and what becomes of workflow files (`workflow.in-service`,
/// `workflow.refused`, `workflow.mended`, `workflow.removed`; no `id:`). `event: reset` says that the number is of another store, so that
/// what was known by it is to be forgotten.
#[utoipa::path(
    get, path = "/stream", tag = "streams",
    params(StreamQuery, LastHeader),
    responses(
        (status = 200, description = "Server-Sent Events", body = String, content_type = "text/event-stream"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn of_all(
    _: Viewer,
    State(state): State<AppState>,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    sse::answer(state.feed(), Topic::All, &headers, query.from).await
}
