//! What `approve` and `reject` share: records the answer, then, if no other process holds the data directory, makes the
//! run go on and follows it.

use bandstand_engine::input::Verdict;
use clap::Args;
use serde_json::{Value, json};

use crate::cli::arguments;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::go_on::GoOnArgs;
use crate::host::{AnswerRequest, Taken};

/// What every answer is given.
#[derive(Args, Debug)]
pub struct AnswerArgs {
    /// The review; the beginning of its id is enough
    #[arg(value_name = "REVIEW", value_parser = arguments::id)]
    pub review: String,
    /// Who answers [default: the user of the system]
    #[arg(long, value_name = "ID", value_parser = arguments::name)]
    pub by: Option<String>,
    /// A group the reviewer belongs to; may be given several times
    #[arg(long, value_name = "ID", value_parser = arguments::name)]
    pub group: Vec<String>,
    /// What there is to say
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub comments: String,
    /// How sure the reviewer is, 0 to 1
    #[arg(long, value_name = "NUMBER", value_parser = confidence)]
    pub confidence: Option<f64>,
    /// The same id again is the same answer
    #[arg(long, value_name = "ID", value_parser = arguments::name)]
    pub request: Option<String>,
    /// How the run goes on.
    #[command(flatten)]
    pub go_on: GoOnArgs,
}

fn confidence(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|value| (0.0..=1.0).contains(value))
        .ok_or_else(|| "a confidence lies between 0 and 1".to_owned())
}

/// Answers.
pub fn execute(
    args: &AnswerArgs,
    decision: Verdict,
    changes: Option<Value>,
    saw: Option<String>,
    context: &Context,
) -> Result<Exit, Failure> {
    let review = context.site()?.review(&args.review)?;
    let reviewer = context.who(args.by.as_ref());
    let request = AnswerRequest {
        run_id: review.run_id.clone(),
        review_id: review.review_id.clone(),
        reviewer: reviewer.clone(),
        groups: args.group.clone(),
        decision,
        comments: args.comments.clone(),
        changes,
        saw,
        confidence: args.confidence,
        request_id: args.request.clone(),
    };
    args.go_on.execute(&review.run_id, reviewer, context, async |access| {
        let taken = access.answer(request).await?;
        let review_id = &review.review_id;
        if context.out.json {
            context.out.json_line(&json!({
                "type": "answer", "run_id": review.run_id, "review_id": review_id, "decision": decision.name(),
                "changed": taken == Taken::Changed,
            }));
        } else {
            let known = if taken == Taken::Known { " before; nothing changed" } else { "" };
            context.out.note(&format!("review {review_id}: {}{known}", decision.name()));
        }
        Ok(())
    })
}
