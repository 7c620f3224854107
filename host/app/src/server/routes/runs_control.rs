//! What is done to runs: pause, resume, cancel, kill, retry, rerun, fork, signal, delete, export.

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bandstand_engine::input::{ActorKind, By};
use bandstand_store::{Deletion, PluginFile};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::runs::{Waiting, begun, digest, starters, waited};
use crate::cli::arguments;
use crate::cli::runs::{fork, rerun};
use crate::cli::stored;
use crate::driver::Plugins;
use crate::host::{
    ForkRequest, HostError, Latest, RetryRequest, SignalRequest, StartRequest, SteerRequest, Steering, Taken,
    Uses,
};
use crate::server::caller::{Admin, Caller, Operator, Viewer};
use crate::server::extract::{Body, CallerSpan, IdempotencyKey, Json, KeyHeader, Path, Query, name};
use crate::server::problem::{Code, Problem};
use crate::server::state::AppState;
use crate::view::{Done, RunOutcome, RunSummary};

/// The routes. `upload_bytes_max` is the largest exported run that is taken in.
pub fn routes(upload_bytes_max: usize) -> OpenApiRouter<AppState> {
    let import = OpenApiRouter::new().routes(routes!(import)).layer(DefaultBodyLimit::max(upload_bytes_max));
    OpenApiRouter::new()
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(cancel))
        .routes(routes!(kill))
        .routes(routes!(retry))
        .routes(routes!(rerun_one))
        .routes(routes!(fork_one))
        .routes(routes!(signal))
        .routes(routes!(delete))
        .routes(routes!(export))
        .merge(import)
}

/// Why somebody wants it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reason {
    /// Why; it stands in the run's journal.
    #[schema(max_length = 4096)]
    pub(in crate::server) reason: String,
    /// Who wants it; a token says it by itself, and only a server without tokens believes it.
    pub(in crate::server) by: Option<String>,
}

/// Who wants it, for the journal. A token says it by itself; only a server without tokens believes what a request says.
fn by(caller: &Caller, said: Option<String>) -> Result<By, Problem> {
    let id = match (&caller.user, name("by", said)?) {
        (Some(user), Some(other)) if *user != other => {
            let what =
                format!("by: the token is `{user}`'s, so what is asked for with it is, too; leave `by` out");
            return Err(Problem::new(Code::Forbidden, what));
        }
        (None, Some(said)) => said,
        _ => caller.by(),
    };
    Ok(By { kind: ActorKind::Person, id })
}

async fn done(state: &AppState, run_id: String, taken: Taken) -> Result<Done, Problem> {
    let run = state.read(move |reader| -> Result<RunSummary, Problem> {
        let row = reader.run(&run_id)?.ok_or_else(|| Problem::no_run(&run_id))?;
        Ok(RunSummary::from(&row))
    });
    Ok(Done { changed: taken == Taken::Changed, run: run.await? })
}

/// Pauses, resumes, cancels or kills a run, as whoever asks.
pub(in crate::server) async fn steer(
    state: &AppState,
    caller: &Caller,
    run_id: String,
    steering: Steering,
    Reason { reason, by: said }: Reason,
) -> Result<Done, Problem> {
    let reason = arguments::reason(&reason)
        .map_err(|problem| Problem::new(Code::Invalid, format!("reason: {problem}")))?;
    let request = SteerRequest { run_id: run_id.clone(), steering, by: by(caller, said)?, reason };
    let taken = state.host().steer(request).await?;
    done(state, run_id, taken).await
}

macro_rules! steering {
    ($name:ident, $path:literal, $steering:ident, $doc:literal) => {
        #[doc = $doc]
        #[utoipa::path(
            post, path = $path, tag = "runs", params(("run_id" = String, Path, description = "The run")),
            request_body = Option<Reason>,
            responses(
                (status = 200, description = "It holds now", body = Done),
                (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
            )
        )]
        async fn $name(
            Operator(caller): Operator,
            State(state): State<AppState>,
            Path(run_id): Path<String>,
            Json(reason): Json<Reason>,
        ) -> Result<axum::Json<Done>, Problem> {
            steer(&state, &caller, run_id, Steering::$steering, reason).await.map(axum::Json)
        }
    };
}

steering!(pause, "/runs/{run_id}/pause", Pause, "Pause a run: nothing new starts.");
steering!(resume, "/runs/{run_id}/resume", Resume, "Resume a paused run.");
steering!(cancel, "/runs/{run_id}/cancel", Cancel, "Cancel a run: it ends in order.");
steering!(kill, "/runs/{run_id}/kill", Kill, "Kill a run: it ends at once.");

/// Who wants it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Wish {
    /// Who; a token says it by itself, and only a server without tokens believes it.
    by: Option<String>,
}

/// Retry a failed run: its failed visits are tried again, what finished stays.
#[utoipa::path(
    post, path = "/runs/{run_id}/retry", tag = "runs",
    params(("run_id" = String, Path, description = "The run"), KeyHeader),
    request_body = Option<Wish>,
    responses(
        (status = 200, description = "It goes on", body = Done),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn retry(
    Operator(caller): Operator,
    State(state): State<AppState>,
    Path(run_id): Path<String>,
    IdempotencyKey(request_id): IdempotencyKey,
    Json(wish): Json<Wish>,
) -> Result<axum::Json<Done>, Problem> {
    let request = RetryRequest { run_id: run_id.clone(), by: by(&caller, wish.by)?, request_id };
    let taken = state.host().retry(request).await?;
    done(&state, run_id, taken).await.map(axum::Json)
}

/// How to do a run again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rerun {
    /// With workflow and plugins as they are served now; else as the run pins them.
    latest: bool,
}

/// Do a run again from its start, as a new run.
#[utoipa::path(
    post, path = "/runs/{run_id}/rerun", tag = "runs",
    params(("run_id" = String, Path, description = "The run"), Waiting, KeyHeader),
    request_body = Option<Rerun>,
    responses(
        (status = 201, description = "The new run", body = RunOutcome),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn rerun_one(
    Operator(caller): Operator,
    State(state): State<AppState>,
    Path(run_id): Path<String>,
    Query(waiting): Query<Waiting>,
    IdempotencyKey(request_id): IdempotencyKey,
    CallerSpan(linked): CallerSpan,
    Json(body): Json<Rerun>,
) -> Result<Response, Problem> {
    let waiting = waited(waiting.wait)?;
    let digest = digest(&json!({ "rerun": run_id, "latest": body.latest, "by": caller.user }));
    if let Some(again) = state.host().begun_before(request_id.as_deref(), &digest)? {
        return begun(&state, again, waiting).await;
    }
    let (of, data_dir) = (run_id.clone(), state.host().data_dir().to_owned());
    let (row, started, as_it_was) = state
        .read(move |reader| -> Result<_, Problem> {
            let row = reader.run(&of)?.ok_or_else(|| Problem::no_run(&of))?;
            let mut rows = stored::rows(reader, &of)?;
            let started = stored::started(&mut rows)?;
            let as_it_was =
                (!body.latest).then(|| rerun::as_it_was(&of, rows.pins(), &data_dir)).transpose()?;
            Ok((row, started, as_it_was))
        })
        .await?;
    let again = |of: StartRequest| StartRequest {
        input: started.input.value().map(|input| (**input).clone()).unwrap_or_default(),
        thread_id: started.thread_id.clone(),
        user_id: started.user_id.clone(),
        starters: with(
            starters(&caller, Some(started.user_id.as_deref().unwrap_or_default())),
            &started.starters,
        ),
        request_id,
        request_digest: Some(digest),
        linked,
        rerun_of: Some(run_id),
        ..of
    };
    let again = match as_it_was {
        Some(as_it_was) => state.host().start_run(again(as_it_was)).await?,
        None => {
            let deployed = served(&state, &row.workflow)?;
            let request = again(deployed.request());
            state.host().start_deployed(deployed, request).await?
        }
    };
    begun(&state, again, waiting).await
}

/// With those of the run that another one comes from.
fn with(mut starters: Vec<String>, before: &[String]) -> Vec<String> {
    starters.extend(before.iter().filter(|who| !starters.contains(who)).cloned().collect::<Vec<_>>());
    starters
}

fn served(state: &AppState, workflow: &str) -> Result<crate::host::Deployed, Problem> {
    state.served().start(workflow).ok_or_else(|| {
        Problem::new(
            Code::Conflict,
            format!("workflow `{workflow}` is not served here now, so there is no latest of it"),
        )
    })
}

/// Where and how a run is to go on elsewhere.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// The point: a number of events, a node or visit that was entered (`ask`, `ask@2`), or a checkpoint (`NAME`, `NAME@2`,
    /// `checkpoint:NAME`).
    #[schema(value_type = String)]
    from: Value,
    /// What is different there: `state.CHANNEL...` or `input.MEMBER...`, and what it becomes.
    #[serde(default)]
    #[schema(value_type = Object)]
    set: BTreeMap<String, Value>,
    /// With workflow and plugins as they are served now; else as the run pins them.
    #[serde(default)]
    latest: bool,
}

/// Go on from a point of a run, as a new run; the run itself stays as it is.
#[utoipa::path(
    post, path = "/runs/{run_id}/fork", tag = "runs",
    params(("run_id" = String, Path, description = "The run"), Waiting, KeyHeader),
    request_body = Fork,
    responses(
        (status = 201, description = "The new run", body = RunOutcome),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn fork_one(
    Operator(caller): Operator,
    State(state): State<AppState>,
    Path(run_id): Path<String>,
    Query(waiting): Query<Waiting>,
    IdempotencyKey(request_id): IdempotencyKey,
    CallerSpan(linked): CallerSpan,
    Json(body): Json<Fork>,
) -> Result<Response, Problem> {
    let waiting = waited(waiting.wait)?;
    let digest = digest(&json!({
        "fork": run_id, "from": body.from, "set": body.set, "latest": body.latest, "by": caller.user,
    }));
    if let Some(fork) = state.host().begun_before(request_id.as_deref(), &digest)? {
        return begun(&state, fork, waiting).await;
    }
    let from = match &body.from {
        Value::String(from) => from.clone(),
        Value::Number(seq) => seq.to_string(),
        _ => {
            return Err(Problem::new(
                Code::Invalid,
                "from: a number of events, or the name of a node or checkpoint",
            ));
        }
    };
    let of = run_id.clone();
    let (row, seq) = state
        .read(move |reader| -> Result<_, Problem> {
            let row = reader.run(&of)?.ok_or_else(|| Problem::no_run(&of))?;
            let seq = match from.parse() {
                Ok(seq) => seq,
                Err(_) => fork::named_point(&from, reader, &of, &format!("GET /api/v1/runs/{of}/events"))?,
            };
            Ok((row, seq))
        })
        .await?;
    let latest = if body.latest {
        let deployed = served(&state, &row.workflow)?;
        Some(Box::new(Latest {
            graph: (*deployed.graph).clone(),
            source: deployed.source.to_string(),
            plugins: deployed.plugins,
        }))
    } else {
        None
    };
    let edits = body.set.into_iter().collect();
    let request = ForkRequest {
        run_id,
        seq,
        edits,
        latest,
        request_id,
        request_digest: Some(digest),
        starters: starters(&caller, Some(row.user_id.as_deref().unwrap_or_default())),
        linked,
    };
    let fork = state.host().fork(request).await?;
    begun(&state, fork, waiting).await
}

/// What a signal says.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SignalBody {
    /// Checked against the schema of the `wait` that the workflow has for it.
    #[schema(value_type = Object)]
    pub(in crate::server) data: Value,
    /// Who sends it; a token says it by itself, and only a server without tokens believes it.
    pub(in crate::server) by: Option<String>,
}

/// Send a run a signal. It is kept until the run waits for it.
#[utoipa::path(
    post, path = "/runs/{run_id}/signals/{name}", tag = "runs",
    params(("run_id" = String, Path, description = "The run"), ("name" = String, Path, description = "The signal"), KeyHeader),
    request_body = Option<SignalBody>,
    responses(
        (status = 200, description = "It is kept", body = Done),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn signal(
    Operator(caller): Operator,
    State(state): State<AppState>,
    Path((run_id, name)): Path<(String, String)>,
    IdempotencyKey(request_id): IdempotencyKey,
    Json(body): Json<SignalBody>,
) -> Result<axum::Json<Done>, Problem> {
    send_signal(&state, &caller, run_id, name, body, request_id).await.map(axum::Json)
}

/// Sends a signal, as whoever asks.
pub(in crate::server) async fn send_signal(
    state: &AppState,
    caller: &Caller,
    run_id: String,
    name: String,
    SignalBody { data, by: said }: SignalBody,
    request_id: Option<String>,
) -> Result<Done, Problem> {
    let by = by(caller, said)?;
    let request = SignalRequest { run_id: run_id.clone(), name, data, by, request_id };
    let taken = state.host().signal(request).await?;
    done(state, run_id, taken).await
}

/// Delete a run that has ended, and what only it needed.
#[utoipa::path(
    delete, path = "/runs/{run_id}", tag = "runs", params(("run_id" = String, Path, description = "The run")),
    responses(
        (status = 204, description = "It is gone"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn delete(
    _: Admin,
    State(state): State<AppState>,
    Path(run_id): Path<String>,
) -> Result<StatusCode, Problem> {
    let deleted = state.host().delete_runs(vec![run_id.clone()]).await?;
    match deleted.runs.first() {
        Some(Deletion::Deleted) => Ok(StatusCode::NO_CONTENT),
        Some(Deletion::Unknown) | None => Err(Problem::no_run(&run_id)),
        Some(Deletion::NotEnded(status)) => {
            let what = format!("run {run_id} is {}; cancel or kill it first", status.name());
            Err(Problem::new(Code::Conflict, what))
        }
        Some(Deletion::OfOpenParent) => {
            let what = format!("run {run_id} is a part of a run that has not ended");
            Err(Problem::new(Code::Conflict, what))
        }
    }
}

/// Give a run out as a file: its journal, what it pins, and its plugins. `bandstand runs import` takes it in elsewhere.
#[utoipa::path(
    get, path = "/runs/{run_id}/export", tag = "runs", params(("run_id" = String, Path, description = "The run")),
    responses(
        (status = 200, description = "The file", body = String, content_type = "application/x-ndjson"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn export(
    _: Viewer,
    State(state): State<AppState>,
    Path(run_id): Path<String>,
) -> Result<Response, Problem> {
    let (id, data_dir) = (run_id.clone(), Arc::new(state.host().data_dir().to_owned()));
    let bytes = state.read(move |reader| -> Result<Vec<u8>, Problem> {
        let rows = stored::rows(reader, &id)?;
        let digests = Uses::pinned(rows.pins()).digests();
        let kept = |digest: String| {
            let bytes = Plugins::kept(&data_dir, &digest).ok()?;
            Some(PluginFile { digest, bytes })
        };
        let plugins: Vec<PluginFile> = digests.into_iter().filter_map(kept).collect();
        let mut bytes = Vec::new();
        reader.export(&id, &plugins, &mut bytes).map_err(crate::cli::exit::Failure::from)?;
        Ok(bytes)
    });
    let mut response = bytes.await?.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{run_id}.jsonl\"")) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// Take in a run that `GET /runs/RUN/export` or `bandstand runs export` gave out. Nobody drives it by that: it may still go on
/// where it comes from.
#[utoipa::path(
    post, path = "/imports", tag = "runs",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The file"),
    responses(
        (status = 201, description = "It is here, durably", body = RunSummary),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn import(_: Admin, State(state): State<AppState>, Body(bytes): Body) -> Result<Response, Problem> {
    // The host takes in files.
    let file = state.host().data_dir().join(format!("import-{}.part", uuid::Uuid::now_v7()));
    let to = file.clone();
    let written = tokio::task::spawn_blocking(move || std::fs::write(to, bytes)).await;
    let imported = match written {
        Ok(Ok(())) => state.host().import(&file).await,
        Ok(Err(error)) => Err(HostError::Storage(format!("the run cannot be kept: {error}"))),
        Err(_) => Err(HostError::Closing),
    };
    // One that stays does no harm: nobody looks at it.
    let _ = std::fs::remove_file(&file);
    let run_id = imported.map_err(|error| match error {
        HostError::NotImported { problem, .. } => {
            Problem::new(Code::Invalid, format!("the body is not imported: {problem}"))
        }
        error => error.into(),
    })?;
    let run = state.read(move |reader| stored::run(reader, &run_id)).await?;
    Ok((StatusCode::CREATED, axum::Json(RunSummary::from(&run))).into_response())
}
