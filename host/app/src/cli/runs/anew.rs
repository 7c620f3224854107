//! What fork, rerun and retry share: workflows as they are now, and following what they began.

use std::path::PathBuf;

use clap::Args;

use crate::api::{Again, Api};
use crate::cli::arguments;
use crate::cli::check;
use crate::cli::context::{Context, block_on};
use crate::cli::exit::{Exit, Failure};
use crate::cli::follow::{self, Manner};
use crate::cli::stored;
use crate::cli::workflow::list::workflow_files;
use crate::driver::Plugins;
use crate::host::{Access, HostError, StartRequest, Uses};
use crate::project::load::{self, Loaded, Resolve};

/// What fork and rerun are given besides the run: as it was or as it is now, and how it is followed.
#[derive(Args, Debug)]
pub(super) struct AnewArgs {
    /// With the workflow file and plugins as they are now, not as they were; without FILE, the one below here with the
    /// workflow's name
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub(super) latest: Option<Option<PathBuf>>,
    /// The same id again finds the run that it began instead of beginning another
    #[arg(long, value_name = "ID", value_parser = arguments::name)]
    pub(super) request: Option<String>,
    /// How it is followed.
    #[command(flatten)]
    pub(super) follow: FollowArgs,
}

/// How what was begun is followed.
#[derive(Args, Clone, Debug)]
pub struct FollowArgs {
    /// At a review, do not ask on the terminal: end with exit code 4
    #[arg(long)]
    pub no_ask: bool,
    /// Print one text member of the result as it is, such as `report.markdown`
    #[arg(long, value_name = "PATH", conflicts_with = "json")]
    pub print: Option<String>,
}

/// Follows a run as `run` does, and leaves the data directory.
pub(super) async fn follow_and_close(
    access: Access,
    run_id: &str,
    from_seq: u64,
    user: Option<&String>,
    args: &FollowArgs,
    context: &Context,
) -> Result<Exit, Failure> {
    let manner =
        Manner { from_seq, ask_as: (!args.no_ask).then(|| context.who(user)), print: args.print.clone() };
    let ended = follow::to_the_end(&access, run_id, context, &manner).await;
    stored::name_other_open_runs(context, run_id);
    let closed = access.close().await;
    let exit = ended?;
    closed?;
    Ok(exit)
}

/// Begins a run at a server, from another one that it has, and follows it.
pub(super) fn at_server(
    api: &Api,
    again: Again,
    args: &AnewArgs,
    told: impl FnOnce(&str) -> String,
    user: Option<&String>,
    context: &Context,
) -> Result<Exit, Failure> {
    if let Some(Some(file)) = &args.latest {
        let what = format!("--latest={}: a server takes the latest that it has in service", file.display());
        return Err(Failure::usage(what).help(
            "write --latest without a file; to put the file into service: bandstand workflow put FILE",
        ));
    }
    block_on(async {
        let begun = api.again(again).await.map_err(HostError::Api);
        begin_and_follow(Access::at(api.clone()), begun, told, user, &args.follow, context).await
    })
}

/// The workflow file as it is now: the one named, or the only one below here with that name of a workflow.
pub(super) fn latest(file: Option<&PathBuf>, workflow: &str, context: &Context) -> Result<Loaded, Failure> {
    let file = match file {
        Some(file) => file.clone(),
        None => find(workflow, context)?,
    };
    let loaded = load::load(&file, Resolve::Yes)?;
    if !load::can_run(&loaded) {
        return Err(check::refused(&loaded, context));
    }
    let name = loaded.graph.as_ref().map(|graph| graph.name.as_str()).unwrap_or_default();
    if name != workflow {
        return Err(Failure::usage(format!(
            "{} is workflow `{name}`, the run is of `{workflow}`",
            loaded.file
        ))
        .help(format!("to run it: bandstand run {}", loaded.file)));
    }
    Ok(loaded)
}

fn find(workflow: &str, context: &Context) -> Result<PathBuf, Failure> {
    let (mut found, mut faulty) = (Vec::new(), None);
    for file in workflow_files(std::path::Path::new("."))? {
        let Ok(loaded) = load::load_to_look_at(&file) else { continue };
        match &loaded.graph {
            Some(graph) if graph.name == workflow => found.push(file),
            None if says_name(&loaded.text, workflow) => faulty = Some(loaded),
            Some(_) | None => {}
        }
    }
    if let (Some(loaded), true) = (&faulty, found.is_empty()) {
        return Err(check::refused(loaded, context));
    }
    match (found.pop(), found.is_empty()) {
        (Some(file), true) => Ok(file),
        (None, _) => Err(Failure::usage(format!("no workflow file below here is `{workflow}`"))
            .help("name the file: --latest=FILE; those there are: bandstand workflow list")),
        (Some(last), false) => {
            found.push(last);
            let names: Vec<String> = found.iter().map(|file| file.display().to_string()).collect();
            Err(Failure::usage(format!("several workflow files are `{workflow}`: {}", names.join(", ")))
                .help("name the one that is meant: --latest=FILE"))
        }
    }
}

/// Whether a file that has errors says at its top that it is that workflow.
fn says_name(text: &str, workflow: &str) -> bool {
    let said = text.lines().find_map(|line| line.strip_prefix("name:"));
    said.is_some_and(|name| {
        let name = name.split(" #").next().unwrap_or(name);
        name.trim().trim_matches(['"', '\'']) == workflow
    })
}

/// Begins a run, tells so, and follows it to its end, as a run of `user`.
pub(super) async fn begin_and_follow(
    access: Access,
    begun: Result<String, HostError>,
    told: impl FnOnce(&str) -> String,
    user: Option<&String>,
    args: &FollowArgs,
    context: &Context,
) -> Result<Exit, Failure> {
    match begun {
        Ok(run_id) => {
            context.out.note(&told(&run_id));
            follow_and_close(access, &run_id, 0, user, args, context).await
        }
        Err(error) => {
            access.close().await?;
            Err(error.into())
        }
    }
}

/// Puts the plugins of a workflow into the data directory; their digests.
pub(super) fn keep_plugins(request: &StartRequest, context: &Context) -> Result<Uses<String>, Failure> {
    request.plugins.try_map(|plugin, bytes| {
        let kept = Plugins::keep(context.data_dir(), bytes);
        kept.map_err(|error| Failure::storage(format!("plugin `{plugin}` cannot be kept: {error}")))
    })
}
