//! What the verbs share that steer a whole run: who wants it, why, and how it was taken.

use bandstand_engine::input::{ActorKind, By};
use clap::Args;
use serde_json::json;

use crate::cli::arguments;
use crate::cli::context::{Context, block_on};
use crate::cli::exit::{Exit, Failure};
use crate::cli::follow;
use crate::cli::term::ask;
use crate::host::{Access, Drive, SteerRequest, Steering, Taken};
use crate::view::RunSummary;

/// What each of these verbs is given.
#[derive(Args, Debug)]
pub struct SteerArgs {
    /// The run; the beginning of its id is enough
    #[arg(value_name = "RUN", value_parser = arguments::id)]
    pub run: String,
    /// Why; kept with the run; 4096 bytes at most
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = arguments::reason)]
    pub reason: String,
    /// Who wants it [default: the user of the system]
    #[arg(long, value_name = "ID", value_parser = arguments::name)]
    pub by: Option<String>,
}

impl SteerArgs {
    /// The run that is meant.
    pub fn run(&self, context: &Context) -> Result<RunSummary, Failure> {
        context.site()?.run(&self.run)
    }

    /// Asks before what cannot be undone, when there is somebody to ask.
    pub fn ask(&self, run: &RunSummary, verb: &str, yes: bool, context: &Context) -> Result<(), Failure> {
        let question = format!("{verb} run {} of {} ({})? [y/N] ", run.run_id, run.workflow, run.status);
        if !yes && context.out.can_ask && !ask::yes(&question) {
            return Err(Failure::not_found(format!("run {} was left alone", run.run_id)));
        }
        Ok(())
    }

    /// Hands the wish over and tells how it was taken.
    pub async fn hand_over(
        &self,
        access: &Access,
        run: &RunSummary,
        steering: Steering,
        context: &Context,
    ) -> Result<Taken, Failure> {
        let request = SteerRequest {
            run_id: run.run_id.clone(),
            steering,
            by: By { kind: ActorKind::Person, id: context.who(self.by.as_ref()) },
            reason: self.reason.clone(),
        };
        let taken = access.steer(request).await?;
        let (done, known) = words(steering);
        if context.out.json {
            context.out.json_line(&json!({
                "type": steering.name(), "run_id": run.run_id, "status": status(steering),
                "changed": taken == Taken::Changed,
            }));
        } else {
            let words = if taken == Taken::Changed { done } else { known };
            context.out.note(&format!("run {} {words}", run.run_id));
        }
        Ok(taken)
    }

    /// All of a verb that needs nobody to follow the run.
    pub fn execute(&self, run: &RunSummary, steering: Steering, context: &Context) -> Result<Exit, Failure> {
        let config = context.config_here()?;
        block_on(async {
            let access = context.access(config.as_ref(), Drive::Only(Vec::new())).await?;
            let done = match self.hand_over(&access, run, steering, context).await {
                Ok(_) if matches!(steering, Steering::Cancel | Steering::Kill) => {
                    follow::end_of_children(&access, &run.run_id, context).await
                }
                Ok(_) => Ok(()),
                Err(failure) => Err(failure),
            };
            access.close().await?;
            done.map(|()| Exit::Succeeded)
        })
    }
}

/// In words: it is done; it was so before.
fn words(steering: Steering) -> (&'static str, &'static str) {
    match steering {
        Steering::Pause => ("paused", "was paused before"),
        Steering::Resume => ("resumed", "was not paused"),
        Steering::Cancel => ("cancelled", "was cancelled before"),
        Steering::Kill => ("killed", "was killed before"),
    }
}

/// How the run stands afterwards. A resumed one is not followed here, so it counts as running.
fn status(steering: Steering) -> &'static str {
    match steering {
        Steering::Pause => "paused",
        Steering::Resume => "running",
        Steering::Cancel => "cancelled",
        Steering::Kill => "killed",
    }
}
