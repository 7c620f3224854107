//! `bandstand runs signal`: sends a signal to a run, durably; if no other process holds the data directory, drives and
//! follows the run then.

use bandstand_engine::input::{ActorKind, By};
use clap::Args;
use serde_json::json;

use crate::cli::arguments;
use crate::cli::context::{Context, block_on};
use crate::cli::exit::{Exit, Failure};
use crate::cli::follow::{self, Manner};
use crate::cli::json_input;
use crate::cli::review::who_sits_here;
use crate::cli::stored;
use crate::host::{Access, Drive, SignalRequest, Taken};

/// What `signal` is given.
#[derive(Args, Debug)]
pub struct SignalArgs {
    /// The run; the beginning of its id is enough
    #[arg(value_name = "RUN", value_parser = arguments::id)]
    run: String,
    /// The signal's name, as a `wait` of the workflow has it
    #[arg(value_name = "NAME", value_parser = arguments::name)]
    name: String,
    /// What it says: JSON, `@FILE`, or `-` for standard input
    #[arg(long, value_name = "JSON", default_value = "{}")]
    input: String,
    /// Who sends it [default: the user of the system]
    #[arg(long, value_name = "ID", value_parser = arguments::name)]
    by: Option<String>,
    /// The same id again is the same signal
    #[arg(long, value_name = "ID", value_parser = arguments::name)]
    request: Option<String>,
    /// Only record the signal: do not make the run go on
    #[arg(long)]
    no_drive: bool,
    /// At a review, do not ask on the terminal: end with exit code 4
    #[arg(long)]
    no_ask: bool,
    /// Print one text member of the run's result as it is, such as `report.markdown`
    #[arg(long, value_name = "PATH", conflicts_with = "json")]
    print: Option<String>,
}

/// Sends it. A signal that the run never waits for, or that does not fit, is a conflict.
pub fn execute(args: &SignalArgs, context: &Context) -> Result<Exit, Failure> {
    let data = json_input::read("--input", &args.input)?;
    let reader = stored::open(context)?;
    let run_id = stored::run(&reader, &args.run)?.run_id;
    let mut seq_known = 0;
    stored::each_row(&reader, &run_id, |row| seq_known = row.seq + row.events.len() as u64)?;
    drop(reader);
    let by = args.by.clone().unwrap_or_else(who_sits_here);
    let request = SignalRequest {
        run_id,
        name: args.name.clone(),
        data,
        by: By { kind: ActorKind::Person, id: by.clone() },
        request_id: args.request.clone(),
    };
    let manner =
        Manner { from_seq: seq_known, ask_as: (!args.no_ask).then_some(by), print: args.print.clone() };
    let config = context.config_here()?;
    block_on(async {
        let access = context.access(config.as_ref(), Drive::Only(Vec::new())).await?;
        let ended = send_and_drive(&access, request, args, &manner, context).await;
        let closed = access.close().await;
        let exit = ended?;
        closed?;
        Ok(exit)
    })
}

async fn send_and_drive(
    access: &Access,
    request: SignalRequest,
    args: &SignalArgs,
    manner: &Manner,
    context: &Context,
) -> Result<Exit, Failure> {
    let (run_id, name) = (request.run_id.clone(), request.name.clone());
    let taken = access.signal(request).await?;
    if context.out.json {
        context.out.json_line(&json!({
            "type": "signal", "run_id": run_id, "name": name, "changed": taken == Taken::Changed,
        }));
    } else {
        let known = if taken == Taken::Known { " before; nothing changed" } else { "" };
        context.out.note(&format!("signal {name} was sent to run {run_id}{known}"));
    }
    if args.no_drive || !access.is_holder() {
        return Ok(Exit::Succeeded);
    }
    access.drive(&run_id).await?;
    follow::to_the_end(access, &run_id, context, manner).await
}
