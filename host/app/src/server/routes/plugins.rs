//! Plugins: which are kept, what they are, how they do; upload, and release from quarantine.

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bandstand_store::Reader;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::cli::plugin::{inspect, list};
use crate::driver::Plugins;
use crate::host::Taken;
use crate::project::builtin;
use crate::project::directory::Directory;
use crate::server::caller::{Admin, Operator, Viewer};
use crate::server::extract::{Body, Path};
use crate::server::problem::{Code, Problem};
use crate::server::state::AppState;
use crate::view::{FileProblem, PluginCalls, PluginDetail, PluginSummary, Quarantine, UploadedPlugin};

/// The routes. `upload_bytes_max` is the largest component.
pub fn routes(upload_bytes_max: usize) -> OpenApiRouter<AppState> {
    let upload = OpenApiRouter::new().routes(routes!(put)).layer(DefaultBodyLimit::max(upload_bytes_max));
    OpenApiRouter::new().routes(routes!(all)).routes(routes!(show)).merge(upload).routes(routes!(release))
}

/// The plugins.
#[derive(Debug, Serialize, ToSchema)]
pub struct PluginList {
    /// By digest.
    items: Vec<PluginEntry>,
}

/// A plugin, and who uses it.
#[derive(Debug, Serialize, ToSchema)]
pub struct PluginEntry {
    /// What is known of it.
    #[serde(flatten)]
    plugin: PluginSummary,
    /// The workflows in service that call it, or a child of which does.
    workflows: Vec<String>,
    /// How its calls ended since the server began.
    calls: PluginCalls,
}

/// List the plugins that are kept for runs and workflows, and what is known against them.
#[utoipa::path(
    get, path = "/plugins", tag = "plugins",
    responses(
        (status = 200, description = "The plugins", body = PluginList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn all(_: Viewer, State(state): State<AppState>) -> Result<axum::Json<PluginList>, Problem> {
    let data_dir = state.host().data_dir().to_owned();
    let listed = state.read(move |reader: &Reader| list::all(reader, &data_dir)).await?;
    let served = state.served().served();
    let entry = |plugin: PluginSummary| {
        let uses = |name: &&String| served.workflows[*name].digests.digests().contains(&plugin.digest);
        let workflows = served.workflows.keys().filter(uses).cloned().collect();
        let calls = PluginCalls::from(state.host().plugin_calls(&plugin.digest));
        PluginEntry { plugin, workflows, calls }
    };
    Ok(axum::Json(PluginList { items: listed.iter().map(|listed| entry(listed.summary())).collect() }))
}

/// Show what a plugin needs and offers, running nothing of it; and what is known against it.
#[utoipa::path(
    get, path = "/plugins/{plugin}", tag = "plugins",
    params(("plugin" = String, Path, description = "Its digest, or `builtin:NAME`")),
    responses(
        (status = 200, description = "The plugin, as `bandstand plugin inspect --json` prints it", body = PluginDetail),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn show(
    _: Viewer,
    State(state): State<AppState>,
    Path(plugin): Path<String>,
) -> Result<axum::Json<PluginDetail>, Problem> {
    let (data_dir, dir) = (state.host().data_dir().to_owned(), state.served().dir().to_owned());
    let shown = state.read(move |reader: &Reader| -> Result<PluginDetail, Problem> {
        let bytes = match plugin.strip_prefix("builtin:") {
            Some(name) => builtin::named(name).map(|builtin| builtin.bytes.to_vec()),
            None if is_digest(&plugin) => Plugins::kept(&data_dir, &plugin).ok(),
            None => None,
        };
        let bytes = bytes.ok_or_else(|| no_plugin(&plugin))?;
        let config = Directory::at(&dir).ok().and_then(|directory| directory.config);
        // Whatever is kept was compiled.
        let (mut shown, _) = inspect::inspected(&plugin, &bytes, config.as_ref(), inspect::Code::Compiled)
            .map_err(|error| Problem::new(Code::Conflict, error.to_string()))?;
        let breakers = reader.breakers()?;
        shown.quarantine = Quarantine::from(breakers.iter().find(|breaker| breaker.plugin == shown.digest));
        Ok(shown)
    });
    shown.await.map(axum::Json)
}

/// `sha256:` and 64 hexadecimal digits in small letters: nothing else becomes a part of a path.
fn is_digest(plugin: &str) -> bool {
    let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    plugin.strip_prefix("sha256:").is_some_and(|digits| digits.len() == 64 && digits.bytes().all(hex))
}

fn no_plugin(plugin: &str) -> Problem {
    let known = "GET /api/v1/plugins lists those that are kept; this is a digest, or `builtin:NAME`";
    Problem::new(Code::NotFound, format!("no plugin `{plugin}` is kept here; {known}"))
}

/// Put a component into the folder `plugins` of the directory, as `NAME.wasm`. The workflows made of that file are swapped
/// together.
#[utoipa::path(
    put, path = "/plugins/{plugin}", tag = "plugins",
    params(
        ("plugin" = String, Path, description = "What its file is to be called, without `.wasm`", pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,57}$")
    ),
    request_body(
        content((Vec<u8> = "application/wasm"), (Vec<u8> = "application/octet-stream")), description = "The component"
    ),
    responses(
        (status = 200, description = "The file was there; it is as it was, or this one now", body = UploadedPlugin),
        (status = 201, description = "There was no such file", body = UploadedPlugin),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn put(
    _: Admin,
    State(state): State<AppState>,
    Path(plugin): Path<String>,
    Body(bytes): Body,
) -> Result<Response, Problem> {
    let put = state.served().put_plugin(&plugin, bytes.to_vec()).await?;
    let status = if put.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/api/v1/plugins/{}", put.digest);
    let uploaded = UploadedPlugin {
        digest: put.digest,
        file: put.file,
        workflows: put.workflows,
        problems: put.problems.iter().map(|problem| FileProblem::from(&**problem)).collect(),
    };
    Ok((status, [(header::LOCATION, location)], axum::Json(uploaded)).into_response())
}

/// What a release came to.
#[derive(Debug, Serialize, ToSchema)]
pub struct Released {
    /// The plugin.
    digest: String,
    /// Whether it was out of service.
    changed: bool,
}

/// Put a plugin that is in quarantine back in service; its faults are forgotten.
#[utoipa::path(
    post, path = "/plugins/{plugin}/release", tag = "plugins",
    params(("plugin" = String, Path, description = "Its digest")),
    responses(
        (status = 200, description = "It is in service", body = Released),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn release(
    _: Operator,
    State(state): State<AppState>,
    Path(plugin): Path<String>,
) -> Result<axum::Json<Released>, Problem> {
    if !is_digest(&plugin) {
        return Err(no_plugin(&plugin));
    }
    let taken = state.host().release_plugin(&plugin).await?;
    Ok(axum::Json(Released { digest: plugin, changed: taken == Taken::Changed }))
}
