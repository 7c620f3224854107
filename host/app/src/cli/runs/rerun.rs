//! `bandstand runs rerun`: a new run with the same input, from the start; as it was, or as the file is now.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::anew::{self, FollowArgs};
use crate::cli::arguments;
use crate::cli::context::{Context, block_on};
use crate::cli::exit::{Exit, Failure};
use crate::cli::stored;
use crate::driver::Plugins;
use crate::host::{Drive, StartRequest, Uses};

/// What `rerun` is given.
#[derive(Args, Debug)]
pub struct RerunArgs {
    /// The run; the beginning of its id is enough
    #[arg(value_name = "RUN", value_parser = arguments::id)]
    pub run: String,
    /// With the workflow file and plugins as they are now, not as they were; without FILE, the one below here with the
    /// workflow's name
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub latest: Option<Option<PathBuf>>,
    /// The same id again finds the same run instead of starting another
    #[arg(long, value_name = "ID", value_parser = arguments::name)]
    pub request: Option<String>,
    /// How it is followed.
    #[command(flatten)]
    pub follow: FollowArgs,
}

/// Starts it and follows it to its end.
pub fn execute(args: &RerunArgs, context: &Context) -> Result<Exit, Failure> {
    let reader = stored::open(context)?;
    let run = stored::run(&reader, &args.run)?;
    let whole = stored::whole(&reader, &run.run_id)?;
    drop(reader);
    let mut config = context.config_here()?;
    let request = match &args.latest {
        Some(file) => {
            let loaded = anew::latest(file.as_ref(), &run.workflow, context)?;
            config = loaded.directory.config.clone();
            loaded.into_start_request()?
        }
        None => as_it_was(&whole, context)?,
    };
    let input = whole.started.input.value().map(|input| (**input).clone()).unwrap_or_default();
    let request = StartRequest {
        input,
        thread_id: whole.started.thread_id.clone(),
        user_id: whole.started.user_id.clone(),
        request_id: args.request.clone(),
        rerun_of: Some(run.run_id.clone()),
        ..request
    };
    block_on(async {
        let access = context.access(config.as_ref(), Drive::Only(Vec::new())).await?;
        match access.start_run(request).await {
            Ok(rerun) => {
                context.out.note(&format!("run {rerun} does run {} again", run.run_id));
                anew::follow_and_close(access, &rerun, 0, run.user_id.as_ref(), &args.follow, context).await
            }
            Err(error) => {
                access.close().await?;
                Err(error.into())
            }
        }
    })
}

/// By the digests that the run pins.
fn as_it_was(whole: &stored::Whole, context: &Context) -> Result<StartRequest, Failure> {
    let run_id = &whole.started.run_id;
    let source = whole.pins.source.clone().ok_or_else(|| {
        Failure::other(format!("the workflow text of run {run_id} was not kept"))
            .help("to run the file as it is now: --latest")
    })?;
    let plugins = Uses::of(&whole.started).try_map(|plugin, digest| {
        let kept = Plugins::kept(context.data_dir(), digest).map(Arc::from);
        kept.map_err(|error| {
            Failure::usage(format!("plugin `{plugin}`: {error}"))
                .help("to run the files as they are now: --latest")
        })
    })?;
    Ok(StartRequest {
        graph: whole.graph.clone(),
        source,
        plugins,
        input: serde_json::Value::Null,
        thread_id: None,
        user_id: None,
        request_id: None,
        seed: None,
        rerun_of: None,
    })
}
