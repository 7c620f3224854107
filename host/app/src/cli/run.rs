//! `bandstand run`: one run of one workflow file, followed to its end.

use std::path::PathBuf;

use bandstand_engine::Timestamp;
use clap::Args;
use serde_json::{Value, json};

use super::check;
use super::context::{Context, block_on};
use super::exit::{Exit, Failure};
use super::follow::{self, Manner};
use super::json_input;
use super::stored;
use super::workflow;
use crate::api::{Api, Begin};
use crate::driver::now;
use crate::host::{Access, Drive, StartRequest};
use crate::project::load::{self, Loaded, Resolve};

/// What `run` is given.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The workflow file; of a server, the name of a workflow that it has
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What the run is given: JSON, `@FILE`, or `-` for stdin [default: {}]
    #[arg(long, short, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    pub input: Option<String>,
    /// Runs of one thread share memory, and begin with what the run before left in channels with `keep: thread`
    #[arg(long, value_name = "ID", value_parser = super::arguments::name)]
    pub thread: Option<String>,
    /// For whom it runs; also the reviewer when the terminal is asked
    #[arg(long, value_name = "ID", value_parser = super::arguments::name)]
    pub user: Option<String>,
    /// At a review, do not ask on the terminal: end with exit code 4
    #[arg(long)]
    pub no_ask: bool,
    /// Print one text member of the result as it is, such as `report.markdown`
    #[arg(long, value_name = "PATH", conflicts_with = "json")]
    pub print: Option<String>,
    /// The same id again finds the same run instead of starting another
    #[arg(long, value_name = "ID", value_parser = super::arguments::name)]
    pub request: Option<String>,
    /// Start it at that time, not now: RFC 3339 with an offset. Says the run's id and does not follow it
    #[arg(long, value_name = "TIME", value_parser = super::arguments::instant)]
    pub start_at: Option<Timestamp>,
    /// Start it after so long, not now: 90s, 2h, 3d
    #[arg(long, value_name = "DURATION", value_parser = super::arguments::duration, conflicts_with = "start_at")]
    pub start_in: Option<u64>,
    /// Answer every call of a model from this file of recorded replies, instead of asking a provider
    #[arg(long, value_name = "FILE", conflicts_with = "record")]
    pub replies: Option<PathBuf>,
    /// Ask the providers, and append what they answer to this file, for --replies
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Seed of the run's randomness [default: a random one]
    #[arg(long, value_name = "NUMBER", hide = true)]
    pub seed: Option<u64>,
}

/// Runs it.
pub fn execute(args: &RunArgs, context: &Context) -> Result<Exit, Failure> {
    let ended = load_input_and_run(args, context);
    if let (Err(failure), true) = (&ended, context.out.json)
        && failure.exit != Exit::Interrupted
    {
        // Whoever reads the last line finds out here, too.
        context.out.json_line(&json!({
            "type": "outcome", "run_id": null, "status": "not-started", "error": failure.to_json(),
            "exit_code": failure.exit.code(),
        }));
    }
    ended
}

fn load_input_and_run(args: &RunArgs, context: &Context) -> Result<Exit, Failure> {
    if let Some(api) = context.api() {
        return at_server(api, args, context);
    }
    let loaded = load::load(&args.file, Resolve::Yes)?;
    if !load::can_run(&loaded) {
        return Err(check::refused(&loaded, context));
    }
    for found in &loaded.diagnostics {
        context
            .out
            .note(&super::term::safe::block(&bandstand_workflow::render(found, loaded.text_of(found))));
    }
    let input = input(args)?;
    block_on(start_and_follow(args, loaded, input, context))
}

fn input(args: &RunArgs) -> Result<Value, Failure> {
    args.input.as_ref().map_or(Ok(json!({})), |argument| json_input::read("--input", argument))
}

/// A run of a workflow that a server has.
fn at_server(api: &Api, args: &RunArgs, context: &Context) -> Result<Exit, Failure> {
    if args.replies.is_some() || args.record.is_some() {
        return Err(Failure::usage("--replies and --record: the server asks the models")
            .help("leave them out, or run it on this machine, without --server"));
    }
    let begin = Begin {
        workflow: workflow::served_name(&args.file, context)?,
        input: input(args)?,
        thread_id: args.thread.clone(),
        user_id: args.user.clone(),
        request_id: args.request.clone(),
        seed: args.seed,
    };
    let manner = Manner {
        from_seq: 0,
        ask_as: (!args.no_ask).then(|| context.who(args.user.as_ref())),
        print: args.print.clone(),
    };
    block_on(async {
        let run_id = api.begin(begin).await.map_err(|error| {
            let failure = Failure::from(error);
            match failure.exit {
                Exit::NotFound if failure.help.is_none() => failure
                    .help(format!("those that it has: bandstand workflow list{}", context.data_option())),
                _ => failure,
            }
        })?;
        follow::to_the_end(&Access::at(api.clone()), &run_id, context, &manner).await
    })
}

async fn start_and_follow(
    args: &RunArgs,
    loaded: Loaded,
    input: Value,
    context: &Context,
) -> Result<Exit, Failure> {
    let config = loaded.directory.config.clone();
    let file = loaded.file.clone();
    let workflow = loaded.graph.as_ref().map(|graph| graph.name.to_string()).unwrap_or_default();
    let request = StartRequest {
        input,
        thread_id: args.thread.clone(),
        user_id: args.user.clone(),
        request_id: args.request.clone(),
        seed: args.seed,
        start_at: args.start_at.or_else(|| args.start_in.map(|span_ms| now().plus_ms(span_ms))),
        ..loaded.into_start_request()?
    };
    let models = context.models(config.as_ref(), args.replies.as_deref(), args.record.as_deref())?;
    let access = context.access_with(config.as_ref(), Drive::Only(Vec::new()), models).await?;
    if !access.is_holder() && (args.replies.is_some() || args.record.is_some()) {
        let what = "another process holds the data directory and asks the models, so --replies and --record do nothing";
        return Err(Failure::not_found(what)
            .help("end that process, or use a data directory of your own: --data DIR"));
    }
    let manner = Manner {
        from_seq: 0,
        ask_as: (!args.no_ask).then(|| args.user.clone().unwrap_or_else(super::review::who_sits_here)),
        print: args.print.clone(),
    };
    let ended = match access.start_run(request).await {
        Ok(run_id) if waits_for_its_start(&access, &run_id, args, context)? => Ok(Exit::Succeeded),
        Ok(run_id) => {
            let ended = follow::to_the_end(&access, &run_id, context, &manner).await;
            stored::name_other_open_runs(context, &run_id);
            ended
        }
        Err(error) => {
            let failure = Failure::from(error);
            let help = match (&args.thread, of_the_thread(&failure)) {
                (Some(thread), true) => format!(
                    "to begin the thread anew: bandstand thread forget {workflow} {thread}{}",
                    context.data_option()
                ),
                _ => format!("what it takes: the `input` of {file}; how it was meant: bandstand run --help"),
            };
            Err(if failure.exit == Exit::Usage { failure.help(help) } else { failure })
        }
    };
    let closed = access.close().await;
    // What the run came to matters more than a close that failed; that one is told only when nothing else is wrong.
    let exit = ended?;
    closed?;
    Ok(exit)
}

/// Whether it is to start later, and says so. A request that comes again may find a run that has started.
fn waits_for_its_start(
    access: &Access,
    run_id: &str,
    args: &RunArgs,
    context: &Context,
) -> Result<bool, Failure> {
    if args.start_at.is_none() && args.start_in.is_none() {
        return Ok(false);
    }
    let run = stored::open(context)?.run(run_id)?;
    let Some(starts_at) = run.and_then(|run| run.starts_at) else { return Ok(false) };
    if context.out.json {
        context.out.json_line(&json!({
            "type": "outcome", "run_id": run_id, "status": "waiting", "starts_at": starts_at.to_string(),
            "exit_code": Exit::Succeeded.code(),
        }));
        return Ok(true);
    }
    context.out.data(run_id);
    let who = if access.is_holder() {
        format!(
            "while a host drives it: bandstand serve, or bandstand runs drive {run_id}{}",
            context.data_option()
        )
    } else {
        "if the process that holds the data directory is there then, or another one drives all runs"
            .to_owned()
    };
    context
        .out
        .note(&format!("run {run_id} waits and starts at {}, {who}", super::term::words::instant(starts_at)));
    Ok(true)
}

/// Whether the run could not start because of what its thread keeps. A host that another process is tells no more than
/// the words.
fn of_the_thread(failure: &Failure) -> bool {
    failure.what.contains("keeps a value for it")
}
