//! Runs: start, list, look at, wait for.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bandstand_engine::Timestamp;
use bandstand_store::{RunFilter, RunStatus};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::cli::arguments;
use crate::cli::runs::{replay, report};
use crate::cli::stored;
use crate::driver::now;
use crate::host::{Settled, StartRequest};
use crate::project::server::Role;
use crate::server::caller::{Caller, Operator, Viewer};
use crate::server::extract::{CallerSpan, IdempotencyKey, Json, KeyHeader, Path, Query, given, name, whole};
use crate::server::feed::until;
use crate::server::problem::{Code, Problem};
use crate::server::state::AppState;
use crate::view::{EventLine, Replayed, RunOutcome, RunSummary, event_value};

/// Longest time that a request waits for a run. Seconds.
pub const WAIT_S_MAX: u32 = 300;
/// Rows of a page when nobody says.
const LIMIT_DEFAULT: u32 = 50;

/// The routes.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, start))
        .routes(routes!(show_one))
        .routes(routes!(wait))
        .routes(routes!(events))
        .routes(routes!(replay_one))
}

/// A run to start.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartRun {
    /// The workflow's name, as it is served.
    pub workflow: String,
    /// What the run is given; checked against the workflow's `input`.
    #[serde(default = "empty")]
    #[schema(value_type = Object)]
    pub input: Value,
    /// Runs of one thread share memory, and what channels keep.
    pub thread_id: Option<String>,
    /// For whom it runs; by default whoever asks.
    pub user_id: Option<String>,
    /// Source of the run's randomness; by default the host picks one.
    #[serde(default, deserialize_with = "whole")]
    pub seed: Option<u64>,
    /// When it is to start, at most 366 days from now: RFC 3339 with an offset. A time that has passed: at once.
    #[schema(format = DateTime)]
    pub start_at: Option<String>,
    /// After how long it is to start, instead of `start_at`: `500ms`, `90s`, `15m`, `2h`, `3d`.
    #[schema(pattern = "^[0-9]{1,11}(ms|s|m|h|d)$")]
    pub start_in: Option<String>,
}

impl StartRun {
    fn starts_at(&self) -> Result<Option<Timestamp>, Problem> {
        match (&self.start_at, &self.start_in) {
            (Some(_), Some(_)) => {
                Err(Problem::new(Code::Invalid, "start_at and start_in: one of them says when, not both"))
            }
            (Some(at), None) => {
                let at = arguments::instant(at);
                at.map(Some).map_err(|problem| Problem::new(Code::Invalid, format!("start_at: {problem}")))
            }
            (None, Some(span)) => {
                let span = arguments::duration(span);
                span.map(|span_ms| Some(now().plus_ms(span_ms)))
                    .map_err(|problem| Problem::new(Code::Invalid, format!("start_in: {problem}")))
            }
            (None, None) => Ok(None),
        }
    }
}

fn empty() -> Value {
    json!({})
}

/// How long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Waiting {
    /// Answer when the run has ended or only people can move it, or after so many seconds.
    #[param(maximum = 300)]
    pub wait: Option<u32>,
}

/// Start a run. It is durable when this answers; the same `Idempotency-Key` again finds the same run.
#[utoipa::path(
    post, path = "/runs", tag = "runs", params(Waiting, KeyHeader),
    request_body = StartRun,
    responses(
        (status = 201, description = "It runs", body = RunOutcome, headers(("Location" = String, description = "The run"))),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn start(
    Operator(caller): Operator,
    State(state): State<AppState>,
    Query(waiting): Query<Waiting>,
    IdempotencyKey(request_id): IdempotencyKey,
    CallerSpan(linked): CallerSpan,
    Json(body): Json<StartRun>,
) -> Result<Response, Problem> {
    let waiting = waited(waiting.wait)?;
    let start_at = body.starts_at()?;
    let digest = digest(&json!({
        "start": body.workflow, "input": body.input, "thread_id": body.thread_id, "user_id": body.user_id,
        "seed": body.seed, "start_at": body.start_at, "start_in": body.start_in, "by": caller.user,
    }));
    if let Some(run_id) = state.host().begun_before(request_id.as_deref(), &digest)? {
        return begun(&state, run_id, waiting).await;
    }
    let deployed = state.served().start(&body.workflow).ok_or_else(|| {
        let served = "GET /api/v1/workflows lists those that are served";
        Problem::new(Code::NotFound, format!("no workflow `{}` is served here; {served}", body.workflow))
    })?;
    let user_id = name("user_id", body.user_id)?;
    if let (Some(user), Some(other)) = (&caller.user, &user_id)
        && user != other
        && caller.may(Role::Reviewer)
        && !caller.may(Role::Admin)
    {
        let what = "user_id: whoever answers reviews starts runs for themselves only, so that nobody approves their own";
        return Err(Problem::new(Code::Forbidden, what));
    }
    let request = StartRequest {
        input: body.input,
        thread_id: name("thread_id", body.thread_id)?,
        starters: starters(&caller, user_id.as_deref()),
        user_id: user_id.or(caller.user),
        request_id,
        request_digest: Some(digest),
        start_at,
        linked,
        seed: body.seed,
        ..deployed.request()
    };
    let run_id = state.host().start_deployed(deployed, request).await?;
    begun(&state, run_id, waiting).await
}

/// What a request says, in one line: the same one again has the same.
pub(super) fn digest(said: &Value) -> String {
    blake3::hash(said.to_string().as_bytes()).to_hex().to_string()
}

/// Whoever asks counts as one who begins the run, if it is for somebody else.
pub(super) fn starters(caller: &Caller, user_id: Option<&str>) -> Vec<String> {
    caller.user.iter().filter(|user| user_id.is_some_and(|of| of != user.as_str())).cloned().collect()
}

/// The answer to whoever began a run.
pub(super) async fn begun(state: &AppState, run_id: String, waiting: Duration) -> Result<Response, Problem> {
    let location = HeaderValue::from_str(&format!("/api/v1/runs/{run_id}"));
    let outcome = outcome(state, run_id, waiting).await?;
    let mut response = (StatusCode::CREATED, axum::Json(outcome)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// How long somebody waits.
pub(super) fn waited(seconds: Option<u32>) -> Result<Duration, Problem> {
    let seconds = seconds.unwrap_or(0);
    if seconds > WAIT_S_MAX {
        let what = format!(
            "wait: {seconds} seconds; {WAIT_S_MAX} are the most. Ask again, or follow the run's stream"
        );
        return Err(Problem::new(Code::BadRequest, what));
    }
    Ok(Duration::from_secs(seconds.into()))
}

/// The run as it stands, after waiting for it.
async fn outcome(state: &AppState, run_id: String, waiting: Duration) -> Result<RunOutcome, Problem> {
    let settled = if waiting.is_zero() {
        None
    } else {
        let mut closing = state.feed().closed();
        tokio::select! {
            settled = tokio::time::timeout(waiting, state.host().until_settled(&run_id)) => settled.ok().transpose()?,
            () = until(&mut closing) => None,
        }
    };
    let reviews = match &settled {
        Some(Settled::WaitingForPeople { reviews }) => reviews.clone(),
        _ => Vec::new(),
    };
    let waited = !waiting.is_zero();
    state
        .read(move |reader| -> Result<RunOutcome, Problem> {
            let row = reader.run(&run_id)?.ok_or_else(|| Problem::no_run(&run_id))?;
            let succeeded = row.status == RunStatus::Succeeded;
            let result = if waited && succeeded {
                stored::folded(reader, &run_id)
                    .ok()
                    .and_then(|run| run.output().map(|output| (**output).clone()))
            } else {
                None
            };
            let settled = settled.is_some() || row.status.is_ended();
            Ok(RunOutcome { run: RunSummary::from(&row), settled, result, reviews })
        })
        .await
}

/// Which runs.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct RunsQuery {
    /// Any of these, with commas between them: `failed,stuck`
    #[serde(deserialize_with = "given")]
    #[param(
        pattern = "^(running|waiting|paused|succeeded|failed|cancelled|killed|stuck)(,(running|waiting|paused|succeeded|failed|cancelled|killed|stuck))*$"
    )]
    status: Option<String>,
    /// Of that workflow
    #[serde(deserialize_with = "given")]
    workflow: Option<String>,
    /// Of that thread
    #[serde(deserialize_with = "given")]
    thread: Option<String>,
    /// For that user
    #[serde(deserialize_with = "given")]
    user: Option<String>,
    /// Started at that time or later; RFC 3339
    #[serde(deserialize_with = "given")]
    #[param(format = DateTime)]
    since: Option<String>,
    /// Started before that time; RFC 3339
    #[serde(deserialize_with = "given")]
    #[param(format = DateTime)]
    until: Option<String>,
    /// Child runs, too
    children: bool,
    /// The one run whose id begins so, whatever else is asked for; a problem if there is none, or several
    #[serde(deserialize_with = "given")]
    id: Option<String>,
    /// How many at most
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Where to go on: `next_cursor` of the page before
    #[serde(deserialize_with = "given")]
    #[param(pattern = "^[0-9]{1,18}$")]
    cursor: Option<String>,
}

/// A page of runs, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunList {
    /// The runs.
    items: Vec<RunSummary>,
    /// Where the next page begins; none: this is the last.
    next_cursor: Option<String>,
}

/// List runs, newest first.
#[utoipa::path(
    get, path = "/runs", tag = "runs", params(RunsQuery),
    responses(
        (status = 200, description = "A page", body = RunList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list(
    _: Viewer,
    State(state): State<AppState>,
    Query(query): Query<RunsQuery>,
) -> Result<axum::Json<RunList>, Problem> {
    let statuses = query.status.iter().flat_map(|words| words.split(','));
    let statuses = statuses.filter(|word| !word.is_empty()).map(status).collect::<Result<Vec<_>, _>>()?;
    let filter = RunFilter {
        statuses,
        workflow: query.workflow,
        thread_id: query.thread,
        user_id: query.user,
        children_too: query.children,
        since: query.since.map(|text| instant("since", &text)).transpose()?,
        until: query.until.map(|text| instant("until", &text)).transpose()?,
    };
    let limit = limit(query.limit, 1_000)?;
    if let Some(beginning) = query.id {
        let found = state.read(move |reader| stored::run(reader, &beginning)).await?;
        return Ok(axum::Json(RunList { items: vec![RunSummary::from(&found)], next_cursor: None }));
    }
    let page = state.read(move |reader| reader.runs(&filter, query.cursor.as_deref(), limit)).await?;
    let items = page.runs.iter().map(RunSummary::from).collect();
    Ok(axum::Json(RunList { items, next_cursor: page.next }))
}

fn status(word: &str) -> Result<RunStatus, Problem> {
    RunStatus::from_name(word).ok_or_else(|| {
        let known: Vec<&str> = RunStatus::ALL.iter().map(|status| status.name()).collect();
        let word: String = word.chars().take(40).collect();
        Problem::new(Code::BadRequest, format!("status: there is no `{word}`; there is {}", known.join(", ")))
    })
}

fn instant(what: &str, text: &str) -> Result<Timestamp, Problem> {
    let parsed = text.parse::<jiff::Timestamp>();
    parsed.map(|at| Timestamp(at.as_millisecond())).map_err(|_| {
        Problem::new(
            Code::BadRequest,
            format!("{what}: a time is written as 2026-11-29T08:00:00Z (RFC 3339)"),
        )
    })
}

/// How many rows somebody wants.
pub(super) fn limit(asked: Option<u32>, most: u32) -> Result<u32, Problem> {
    match asked {
        None => Ok(LIMIT_DEFAULT),
        Some(asked) if (1..=most).contains(&asked) => Ok(asked),
        Some(asked) => Err(Problem::new(Code::BadRequest, format!("limit: {asked} is not from 1 to {most}"))),
    }
}

/// A run with everything that is known of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunDetail {
    /// What lists show of it.
    #[serde(flatten)]
    pub run: RunSummary,
    /// Input, state, result, stages, errors, retries, reviews, routing, parallel branches, times, checkpoints, usage, audit
    /// entries, links: as `bandstand runs show --json` prints them.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub more: Value,
}

/// Show all that is known of a run.
#[utoipa::path(
    get, path = "/runs/{run_id}", tag = "runs", params(("run_id" = String, Path, description = "The run")),
    responses(
        (status = 200, description = "The run", body = RunDetail),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn show_one(
    _: Viewer,
    State(state): State<AppState>,
    Path(run_id): Path<String>,
) -> Result<axum::Json<Value>, Problem> {
    let report = state.read(move |reader| -> Result<Value, Problem> {
        let row = reader.run(&run_id)?.ok_or_else(|| Problem::no_run(&run_id))?;
        Ok(json!(report::of(reader, row)?))
    });
    report.await.map(axum::Json)
}

/// Wait until a run has ended or only people can move it, at most so long.
#[utoipa::path(
    get, path = "/runs/{run_id}/wait", tag = "runs",
    params(("run_id" = String, Path, description = "The run"), Waiting),
    responses(
        (status = 200, description = "How it stands", body = RunOutcome),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn wait(
    _: Viewer,
    State(state): State<AppState>,
    Path(run_id): Path<String>,
    Query(waiting): Query<Waiting>,
) -> Result<axum::Json<RunOutcome>, Problem> {
    let waiting = waited(waiting.wait.or(Some(30)))?;
    let known = run_id.clone();
    let ended = state
        .read(move |reader| -> Result<bool, Problem> {
            let row = reader.run(&known)?.ok_or_else(|| Problem::no_run(&known))?;
            Ok(row.status.is_ended())
        })
        .await?;
    // One that has ended is not loaded again.
    let waiting = if ended { Duration::from_nanos(1) } else { waiting };
    outcome(&state, run_id, waiting).await.map(axum::Json)
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Leave out what was before this event
    #[serde(default)]
    from: u64,
    /// How many at most; what one decision led to is not cut
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// A page of a run's journal.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventList {
    /// The events, in their order.
    #[schema(value_type = Vec<EventLine>)]
    items: Vec<Value>,
    /// The number of the next event; none: there is no further one yet.
    next_from: Option<u64>,
}

/// List a run's events in their order.
#[utoipa::path(
    get, path = "/runs/{run_id}/events", tag = "runs",
    params(("run_id" = String, Path, description = "The run"), EventsQuery),
    responses(
        (status = 200, description = "A page", body = EventList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn events(
    _: Viewer,
    State(state): State<AppState>,
    Path(run_id): Path<String>,
    Query(query): Query<EventsQuery>,
) -> Result<axum::Json<EventList>, Problem> {
    let (from, limit) = (query.from, limit(query.limit.or(Some(200)), 1_000)?);
    let id = run_id.clone();
    let page = state.read(move |reader| reader.history_with(&run_id, from, limit)).await?;
    let mut items = Vec::new();
    let mut next = None;
    for row in &page.rows {
        if items.len() >= limit as usize {
            next = Some(row.seq);
            break;
        }
        let events = (row.seq..).zip(&row.events).filter(|(seq, _)| *seq >= from);
        items.extend(events.map(|(seq, event)| event_value(&id, seq, row.at, event)));
    }
    Ok(axum::Json(EventList { items, next_from: next.or(page.next) }))
}

/// Fold a run's journal again and compare it with what is stored. Changes nothing.
#[utoipa::path(
    get, path = "/runs/{run_id}/replay", tag = "runs", params(("run_id" = String, Path, description = "The run")),
    responses(
        (status = 200, description = "What was found: `same`, and the differences", body = Object),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn replay_one(
    _: Viewer,
    State(state): State<AppState>,
    Path(run_id): Path<String>,
) -> Result<axum::Json<Replayed>, Problem> {
    state.read(move |reader| replay::report(reader, &run_id)).await.map(axum::Json)
}
