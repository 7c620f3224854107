//! `bandstand runs fork`: a new run that adopts another one's results up to a point and goes on from there.

use bandstand_engine::run::EditPath;
use bandstand_store::Reader;
use clap::Args;
use serde_json::Value;

use super::anew::{self, AnewArgs};
use super::point::{NotFound, Search};
use crate::api::Again;
use crate::cli::arguments;
use crate::cli::context::{Context, block_on};
use crate::cli::exit::{Exit, Failure};
use crate::cli::json_input;
use crate::cli::stored;
use crate::cli::term::words;
use crate::host::{Drive, ForkRequest, Latest};

/// What `fork` is given.
#[derive(Args, Debug)]
pub struct ForkArgs {
    /// The run; the beginning of its id is enough
    #[arg(value_name = "RUN", value_parser = arguments::id)]
    run: String,
    /// Where to leave it: before a node was entered first (`draft`, `fan/law`), before a visit (`draft@2`), after a
    /// checkpoint was passed last (`drafted`) or for the nth time (`drafted@1`), or after so many events
    #[arg(long, value_name = "NODE|PATH|CHECKPOINT|SEQ")]
    from: String,
    /// What is different: `state.CHANNEL=JSON` or `input.MEMBER=JSON`, deeper with further dots; may be given several
    /// times
    #[arg(long, value_name = "PATH=JSON")]
    set: Vec<String>,
    #[command(flatten)]
    anew: AnewArgs,
}

/// Begins it and follows it to its end.
pub fn execute(args: &ForkArgs, context: &Context) -> Result<Exit, Failure> {
    let edits = args.set.iter().map(|text| edit(text)).collect::<Result<Vec<_>, _>>()?;
    let AnewArgs { latest, request, follow } = &args.anew;
    if let Some(api) = context.api() {
        let run = context.site()?.run(&args.run)?;
        let again = Again {
            run_id: run.run_id.clone(),
            from: Some(args.from.clone()),
            set: edits.into_iter().collect(),
            latest: latest.is_some(),
            request_id: request.clone(),
        };
        let told = |fork: &str| format!("run {fork} goes on from {} of run {}", args.from, run.run_id);
        return anew::at_server(api, again, &args.anew, told, run.user_id.as_ref(), context);
    }
    let reader = stored::open(context)?;
    let run = stored::run(&reader, &args.run)?;
    let seq = point(&args.from, &reader, &run.run_id, context)?;
    drop(reader);
    let mut config = context.config_here()?;
    let latest = match latest {
        None => None,
        Some(file) => {
            let loaded = anew::latest(file.as_ref(), &run.workflow, context)?;
            config = loaded.directory.config.clone();
            let request = loaded.into_start_request()?;
            let plugins = anew::keep_plugins(&request, context)?;
            Some(Box::new(Latest { graph: (*request.graph).clone(), source: request.source, plugins }))
        }
    };
    let request = ForkRequest {
        run_id: run.run_id.clone(),
        seq,
        edits,
        latest,
        request_id: request.clone(),
        request_digest: None,
        starters: Vec::new(),
        linked: Vec::new(),
    };
    block_on(async {
        let access = context.access(config.as_ref(), Drive::Only(Vec::new())).await?;
        let begun = access.fork(request).await;
        let told = |fork: &str| format!("run {fork} goes on from event {seq} of run {}", run.run_id);
        anew::begin_and_follow(access, begun, told, run.user_id.as_ref(), follow, context).await
    })
}

/// `state.total=3`
fn edit(text: &str) -> Result<(String, Value), Failure> {
    let Some((path, value)) = text.split_once('=') else {
        return Err(Failure::usage(format!("--set: `{text}` is not PATH=JSON"))
            .help("for example: --set state.total=3 --set 'input.name=\"Ada\"'"));
    };
    let path: EditPath = path.trim().parse().map_err(|error| Failure::usage(format!("--set: {error}")))?;
    let value = json_input::parse(value).map_err(|problem| {
        Failure::usage(format!("--set {path}: `{value}` is not JSON: {problem}"))
            .help(format!("text stands in quotation marks: --set '{path}=\"...\"'"))
    })?;
    Ok((path.to_string(), value))
}

/// How many events are adopted.
fn point(from: &str, reader: &Reader, run_id: &str, context: &Context) -> Result<u64, Failure> {
    if let Ok(seq) = from.parse() {
        return Ok(seq);
    }
    let data = context.data_option();
    named_point(from, reader, run_id, &format!("bandstand runs show {run_id} --events --json{data}"))
}

/// How many events are adopted, where a node, a visit or a checkpoint is named. `events` says how they are listed.
pub(crate) fn named_point(from: &str, reader: &Reader, run_id: &str, events: &str) -> Result<u64, Failure> {
    let mut search = Search::new(from);
    for row in stored::rows(reader, run_id)? {
        search.add(&row?.events);
    }
    let events = format!("its events with their numbers: {events}");
    search.found().map_err(|problem| match problem {
        NotFound::Nothing(names) => {
            Failure::not_found(format!("run {run_id} never entered `{from}`, nor passed a checkpoint of that name"))
                .help(format!("{names}; {events}"))
        }
        NotFound::Both => {
            let what = format!("`{from}` is a node and a checkpoint of run {run_id}");
            Failure::usage(what).help(format!(
                "--from {from}@1 leaves it before the node's first visit, --from checkpoint:{from} after the checkpoint"
            ))
        }
        NotFound::NotSoOften(times) => {
            let what = format!("run {run_id} passed that checkpoint {}, so there is no `{from}`", words::count(times, "time"));
            Failure::not_found(what).help(events)
        }
        NotFound::Ended => {
            let what = format!("run {run_id} ended when it had passed `{from}`: there is nothing to go on with");
            Failure::not_found(what).help(format!("name an earlier point; {events}"))
        }
    })
}
