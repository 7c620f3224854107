//! `bandstand runs signal`: sends a signal to a run, durably; if no other process holds the data directory, drives and
//! follows the run then.

use bandstand_engine::input::{ActorKind, By};
use clap::Args;
use serde_json::json;

use crate::cli::arguments;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::go_on::GoOnArgs;
use crate::cli::json_input;
use crate::cli::site::Site;
use crate::host::{SignalRequest, Taken};

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
    #[command(flatten)]
    go_on: GoOnArgs,
}

/// Sends it. A signal that the run never waits for, or that does not fit, is a conflict.
pub fn execute(args: &SignalArgs, context: &Context) -> Result<Exit, Failure> {
    let data = json_input::read("--input", &args.input)?;
    let site = context.site()?;
    let run_id = site.run(&args.run)?.run_id;
    let children = waiting_children(&site, &run_id, &args.name);
    let by = context.who(args.by.as_ref());
    let request = SignalRequest {
        run_id: run_id.clone(),
        name: args.name.clone(),
        data,
        by: By { kind: ActorKind::Person, id: by.clone() },
        request_id: args.request.clone(),
    };
    args.go_on.execute(&run_id, by, context, async |access| {
        let taken =
            access.signal(request).await.map_err(|error| with_children(error.into(), args, &children))?;
        if context.out.json {
            context.out.json_line(&json!({
                "type": "signal", "run_id": run_id, "name": args.name, "changed": taken == Taken::Changed,
            }));
        } else {
            let known = if taken == Taken::Known { " before; nothing changed" } else { "" };
            context.out.note(&format!("signal {} was sent to run {run_id}{known}", args.name));
        }
        Ok(())
    })
}

/// The child runs below a run that wait for the signal now.
fn waiting_children(site: &Site, run_id: &str, name: &str) -> Vec<String> {
    let waiting = site.child_signals(run_id).into_iter();
    waiting.filter(|(_, awaited)| awaited == name).map(|(child, _)| child).collect()
}

/// A child run takes its signals itself: whoever asked its parent is told so.
fn with_children(failure: Failure, args: &SignalArgs, children: &[String]) -> Failure {
    let Some(first) = children.first() else { return failure };
    let all = children.join(", ");
    failure.help(format!(
        "a child of it waits for signal {}: {all}; bandstand runs signal {first} {}",
        args.name, args.name
    ))
}
