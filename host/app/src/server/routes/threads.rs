//! Threads: what runs of one conversation keep for the next.

use axum::extract::State;
use axum::http::StatusCode;
use bandstand_store::{Reader, ThreadKey};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::runs::limit;
use crate::cli::thread::show::detail;
use crate::server::caller::{Admin, Viewer};
use crate::server::extract::{Path, Query, given};
use crate::server::problem::{Code, Problem};
use crate::server::state::AppState;
use crate::view::{ThreadDetail, ThreadSummary};

/// The routes.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, forget))
}

/// Which threads.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ThreadsQuery {
    /// Of that workflow
    #[serde(deserialize_with = "given")]
    workflow: Option<String>,
    /// How many at most
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Where to go on: `next_cursor` of the page before
    #[serde(deserialize_with = "given")]
    #[param(pattern = "^[^/]+/.+$")]
    cursor: Option<String>,
}

/// A page of threads.
#[derive(Debug, Serialize, ToSchema)]
pub struct ThreadList {
    /// The threads.
    items: Vec<ThreadSummary>,
    /// Where the next page begins; none: this is the last.
    next_cursor: Option<String>,
}

/// List the threads that keep something.
#[utoipa::path(
    get, path = "/threads", tag = "threads", params(ThreadsQuery),
    responses(
        (status = 200, description = "A page", body = ThreadList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list(
    _: Viewer,
    State(state): State<AppState>,
    Query(query): Query<ThreadsQuery>,
) -> Result<axum::Json<ThreadList>, Problem> {
    let limit = limit(query.limit, 1_000)? as usize;
    let after = query.cursor.as_deref().map(parse_cursor).transpose()?;
    let page = state.read(move |reader| -> Result<ThreadList, Problem> {
        let mut threads = reader.threads(query.workflow.as_deref(), after.as_ref())?;
        let more = threads.len() > limit;
        threads.truncate(limit);
        let next_cursor = threads.last().filter(|_| more).map(|last| cursor(&last.key));
        let items = threads.into_iter().map(|thread| ThreadSummary::of(reader, thread));
        let items = items.collect::<Result<_, _>>()?;
        Ok(ThreadList { items, next_cursor })
    });
    page.await.map(axum::Json)
}

/// Names of workflows have no slash.
fn cursor(key: &ThreadKey) -> String {
    format!("{}/{}", key.workflow, key.thread_id)
}

fn parse_cursor(text: &str) -> Result<ThreadKey, Problem> {
    let parsed = text.split_once('/');
    let key = |(workflow, thread_id): (&str, &str)| ThreadKey {
        workflow: workflow.to_owned(),
        thread_id: thread_id.to_owned(),
    };
    parsed
        .map(key)
        .ok_or_else(|| Problem::new(Code::BadRequest, "cursor: it is none of this list; begin without one"))
}

/// Show what a thread keeps.
#[utoipa::path(
    get, path = "/threads/{workflow}/{thread_id}", tag = "threads",
    params(("workflow" = String, Path, description = "The workflow"), ("thread_id" = String, Path, description = "The thread")),
    responses(
        (status = 200, description = "The thread", body = ThreadDetail),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn show(
    _: Viewer,
    State(state): State<AppState>,
    Path((workflow, thread_id)): Path<(String, String)>,
) -> Result<axum::Json<ThreadDetail>, Problem> {
    let key = ThreadKey { workflow, thread_id };
    state.read(move |reader: &Reader| detail(reader, &key)).await.map(axum::Json)
}

/// Forget what a thread keeps, for good. Its runs stay.
#[utoipa::path(
    delete, path = "/threads/{workflow}/{thread_id}", tag = "threads",
    params(("workflow" = String, Path, description = "The workflow"), ("thread_id" = String, Path, description = "The thread")),
    responses(
        (status = 204, description = "It is forgotten"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn forget(
    _: Admin,
    State(state): State<AppState>,
    Path((workflow, thread_id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    state.host().forget_thread(workflow, thread_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
