//! `bandstand runs rerun`: a new run with the same input, from the start; as it was, or as the file is now.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bandstand_store::Pins;
use clap::Args;

use super::anew::{self, AnewArgs};
use crate::api::Again;
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
    run: String,
    #[command(flatten)]
    anew: AnewArgs,
}

/// Starts it and follows it to its end.
pub fn execute(args: &RerunArgs, context: &Context) -> Result<Exit, Failure> {
    let AnewArgs { latest, request: request_id, follow } = &args.anew;
    if let Some(api) = context.api() {
        let run = context.site()?.run(&args.run)?;
        let again = Again {
            run_id: run.run_id.clone(),
            from: None,
            set: BTreeMap::new(),
            latest: latest.is_some(),
            request_id: request_id.clone(),
        };
        let told = |rerun: &str| format!("run {rerun} does run {} again", run.run_id);
        return anew::at_server(api, again, &args.anew, told, run.user_id.as_ref(), context);
    }
    let reader = stored::open(context)?;
    let run = stored::run(&reader, &args.run)?;
    let mut rows = stored::rows(&reader, &run.run_id)?;
    let started = stored::started(&mut rows)?;
    let mut config = context.config_here()?;
    let request = match latest {
        Some(file) => {
            let loaded = anew::latest(file.as_ref(), &run.workflow, context)?;
            config = loaded.directory.config.clone();
            loaded.into_start_request()?
        }
        None => as_it_was(&run.run_id, rows.pins(), context.data_dir())?,
    };
    let input = started.input.value().map(|input| (**input).clone()).unwrap_or_default();
    let request = StartRequest {
        input,
        thread_id: started.thread_id.clone(),
        user_id: started.user_id.clone(),
        starters: started.starters.clone(),
        request_id: request_id.clone(),
        rerun_of: Some(run.run_id.clone()),
        ..request
    };
    block_on(async {
        let access = context.access(config.as_ref(), Drive::Only(Vec::new())).await?;
        let begun = access.start_run(request).await;
        let told = |rerun: &str| format!("run {rerun} does run {} again", run.run_id);
        anew::begin_and_follow(access, begun, told, run.user_id.as_ref(), follow, context).await
    })
}

/// By the digests that the run pins.
pub(crate) fn as_it_was(run_id: &str, pins: &Pins, data_dir: &Path) -> Result<StartRequest, Failure> {
    let source = pins.source.clone().ok_or_else(|| {
        Failure::other(format!("the workflow text of run {run_id} was not kept"))
            .help("to run the file as it is now: --latest")
    })?;
    let plugins = Uses::pinned(pins).try_map(|plugin, digest| {
        let kept = Plugins::kept(data_dir, digest).map(Arc::from);
        kept.map_err(|error| {
            Failure::usage(format!("plugin `{plugin}`: {error}"))
                .help("to run the files as they are now: --latest")
        })
    })?;
    Ok(StartRequest::of(stored::graph(run_id, pins)?, source, plugins))
}
