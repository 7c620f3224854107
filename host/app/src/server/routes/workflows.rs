//! Workflows that are served: list, look at, check, put into service, take out.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::runs::limit;
use crate::project::catalogue::{Deployed, PutError};
use crate::project::permits::in_words;
use crate::server::caller::{Admin, Viewer};
use crate::server::conditions::{AbsentHeader, KnownHeader, MatchHeader, precondition, tags};
use crate::server::extract::{Body, Path, Query, given};
use crate::server::problem::{Code, Problem};
use crate::server::state::AppState;
use crate::view::{FileProblem, WorkflowSummary, diagnostics};

/// What a workflow file is sent as.
const YAML: &str = "application/yaml";

/// The routes.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, put, delete))
        .routes(routes!(source))
        .routes(routes!(graph))
        .routes(routes!(schema))
        // One that is called `check` is a workflow like any other.
        .routes(routes!(check, show_check, put_check, delete_check))
        .routes(routes!(language))
}

/// Which workflows.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct WorkflowsQuery {
    /// How many at most
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Where to go on: `next_cursor` of the page before
    cursor: Option<String>,
}

/// A page of workflows.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkflowList {
    /// The workflows in service, by name.
    items: Vec<WorkflowSummary>,
    /// Where the next page begins; none: this is the last.
    next_cursor: Option<String>,
    /// Every file that is not in service as it is.
    problems: Vec<FileProblem>,
}

/// List the workflows in service, and the files that are not as they should be.
#[utoipa::path(
    get, path = "/workflows", tag = "workflows", params(WorkflowsQuery),
    responses(
        (status = 200, description = "A page", body = WorkflowList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list(
    _: Viewer,
    State(state): State<AppState>,
    Query(query): Query<WorkflowsQuery>,
) -> Result<axum::Json<WorkflowList>, Problem> {
    let limit = limit(query.limit, 1_000)? as usize;
    let served = state.served().served();
    let after = query.cursor.unwrap_or_default();
    let mut names = served
        .workflows
        .range::<str, _>((std::ops::Bound::Excluded(after.as_str()), std::ops::Bound::Unbounded));
    let items: Vec<WorkflowSummary> =
        names.by_ref().take(limit).map(|(_, deployed)| summary(&state, deployed)).collect();
    let next_cursor = items.last().filter(|_| names.next().is_some()).map(|last| last.name.clone());
    let problems = served.problems.iter().map(|problem| FileProblem::from(&**problem)).collect();
    Ok(axum::Json(WorkflowList { items, next_cursor, problems }))
}

fn summary(state: &AppState, deployed: &Deployed) -> WorkflowSummary {
    let served = state.served().served();
    let problem = served.problems.iter().find(|problem| problem.file == deployed.file);
    WorkflowSummary::of(deployed, problem.map(|problem| &**problem))
}

fn find(state: &AppState, name: &str) -> Result<Arc<Deployed>, Problem> {
    state.served().workflow(name).ok_or_else(|| {
        let served = "GET /api/v1/workflows lists those that are, and the files with problems";
        Problem::new(Code::NotFound, format!("no workflow `{name}` is in service; {served}"))
    })
}

/// A workflow with all that is known of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkflowDetail {
    /// What lists show of it.
    #[serde(flatten)]
    workflow: WorkflowSummary,
    /// Its warnings, as `bandstand check --json` prints them.
    #[schema(value_type = Vec<Object>)]
    diagnostics: Vec<Value>,
    /// Nodes of its root.
    nodes: usize,
    /// The plugins that its runs pin.
    plugins: Vec<UsedPlugin>,
}

/// A plugin of a workflow.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsedPlugin {
    /// What the workflow calls it; `CHILD/ID` of a child's.
    id: String,
    /// `sha256:` and 64 hexadecimal digits.
    digest: String,
    /// What it is granted, in words; of a child's none is told here.
    grants: Option<String>,
}

/// Show a workflow in service: its plugins, its warnings, and what is wrong with its file by now.
#[utoipa::path(
    get, path = "/workflows/{workflow}", tag = "workflows",
    params(("workflow" = String, Path, description = "The workflow's name")),
    responses(
        (status = 200, description = "The workflow", body = WorkflowDetail, headers(("ETag" = String, description = "Of its text"))),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn show(
    _: Viewer,
    State(state): State<AppState>,
    Path(workflow): Path<String>,
) -> Result<Response, Problem> {
    let deployed = find(&state, &workflow)?;
    let mut plugins = Vec::new();
    let Ok(_) = deployed.digests.try_map(|id, digest| {
        let own = deployed.graph.plugins.iter().find(|(own, _)| own.as_str() == id);
        let grants = own.map(|(_, plugin)| in_words(&plugin.grants));
        plugins.push(UsedPlugin { id: id.to_owned(), digest: digest.clone(), grants });
        Ok::<(), std::convert::Infallible>(())
    });
    let detail = WorkflowDetail {
        workflow: summary(&state, &deployed),
        diagnostics: diagnostics(&deployed.diagnostics),
        nodes: deployed.graph.root.nodes.len(),
        plugins,
    };
    Ok(tagged(&deployed, axum::Json(detail)))
}

/// With the entity tag of the text.
fn tagged(deployed: &Deployed, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    if let Ok(etag) = HeaderValue::from_str(&deployed.etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// Show the text of a workflow in service.
#[utoipa::path(
    get, path = "/workflows/{workflow}/source", tag = "workflows",
    params(("workflow" = String, Path, description = "The workflow's name"), KnownHeader),
    responses(
        (status = 200, description = "The workflow file", body = Value, content_type = "application/yaml", headers(("ETag" = String, description = "For If-Match when it is put again"))),
        (status = 304, description = "It is as it was"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn source(
    _: Viewer,
    State(state): State<AppState>,
    Path(workflow): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let deployed = find(&state, &workflow)?;
    let known = tags(&headers, header::IF_NONE_MATCH)?;
    if known.is_some_and(|known| known.iter().any(|tag| *tag == deployed.etag || tag == "*")) {
        return Ok(tagged(&deployed, StatusCode::NOT_MODIFIED));
    }
    let typed = [(header::CONTENT_TYPE, HeaderValue::from_static(YAML))];
    Ok(tagged(&deployed, (typed, deployed.source.to_string())))
}

/// How a graph is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GraphFormat {
    /// As runs pin it: JSON.
    #[default]
    Json,
    /// For Mermaid.
    Mermaid,
    /// For Graphviz.
    Dot,
}

/// How.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct GraphQuery {
    /// As data, or as text that others draw
    #[param(inline)]
    format: GraphFormat,
}

/// Show the checked graph of a workflow in service.
#[utoipa::path(
    get, path = "/workflows/{workflow}/graph", tag = "workflows",
    params(("workflow" = String, Path, description = "The workflow's name"), GraphQuery),
    responses(
        (status = 200, description = "The graph", content((Object = "application/json"), (String = "text/plain"))),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn graph(
    _: Viewer,
    State(state): State<AppState>,
    Path(workflow): Path<String>,
    Query(query): Query<GraphQuery>,
) -> Result<Response, Problem> {
    let deployed = find(&state, &workflow)?;
    Ok(match query.format {
        GraphFormat::Json => axum::Json(&*deployed.graph).into_response(),
        GraphFormat::Mermaid => bandstand_workflow::graph_mermaid(&deployed.graph).into_response(),
        GraphFormat::Dot => bandstand_workflow::graph_dot(&deployed.graph).into_response(),
    })
}

/// Show what the input of a run must be: a JSON Schema.
#[utoipa::path(
    get, path = "/workflows/{workflow}/schema", tag = "workflows",
    params(("workflow" = String, Path, description = "The workflow's name")),
    responses(
        (status = 200, description = "The schema", body = Object, content_type = "application/schema+json"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn schema(
    _: Viewer,
    State(state): State<AppState>,
    Path(workflow): Path<String>,
) -> Result<Response, Problem> {
    let deployed = find(&state, &workflow)?;
    let schema = deployed.graph.input.as_ref().and_then(|schema| serde_json::to_value(schema).ok());
    Ok(as_schema(&schema.unwrap_or_else(|| json!({ "type": "object" }))))
}

fn as_schema(schema: &Value) -> Response {
    let typed = [(header::CONTENT_TYPE, HeaderValue::from_static("application/schema+json"))];
    (typed, schema.to_string()).into_response()
}

/// Show what a workflow file must be: a JSON Schema, for editors.
#[utoipa::path(
    get, path = "/schema/workflow", tag = "workflows",
    responses(
        (status = 200, description = "The schema", body = Object, content_type = "application/schema+json"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn language(_: Viewer) -> Response {
    as_schema(&bandstand_workflow::json_schema())
}

/// Put a workflow into service. Its text is checked, compiled and linked first; runs that go on keep what they pinned.
#[utoipa::path(
    put, path = "/workflows/{workflow}", tag = "workflows",
    params(
        ("workflow" = String, Path, description = "The name, as the text says it", pattern = "^[a-z][a-z0-9-]{0,62}$"), MatchHeader, AbsentHeader
    ),
    request_body(content = Value, content_type = "application/yaml", description = "The workflow file"),
    responses(
        (status = 200, description = "It is in service in place of what was", body = WorkflowSummary, headers(("ETag" = String, description = "Of its text"))),
        (status = 201, description = "It is in service, the first of its name", body = WorkflowSummary, headers(("ETag" = String, description = "Of its text"))),
        (status = "default", description = "A problem; with `diagnostics`, if the text has some", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn put(
    _: Admin,
    State(state): State<AppState>,
    Path(workflow): Path<String>,
    headers: HeaderMap,
    Body(text): Body,
) -> Result<Response, Problem> {
    let when = precondition(&headers)?;
    let put = state.served().put_workflow(&workflow, text.to_vec(), when).await?;
    let status = if put.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(tagged(&put.deployed, (status, axum::Json(summary(&state, &put.deployed)))))
}

/// Take a workflow out of service, and remove its file. Runs of it go on.
#[utoipa::path(
    delete, path = "/workflows/{workflow}", tag = "workflows",
    params(("workflow" = String, Path, description = "The workflow's name"), MatchHeader),
    responses(
        (status = 204, description = "It is out of service"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn delete(
    _: Admin,
    State(state): State<AppState>,
    Path(workflow): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let when = precondition(&headers)?;
    state.served().delete_workflow(&workflow, when).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is checked.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct CheckQuery {
    /// The workflow whose file it is to be; by default a new one
    #[serde(deserialize_with = "given")]
    #[param(value_type = String, required = false, pattern = "^([a-z][a-z0-9-]{0,62})?$")]
    workflow: Option<String>,
}

/// What a text comes to.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckedText {
    /// Whether it would be put into service, if its plugins compile.
    ok: bool,
    /// Its name, if it has no errors.
    name: Option<String>,
    /// Its version.
    version: Option<u64>,
    /// Its problems, as `bandstand check --json` prints them.
    #[schema(value_type = Vec<Object>)]
    diagnostics: Vec<Value>,
    /// The same as `bandstand check` prints them.
    rendered: Vec<String>,
}

/// Check a text as a file of the directory would be. Changes nothing.
#[utoipa::path(
    post, path = "/workflows/check", tag = "workflows", params(CheckQuery),
    request_body(content = Value, content_type = "application/yaml", description = "The workflow file"),
    responses(
        (status = 200, description = "What is wrong with it", body = CheckedText),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn check(
    _: Viewer,
    State(state): State<AppState>,
    Query(query): Query<CheckQuery>,
    Body(text): Body,
) -> Result<axum::Json<CheckedText>, Problem> {
    if text.is_empty() {
        return Err(Problem::new(Code::BadRequest, "there is no body; send the text of a workflow file"));
    }
    let checked = state.served().check(query.workflow.as_deref(), text.to_vec()).await?;
    Ok(axum::Json(CheckedText {
        ok: checked.can_run,
        name: checked.graph.as_ref().map(|graph| graph.name.clone()),
        version: checked.graph.as_ref().map(|graph| graph.version),
        diagnostics: diagnostics(&checked.diagnostics),
        rendered: checked.rendered,
    }))
}

/// Show the workflow that is called `check`, as any other.
#[utoipa::path(
    get, path = "/workflows/check", tag = "workflows",
    responses(
        (status = 200, description = "The workflow", body = WorkflowDetail, headers(("ETag" = String, description = "Of its text"))),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn show_check(viewer: Viewer, state: State<AppState>) -> Result<Response, Problem> {
    show(viewer, state, Path("check".to_owned())).await
}

/// Put the workflow that is called `check` into service, as any other.
#[utoipa::path(
    put, path = "/workflows/check", tag = "workflows", params(MatchHeader, AbsentHeader),
    request_body(content = Value, content_type = "application/yaml", description = "The workflow file"),
    responses(
        (status = 200, description = "It is in service in place of what was", body = WorkflowSummary),
        (status = 201, description = "It is in service, the first of its name", body = WorkflowSummary),
        (status = "default", description = "A problem; with `diagnostics`, if the text has some", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn put_check(
    admin: Admin,
    state: State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    put(admin, state, Path("check".to_owned()), headers, body).await
}

/// Take the workflow that is called `check` out of service, as any other.
#[utoipa::path(
    delete, path = "/workflows/check", tag = "workflows", params(MatchHeader),
    responses(
        (status = 204, description = "It is out of service"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn delete_check(
    admin: Admin,
    state: State<AppState>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    delete(admin, state, Path("check".to_owned()), headers).await
}

impl From<PutError> for Problem {
    fn from(error: PutError) -> Problem {
        let what = error.to_string();
        match error {
            PutError::Name { .. } | PutError::OtherName { .. } | PutError::Unusable(_) => {
                Problem::new(Code::Invalid, what)
            }
            PutError::Unknown(_) => Problem::new(Code::NotFound, what),
            PutError::Condition { .. } => Problem::new(Code::Changed, what),
            PutError::TooLarge { .. } => Problem::new(Code::TooLarge, what),
            PutError::TooMany(_) | PutError::InTheWay(_) => Problem::new(Code::Conflict, what),
            PutError::Invalid { diagnostics: found, .. } => {
                Problem::new(Code::Invalid, what).with_diagnostics(diagnostics(&found))
            }
            PutError::Load(_) => Problem::new(Code::Conflict, what),
            PutError::Io { .. } => Problem::new(Code::Unavailable, what),
            PutError::Closing => Problem::new(Code::Unavailable, what).retry_after(1),
        }
    }
}
