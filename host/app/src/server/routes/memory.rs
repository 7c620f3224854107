//! What agents keep: facts of a workflow, the audit log and the working memory of its threads. To look at; agents write.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use bandstand_store::{AuditRecord, FactHit, FactQuery, MemoryError, Scope, SearchMode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::runs::limit;
use crate::server::caller::{Admin, Viewer};
use crate::server::extract::{Path, Query, given};
use crate::server::problem::{Code, Problem};
use crate::server::state::AppState;

/// Rows of an answer at most.
const LIMIT_MAX: u32 = 100;

/// The routes.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(facts))
        .routes(routes!(forget))
        .routes(routes!(audit))
        .routes(routes!(slots))
}

/// Which facts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct FactsQuery {
    /// Words to look for; none: the newest
    #[serde(deserialize_with = "given")]
    q: Option<String>,
    /// About that user
    #[serde(deserialize_with = "given")]
    user: Option<String>,
    /// Put by runs of that thread
    #[serde(deserialize_with = "given")]
    thread: Option<String>,
    /// With that tag
    #[serde(deserialize_with = "given")]
    tag: Option<String>,
    /// Of that kind
    #[serde(deserialize_with = "given")]
    kind: Option<String>,
    /// How many at most
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// A fact.
#[derive(Debug, Serialize, ToSchema)]
pub struct FactLine {
    /// The fact.
    id: String,
    /// When it was put.
    at: String,
    /// How much of the question it answers, 0 to 1.
    score: f64,
    /// The fact in words.
    text: String,
    /// What sort of fact.
    kind: String,
    /// Words to filter by.
    tags: Vec<String>,
    /// Whom it is about.
    user_id: Option<String>,
    /// The thread that put it.
    thread_id: Option<String>,
    /// How much it matters, 0 to 1.
    salience: f64,
    /// How sure it is, 0 to 1.
    confidence: f64,
    /// Where it comes from.
    source: String,
}

impl From<FactHit> for FactLine {
    fn from(hit: FactHit) -> FactLine {
        let FactHit { id, score, at, thread_id, fact } = hit;
        FactLine {
            id,
            at: at.to_string(),
            score,
            text: fact.text,
            kind: fact.kind,
            tags: fact.tags,
            user_id: fact.user_id,
            thread_id,
            salience: fact.salience,
            confidence: fact.confidence,
            source: fact.source,
        }
    }
}

/// Facts, best first.
#[derive(Debug, Serialize, ToSchema)]
pub struct FactList {
    /// The facts.
    items: Vec<FactLine>,
}

/// Search the facts that a workflow's agents keep, by words.
#[utoipa::path(
    get, path = "/memory/{workflow}/facts", tag = "memory",
    params(("workflow" = String, Path, description = "The workflow"), FactsQuery),
    responses(
        (status = 200, description = "The facts", body = FactList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn facts(
    _: Viewer,
    State(state): State<AppState>,
    Path(workflow): Path<String>,
    Query(query): Query<FactsQuery>,
) -> Result<axum::Json<FactList>, Problem> {
    let limit = limit(query.limit, LIMIT_MAX)?;
    let query = FactQuery {
        text: query.q.unwrap_or_default(),
        mode: SearchMode::Keyword,
        embedding: None,
        tags: query.tag.into_iter().collect(),
        kinds: query.kind.into_iter().collect(),
        user_id: query.user,
        thread_id: query.thread,
        limit,
    };
    let store = state.host().store().clone();
    let found = state.read(move |_| store.facts_search(&of(workflow, None), &query)).await?;
    Ok(axum::Json(FactList { items: found.into_iter().map(FactLine::from).collect() }))
}

/// Forget a fact, for good.
#[utoipa::path(
    delete, path = "/memory/{workflow}/facts/{fact_id}", tag = "memory",
    params(("workflow" = String, Path, description = "The workflow"), ("fact_id" = String, Path, description = "The fact")),
    responses(
        (status = 204, description = "It is forgotten"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn forget(
    _: Admin,
    State(state): State<AppState>,
    Path((workflow, fact_id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let store = state.host().store().clone();
    state.read(move |_| store.facts_forget(&of(workflow, None), &fact_id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How many.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// The newest so many
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// An entry of a thread's audit log.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditLine {
    /// The entry.
    id: String,
    /// When it was written.
    at: String,
    /// The run's user.
    user_id: Option<String>,
    /// The node that wrote it.
    source: String,
    /// What was done.
    action: String,
    /// With what.
    #[schema(value_type = Object)]
    payload: Value,
    /// Words to filter by.
    tags: Vec<String>,
}

impl From<AuditRecord> for AuditLine {
    fn from(record: AuditRecord) -> AuditLine {
        AuditLine {
            id: record.id,
            at: record.at.to_string(),
            user_id: record.user_id,
            source: record.source,
            action: record.entry.action,
            payload: serde_json::from_str(&record.entry.payload).unwrap_or_default(),
            tags: record.entry.tags,
        }
    }
}

/// The newest entries, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditList {
    /// The entries.
    items: Vec<AuditLine>,
}

/// Show the audit log that agents keep in a thread.
#[utoipa::path(
    get, path = "/memory/{workflow}/threads/{thread_id}/audit", tag = "memory",
    params(("workflow" = String, Path, description = "The workflow"), ("thread_id" = String, Path, description = "The thread"), AuditQuery),
    responses(
        (status = 200, description = "The entries", body = AuditList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn audit(
    _: Viewer,
    State(state): State<AppState>,
    Path((workflow, thread_id)): Path<(String, String)>,
    Query(query): Query<AuditQuery>,
) -> Result<axum::Json<AuditList>, Problem> {
    let limit = limit(query.limit, LIMIT_MAX)?;
    let found = state.read(move |reader| reader.audit(&of(workflow, Some(thread_id)), limit)).await?;
    Ok(axum::Json(AuditList { items: found.into_iter().map(AuditLine::from).collect() }))
}

/// Show the working memory that agents keep in a thread: its slots and what is in them.
#[utoipa::path(
    get, path = "/memory/{workflow}/threads/{thread_id}/slots", tag = "memory",
    params(("workflow" = String, Path, description = "The workflow"), ("thread_id" = String, Path, description = "The thread")),
    responses(
        (status = 200, description = "What is in each slot", body = BTreeMap<String, Object>),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn slots(
    _: Viewer,
    State(state): State<AppState>,
    Path((workflow, thread_id)): Path<(String, String)>,
) -> Result<axum::Json<BTreeMap<String, Value>>, Problem> {
    let (store, scope) = (state.host().store().clone(), of(workflow, Some(thread_id)));
    let slots = state.read(move |_| -> Result<_, MemoryError> {
        let mut slots = BTreeMap::new();
        for name in store.slot_list(&scope)? {
            // One that was emptied meanwhile is not there.
            if let Some(value) = store.slot_get(&scope, &name)? {
                slots.insert(name, serde_json::from_str(&value).unwrap_or(Value::String(value)));
            }
        }
        Ok(slots)
    });
    slots.await.map(axum::Json)
}

fn of(workflow: String, thread_id: Option<String>) -> Scope {
    Scope { workflow, thread_id, ..Scope::default() }
}

impl From<MemoryError> for Problem {
    fn from(error: MemoryError) -> Problem {
        let code = match &error {
            MemoryError::NotFound { .. } => Code::NotFound,
            MemoryError::Invalid { .. } | MemoryError::Limit { .. } => Code::Invalid,
            _ => Code::Unavailable,
        };
        Problem::new(code, error.to_string())
    }
}
